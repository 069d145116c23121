//! Clients of the four services, for the command line.

use cwpp_chassis::client::Channel;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;

/// One client per gRPC service.
pub(crate) struct Clients {
    pub(crate) tenants: TenantServiceClient<Channel>,
    pub(crate) policies: PolicyServiceClient<Channel>,
    pub(crate) assets: AssetServiceClient<Channel>,
    pub(crate) incidents: IncidentServiceClient<Channel>,
    pub(crate) incidents_rows: ErasureServiceClient<Channel>,
    pub(crate) retention: RetentionServiceClient<Channel>,
}

impl Clients {
    pub(crate) fn new(configuration: Channel, inventory: Channel, incidents: Channel, retention: Channel) -> Self {
        Self {
            tenants: TenantServiceClient::new(configuration.clone()),
            policies: PolicyServiceClient::new(configuration),
            assets: AssetServiceClient::new(inventory),
            incidents: IncidentServiceClient::new(incidents.clone()),
            incidents_rows: ErasureServiceClient::new(incidents),
            retention: RetentionServiceClient::new(retention),
        }
    }
}
