//! An asset service whose operations answer fixed rows, behind the generated guard.

use std::sync::Arc;

use cwpp_access::ops::{AssetServiceGuarded, AssetServiceOps};
use cwpp_access::principal::{Kind, Principal, Tenants};
use cwpp_access::{AppId, Gate, Incoming, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::Error;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::*;
use futures::StreamExt;
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use uuid::Uuid;

/// The machine of the agent in these tests.
pub(crate) const MACHINE: Uuid = Uuid::from_u128(7);

/// The tenant that callers may speak for.
pub(crate) const TENANT: u64 = 42;

struct Fixed;

fn asset() -> Asset {
    let account = Account { name: "alice".into(), uid: 1000, home: "/home/alice".into(), ..Default::default() };
    Asset {
        host: Some(HostColumns {
            machine_id: MACHINE.to_string(),
            name: "web-1".into(),
            ip_addresses: vec!["10.0.0.7".into()],
            ..Default::default()
        }),
        item: Some(AssetItem { item: Some(asset_item::Item::Account(account)) }),
        ..Default::default()
    }
}

#[async_trait::async_trait]
impl AssetServiceOps for Fixed {
    async fn negotiate_report(
        &self,
        _: TenantScope,
        _: NegotiateReportRequest,
    ) -> Result<NegotiateReportResponse, Error> {
        Ok(NegotiateReportResponse::default())
    }

    async fn report_assets(
        &self,
        _: TenantScope,
        mut requests: Incoming<ReportAssetsRequest>,
    ) -> Result<ReportAssetsResponse, Error> {
        while requests.next().await?.is_some() {}
        Ok(ReportAssetsResponse { machine_name: "web-1".into(), ..Default::default() })
    }

    async fn list_assets(&self, scope: TenantScope, _: ListAssetsRequest) -> Result<ListAssetsResponse, Error> {
        assert_eq!(scope.app_id().to_request(), TENANT);
        Ok(ListAssetsResponse { assets: vec![asset()], ..Default::default() })
    }

    async fn list_asset_counts(
        &self,
        _: TenantScope,
        _: ListAssetCountsRequest,
    ) -> Result<ListAssetCountsResponse, Error> {
        Ok(ListAssetCountsResponse::default())
    }

    async fn list_unread_classes(
        &self,
        _: TenantScope,
        _: ListUnreadClassesRequest,
    ) -> Result<ListUnreadClassesResponse, Error> {
        Ok(ListUnreadClassesResponse::default())
    }

    async fn list_top_values(&self, _: TenantScope, _: ListTopValuesRequest) -> Result<ListTopValuesResponse, Error> {
        Ok(ListTopValuesResponse::default())
    }

    async fn check_asset_counts(
        &self,
        _: TenantScope,
        _: CheckAssetCountsRequest,
    ) -> Result<CheckAssetCountsResponse, Error> {
        Ok(CheckAssetCountsResponse::default())
    }

    async fn delete_assets(&self, _: TenantScope, _: DeleteAssetsRequest) -> Result<DeleteAssetsResponse, Error> {
        Ok(DeleteAssetsResponse::default())
    }

    async fn list_account_changes(
        &self,
        _: TenantScope,
        _: ListAccountChangesRequest,
    ) -> Result<ListAccountChangesResponse, Error> {
        Ok(ListAccountChangesResponse::default())
    }

    async fn export_assets(
        &self,
        _: TenantScope,
        _: ExportAssetsRequest,
    ) -> Result<Outgoing<ExportAssetsResponse>, Error> {
        let parts = (0..2).map(|_| Ok(ExportAssetsResponse { assets: vec![asset()], ..Default::default() }));
        Ok(futures::stream::iter(parts).boxed())
    }

    async fn watch_machines(
        &self,
        _: SystemScope,
        _: WatchMachinesRequest,
    ) -> Result<Outgoing<WatchMachinesResponse>, Error> {
        let facts = MachineFacts { name: "web-1".into(), architecture: "x86_64".into(), ..Default::default() };
        let machine = Machine { facts: Some(facts), ..Default::default() };
        let told = WatchMachinesResponse { app_id: TENANT, machine: Some(machine), ..Default::default() };
        Ok(futures::stream::iter([Ok(told.clone()), Ok(told)]).boxed())
    }

    async fn watch_packages(
        &self,
        _: SystemScope,
        _: WatchPackagesRequest,
    ) -> Result<Outgoing<WatchPackagesResponse>, Error> {
        Ok(futures::stream::empty().boxed())
    }
}

/// Starts the service; every call is made by `principal`, or by nobody.
pub(crate) async fn client(principal: Option<Principal>) -> AssetServiceClient<Channel> {
    let principal = principal.map(Arc::new);
    let service = AssetServiceGuarded::server(Arc::new(Fixed), Gate::default());
    let identified = tonic::service::interceptor::InterceptedService::new(service, move |mut request: Request<()>| {
        if let Some(principal) = &principal {
            request.extensions_mut().insert(principal.clone());
        }
        Ok::<_, Status>(request)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(identified).serve_with_incoming(incoming));
    AssetServiceClient::connect(format!("http://{address}")).await.expect("connected")
}

/// A principal of this kind with these rights, for the tenant.
pub(crate) fn principal(kind: Kind, rights: &[&str]) -> Principal {
    Principal {
        kind,
        subject: "tester".into(),
        tenants: Tenants::Only([AppId::from_request(TENANT).expect("in range")].into()),
        machine: (kind == Kind::Agent).then_some(MACHINE),
        rights: rights.iter().map(|r| (*r).to_owned()).collect(),
    }
}
