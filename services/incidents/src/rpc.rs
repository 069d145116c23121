//! The incident service's operations, each one in its resource's folder.

use cwpp_access::TenantScope;
use cwpp_access::ops::IncidentServiceOps;
use cwpp_chassis::{Clock, Result};
use cwpp_contracts::incidents::v1::*;
use cwpp_storage::Db;

use crate::{config, event, incident};

/// Serves `IncidentService`.
#[derive(Debug)]
pub(crate) struct Rpc {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) detection: config::Detection,
}

#[async_trait::async_trait]
impl IncidentServiceOps for Rpc {
    async fn report_auth_events(
        &self,
        scope: TenantScope,
        request: ReportAuthEventsRequest,
    ) -> Result<ReportAuthEventsResponse> {
        event::rpc::report(self, scope, request).await
    }

    async fn list_incidents(&self, scope: TenantScope, request: ListIncidentsRequest) -> Result<ListIncidentsResponse> {
        incident::rpc::list(self, scope, request).await
    }

    async fn get_incident(&self, scope: TenantScope, request: GetIncidentRequest) -> Result<GetIncidentResponse> {
        incident::rpc::get(self, scope, request).await
    }

    async fn update_incidents(
        &self,
        scope: TenantScope,
        request: UpdateIncidentsRequest,
    ) -> Result<UpdateIncidentsResponse> {
        incident::rpc::update(self, scope, request).await
    }
}
