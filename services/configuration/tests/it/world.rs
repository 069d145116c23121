//! A service with a database of its own for each test, and the words in which tests speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cwpp_chassis::app::{Running, start};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::Settings;
use cwpp_chassis::{Clock, Reason, status};
use cwpp_configuration::{Config, Configuration};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind, TenantState};
use cwpp_contracts::configuration::v1::policy::Spec;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::configuration::v1::*;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::*;
use cwpp_storage::Database;
use prost_types::Timestamp;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tonic::{Status, Streaming};
use uuid::Uuid;

/// Defines tests that run on both databases.
macro_rules! both {
    ($( $(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block )+) => { $(
        mod $name {
            use super::*;

            async fn test($world: &mut World) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let mut world = World::sqlite().await;
                test(&mut world).await;
                world.end().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mysql() {
                let Some(mut world) = World::mysql().await else { return };
                test(&mut world).await;
                world.end().await;
            }
        }
    )+ };
}
pub(crate) use both;

static NEXT: AtomicU64 = AtomicU64::new(1000);

/// A running service and its clients.
pub(crate) struct World {
    pub(crate) tenants: TenantServiceClient<Channel>,
    pub(crate) policies: PolicyServiceClient<Channel>,
    pub(crate) erasure: ErasureServiceClient<Channel>,
    database: Database,
    running: Option<Running>,
    server: Option<String>,
    folder: Option<Arc<tempfile::TempDir>>,
}

/// A tenant that was opened.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) app_id: u64,
    pub(crate) incarnation: String,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::at(format!("sqlite:{}", folder.path().join("configuration.db").display()));
        Self::open(database, None, Some(Arc::new(folder))).await
    }

    pub(crate) async fn mysql() -> Option<Self> {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return None;
        };
        let name = format!("cwpp_cfg_{}", Uuid::new_v4().simple());
        let mut admin = sqlx::MySqlConnection::connect(&url).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Some(Self::open(Database { name, ..Database::at(&url) }, Some(url), None).await)
    }

    async fn open(database: Database, server: Option<String>, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let log = cwpp_chassis::config::Log { level: "error".into(), ..Default::default() };
        cwpp_chassis::telemetry::init("configuration", &log, &Default::default()).unwrap();
        cwpp_storage::migrate::up(&database, &cwpp_configuration::registry()).await.unwrap();
        Self::start(database, server, folder).await
    }

    async fn start(database: Database, server: Option<String>, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let config = Config { region: "eu-central".into(), database: database.clone(), ..Config::default() };
        let running = start::<Configuration>(Settings::local(config), Clock::system()).await.unwrap();
        running.ready(Duration::from_secs(20)).await.unwrap();
        let channel = Channel::connect_lazy(&running.target(), &ClientConfig::default()).unwrap();
        Self {
            tenants: TenantServiceClient::new(channel.clone()),
            policies: PolicyServiceClient::new(channel.clone()),
            erasure: ErasureServiceClient::new(channel),
            database,
            running: Some(running),
            server,
            folder,
        }
    }

    /// Starts another replica on the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::start(self.database.clone(), None, self.folder.clone()).await
    }

    /// Ends the service in order.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn end(mut self) {
        self.stop().await;
        if let Some(url) = &self.server {
            let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
            admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", self.database.name))).await.unwrap();
        }
    }

    /// Runs a statement behind the service's back.
    pub(crate) async fn sql(&self, sql: &str) {
        match &self.server {
            Some(url) => {
                let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
                admin.execute(AssertSqlSafe(format!("USE {}", self.database.name))).await.unwrap();
                admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            }
            None => {
                let mut file = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
                file.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            }
        }
    }

    pub(crate) async fn create(&mut self, request: CreateTenantRequest) -> Result<Tenant, Status> {
        Ok(self.tenants.create_tenant(request).await?.into_inner().tenant.unwrap())
    }

    pub(crate) async fn get(&mut self, app_id: u64) -> Result<Tenant, Status> {
        Ok(self.tenants.get_tenant(GetTenantRequest { app_id }).await?.into_inner().tenant.unwrap())
    }

    /// Registers a tenant and opens it.
    pub(crate) async fn tenant(&mut self) -> Opened {
        let tenant = self.create(new_tenant()).await.unwrap();
        let opened = Opened { app_id: tenant.app_id, incarnation: tenant.incarnation };
        self.open_tenant(&opened).await;
        opened
    }

    pub(crate) async fn open_tenant(&mut self, tenant: &Opened) {
        let Opened { app_id, incarnation } = tenant.clone();
        self.erasure.open_tenant(OpenTenantRequest { app_id, incarnation }).await.unwrap();
    }

    pub(crate) async fn fence(&mut self, tenant: &Opened, state: TenantState) -> Fence {
        let Opened { app_id, incarnation } = tenant.clone();
        let request = FenceRequest { app_id, incarnation, state: state.into(), token: 1 };
        self.erasure.fence(request).await.unwrap().into_inner().fence.unwrap()
    }

    pub(crate) async fn policy(&mut self, tenant: &Opened, policy: Policy) -> Result<Policy, Status> {
        let request = CreatePolicyRequest { app_id: tenant.app_id, request_id: id(), policy: Some(policy) };
        Ok(self.policies.create_policy(request).await?.into_inner().policy.unwrap())
    }

    pub(crate) async fn update(&mut self, tenant: &Opened, policy: Policy, paths: &[&str]) -> Result<Policy, Status> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let update_mask = Some(prost_types::FieldMask { paths });
        let request = UpdatePolicyRequest { app_id: tenant.app_id, policy: Some(policy), update_mask };
        Ok(self.policies.update_policy(request).await?.into_inner().policy.unwrap())
    }

    pub(crate) async fn delete(&mut self, tenant: &Opened, policy: &Policy) -> Result<(), Status> {
        let Policy { policy_id, etag, .. } = policy.clone();
        self.policies.delete_policy(DeletePolicyRequest { app_id: tenant.app_id, policy_id, etag }).await?;
        Ok(())
    }

    pub(crate) async fn list(&mut self, tenant: &Opened) -> Vec<Policy> {
        let request = ListPoliciesRequest { app_id: tenant.app_id, ..Default::default() };
        self.policies.list_policies(request).await.unwrap().into_inner().policies
    }

    pub(crate) async fn watch_tenants(&mut self, cursor: &str) -> Streaming<WatchTenantsResponse> {
        self.tenants.watch_tenants(WatchTenantsRequest { cursor: cursor.into() }).await.unwrap().into_inner()
    }

    pub(crate) async fn watch_policies(&mut self, cursor: &str) -> Streaming<WatchPoliciesResponse> {
        self.policies.watch_policies(WatchPoliciesRequest { cursor: cursor.into() }).await.unwrap().into_inner()
    }

    /// Counts the tenant's rows of one table.
    pub(crate) async fn rows(&mut self, tenant: &Opened, table: &str) -> u64 {
        let Opened { app_id, incarnation } = tenant.clone();
        let counted = self.erasure.count_rows(CountRowsRequest { app_id, incarnation }).await.unwrap().into_inner();
        counted.tables.iter().find(|count| count.table == table).unwrap().rows
    }
}

/// Takes the next message, which must come soon.
pub(crate) async fn next<T>(stream: &mut Streaming<T>) -> T {
    tokio::time::timeout(Duration::from_secs(8), stream.message()).await.expect("in time").unwrap().expect("a message")
}

pub(crate) fn id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn new_tenant() -> CreateTenantRequest {
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    CreateTenantRequest {
        app_id: number,
        request_id: id(),
        uin: 100_000_000 + number,
        region: "eu-central".into(),
        agreement_version: "2026-01".into(),
        agreement_accepted_time: Some(Timestamp { seconds: 1_767_225_600, nanos: 123_456_000 }),
    }
}

pub(crate) fn machines(kind: MachineScopeKind, machine_ids: &[&str]) -> Option<MachineScope> {
    let machine_ids = machine_ids.iter().map(|id| (*id).to_owned()).collect();
    Some(MachineScope { kind: kind.into(), machine_ids, tags: Vec::new() })
}

/// A login whitelist for all machines.
pub(crate) fn whitelist(name: &str) -> Policy {
    let spec = LoginWhitelist {
        source_networks: vec!["192.0.2.0/24".into()],
        accounts: vec!["deploy".into()],
        countries: vec!["DE".into()],
        windows: vec![TimeWindow { start_minute: 480, end_minute: 1080 }],
        time_zone: "Europe/Berlin".into(),
    };
    Policy {
        name: name.into(),
        enabled: true,
        machines: machines(MachineScopeKind::All, &[]),
        reason: "the office".into(),
        spec: Some(Spec::LoginWhitelist(spec)),
        ..Default::default()
    }
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    let status = result.expect_err("a refusal");
    status::reason(&status).unwrap_or_else(|| panic!("a reason in {status:?}"))
}

/// The wrong fields that a refusal names.
pub(crate) fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.expect_err("a refusal");
    status::violations(&status).into_iter().map(|(field, _)| field).collect()
}
