//! Retention with its peers, each on a database of its own, and the words in which tests speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_chassis::app::{Running, start};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::Settings;
use cwpp_chassis::{Clock, Reason, status};
use cwpp_contracts::configuration::v1::ListTenantsRequest;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::*;
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::*;
use cwpp_retention::deletion::ops::Deletions;
use cwpp_retention::{Config, Retention};
use cwpp_storage::{Database, Db};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use uuid::Uuid;

use crate::notes::{self, Notes, Tenants};

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

/// The services, own one last.
pub(crate) const SERVICES: [&str; 4] = ["inventory", "incidents", "configuration", "retention"];
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

static NEXT: AtomicU64 = AtomicU64::new(1_000_001);

/// A tenant that is open everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) app_id: u64,
    pub(crate) incarnation: String,
}

/// A peer, which may be away.
struct Peer {
    running: Option<Running>,
    settings: Settings<notes::Config>,
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) tenants: Arc<Tenants>,
    peers: Vec<Peer>,
    retention: Vec<Running>,
    server: Option<String>,
    name: String,
    folder: Option<tempfile::TempDir>,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        Self::open(None).await
    }

    pub(crate) async fn mysql() -> Option<Self> {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return None;
        };
        Some(Self::open(Some(url)).await)
    }

    async fn open(server: Option<String>) -> Self {
        let log = cwpp_chassis::config::Log { level: "off".into(), ..Default::default() };
        let _ = cwpp_chassis::telemetry::init("retention", &log, &Default::default());
        let name = format!("cwpp_ret_{}", Uuid::new_v4().simple());
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            // A whole second, so that what is read back is what was written.
            clock: Clock::manual(DateTime::from_timestamp(1_790_000_000, 0).unwrap()),
            config: Config::default(),
            tenants: Tenants::named(&name),
            peers: Vec::new(),
            retention: Vec::new(),
            server,
            name,
            folder: Some(folder),
        };
        world.config.database = world.database("retention");
        futures::future::join_all(SERVICES.map(|service| world.create_database(service))).await;
        for service in &SERVICES[..3] {
            let config = notes::Config { database: world.database(service), tenants: world.name.clone() };
            world.peers.push(Peer { running: None, settings: Settings::local(config) });
            world.bring(service).await;
        }
        let targets: Vec<String> = world.peers.iter().map(|peer| peer.running.as_ref().unwrap().target()).collect();
        let config = &mut world.config;
        config.peers.inventory = targets[0].clone();
        config.peers.incidents = targets[1].clone();
        config.peers.configuration = targets[2].clone();
        config.signing.key_file = Some(world.folder.as_ref().unwrap().path().join("signing.pem"));
        config.verify.gap = Duration::from_millis(1100);
        config.worker.poll = Duration::from_millis(100);
        config.worker.retry_min = Duration::from_millis(100);
        config.worker.retry_max = Duration::from_millis(500);
        config.client.max_attempts = 1;
        world
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.as_ref().unwrap().path().join(name)
    }

    fn database(&self, service: &str) -> Database {
        match &self.server {
            Some(url) => Database { name: format!("{}_{service}", self.name), ..Database::at(url) },
            None => Database::at(format!("sqlite:{}", self.path(service).with_extension("db").display())),
        }
    }

    async fn create_database(&self, service: &str) {
        if let Some(url) = &self.server {
            let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
            admin.execute(AssertSqlSafe(format!("CREATE DATABASE {}_{service}", self.name))).await.unwrap();
        }
        let registry = if service == "retention" { cwpp_retention::registry() } else { notes::registry() };
        cwpp_storage::migrate::up(&self.database(service), &registry).await.unwrap();
    }

    /// Starts a replica of retention.
    pub(crate) async fn start(&mut self) {
        let running = start::<Retention>(Settings::local(self.config.clone()), self.clock.clone()).await.unwrap();
        running.ready(Duration::from_secs(20)).await.unwrap();
        self.retention.push(running);
    }

    /// Ends all replicas of retention.
    pub(crate) async fn stop(&mut self) {
        for running in self.retention.drain(..) {
            running.stop().await;
        }
    }

    /// Retention's database, opened once more.
    pub(crate) async fn db(&self) -> Db {
        Db::connect(&self.config.database, Arc::new(cwpp_retention::registry())).await.unwrap()
    }

    /// What a worker works with, as a process of its own would have it.
    pub(crate) async fn desk(&self) -> Deletions {
        cwpp_retention::desk(self.db().await, self.config.clone(), self.clock.clone()).unwrap()
    }

    /// Takes a peer away.
    pub(crate) async fn lose(&mut self, service: &str) {
        let at = place(service);
        self.peers[at].running.take().unwrap().stop().await;
    }

    /// Brings a peer (back), where it was.
    pub(crate) async fn bring(&mut self, service: &str) {
        let at = place(service);
        let peer = &mut self.peers[at];
        let running = start::<Notes>(peer.settings.clone(), self.clock.clone()).await.unwrap();
        running.ready(Duration::from_secs(20)).await.unwrap();
        peer.settings.chassis.grpc.listen = running.grpc_addr;
        peer.running = Some(running);
    }

    /// Starts a peer anew, which works on no more than so many calls at once.
    pub(crate) async fn restart_with_places(&mut self, service: &str, places: usize) {
        self.lose(service).await;
        let at = place(service);
        self.peers[at].settings.chassis.limits.in_flight = places;
        self.bring(service).await;
    }

    /// Takes the one place of a peer until this is dropped.
    pub(crate) async fn occupy(&self, service: &str) -> AbortOnDropHandle<()> {
        let at = place(service);
        let target = self.peers[at].running.as_ref().unwrap().target();
        let channel = Channel::connect_lazy(&target, &ClientConfig { max_attempts: 1, ..Default::default() }).unwrap();
        let mut caller = TenantServiceClient::new(channel.clone());
        let busy = AbortOnDropHandle::new(tokio::spawn(async move {
            let ended = caller.list_tenants(ListTenantsRequest::default()).await;
            panic!("it is never answered: {ended:?}");
        }));
        let mut other = ErasureServiceClient::new(channel);
        let start = std::time::Instant::now();
        while !matches!(other.count_rows(CountRowsRequest::default()).await, Err(e) if status::reason(&e) == Some(Reason::Overloaded))
        {
            assert!(start.elapsed() < Duration::from_secs(10), "{service} has places left");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        busy
    }

    pub(crate) fn client(&self) -> RetentionServiceClient<Channel> {
        let target = self.retention.last().expect("retention was started").target();
        RetentionServiceClient::new(Channel::connect_lazy(&target, &ClientConfig::default()).unwrap())
    }

    pub(crate) fn erasure(&self, service: &str) -> ErasureServiceClient<Channel> {
        let at = place(service);
        let running = self.peers.get(at).map_or_else(|| self.retention.last(), |peer| peer.running.as_ref());
        let target = running.expect("the service runs").target();
        ErasureServiceClient::new(Channel::connect_lazy(&target, &ClientConfig::default()).unwrap())
    }

    /// A new tenant, open everywhere, with this many notes in each peer. Retention must run.
    pub(crate) async fn tenant(&self, notes: u64) -> Tenant {
        let tenant = Tenant { app_id: NEXT.fetch_add(1, Ordering::SeqCst), incarnation: Uuid::now_v7().to_string() };
        for service in SERVICES {
            let request = OpenTenantRequest { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
            self.erasure(service).open_tenant(request).await.unwrap();
        }
        for service in &SERVICES[..3] {
            self.write_notes(service, &tenant, 0, notes).await;
        }
        tenant
    }

    /// Writes notes past every guard.
    pub(crate) async fn write_notes(&self, service: &str, tenant: &Tenant, from: u64, count: u64) {
        if count == 0 {
            return;
        }
        let rows: Vec<_> = (from..from + count).map(|id| format!("({}, {id}, 'a title')", tenant.app_id)).collect();
        self.sql(service, &format!("INSERT INTO note (app_id, note_id, title) VALUES {}", rows.join(", "))).await;
    }

    /// Runs a statement behind a service's back.
    pub(crate) async fn sql(&self, service: &str, sql: &str) {
        let database = self.database(service);
        match &self.server {
            Some(url) => {
                let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
                admin.execute(AssertSqlSafe(format!("USE {}", database.name))).await.unwrap();
                admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            }
            None => {
                let mut file = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
                file.execute("PRAGMA busy_timeout = 5000").await.unwrap();
                file.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            }
        }
    }

    /// Asks a number behind a service's back.
    pub(crate) async fn number(&self, service: &str, sql: &str) -> i64 {
        let database = self.database(service);
        match &self.server {
            Some(url) => {
                let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
                admin.execute(AssertSqlSafe(format!("USE {}", database.name))).await.unwrap();
                admin.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap().get(0)
            }
            None => {
                let mut file = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
                file.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap().get(0)
            }
        }
    }

    /// Asks MySQL a text behind a service's back.
    pub(crate) async fn text(&self, service: &str, sql: &str) -> String {
        let mut admin = sqlx::MySqlConnection::connect(self.server.as_deref().unwrap()).await.unwrap();
        admin.execute(AssertSqlSafe(format!("USE {}", self.database(service).name))).await.unwrap();
        admin.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap().get(0)
    }

    /// Counts a tenant's notes in a peer.
    pub(crate) async fn notes(&self, service: &str, tenant: &Tenant) -> i64 {
        self.number(service, &format!("SELECT COUNT(*) FROM note WHERE app_id = {}", tenant.app_id)).await
    }

    /// Asks a tenant's fence; its state is 0 where there is none.
    pub(crate) async fn fence(&self, service: &str, tenant: &Tenant) -> i64 {
        let sql = format!("SELECT COALESCE(MAX(state), 0) FROM tenant_fence WHERE app_id = {}", tenant.app_id);
        self.number(service, &sql).await
    }

    /// Lets every lease run out, as if its holder had died some time ago.
    pub(crate) async fn expire_leases(&self) {
        self.sql("retention", "UPDATE lease SET until_micros = 0").await;
    }

    pub(crate) async fn terminate(&self, tenant: &Tenant) -> Deletion {
        let answer = self.client().terminate_subscription(termination(tenant)).await.unwrap();
        answer.into_inner().deletion.unwrap()
    }

    /// A tenant with this many notes in each peer, whose deletion is due; no replica of retention runs.
    pub(crate) async fn terminated(&mut self, notes: u64) -> (Tenant, Deletion) {
        self.start().await;
        let tenant = self.tenant(notes).await;
        let deletion = self.terminate(&tenant).await;
        self.stop().await;
        self.clock.advance(24 * HOUR);
        (tenant, deletion)
    }

    pub(crate) async fn get(&self, deletion: &Deletion) -> Deletion {
        let request = GetDeletionRequest { deletion_id: deletion.deletion_id.clone() };
        self.client().get_deletion(request).await.unwrap().into_inner().deletion.unwrap()
    }

    /// Waits until a deletion is as it should be.
    pub(crate) async fn until(&self, deletion: &Deletion, what: impl Fn(&Deletion) -> bool) -> Deletion {
        let start = std::time::Instant::now();
        loop {
            let now = self.get(deletion).await;
            if what(&now) {
                return now;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it stays {now:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    pub(crate) async fn until_state(&self, deletion: &Deletion, state: DeletionState) -> Deletion {
        self.until(deletion, |now| now.state() == state).await
    }

    /// Takes a scheduled deletion to the wait for copies to expire.
    pub(crate) async fn purge(&self, deletion: &Deletion) -> Deletion {
        self.clock.advance(24 * HOUR);
        self.until_state(deletion, DeletionState::ResidueWait).await
    }

    /// Takes it from there to its certificate.
    pub(crate) async fn certify(&self, deletion: &Deletion) -> GetCertificateResponse {
        self.clock.advance(72 * HOUR);
        self.until_state(deletion, DeletionState::Certified).await;
        self.certificate(deletion).await.unwrap()
    }

    pub(crate) async fn certificate(&self, deletion: &Deletion) -> Result<GetCertificateResponse, Status> {
        let request = GetCertificateRequest { deletion_id: deletion.deletion_id.clone() };
        Ok(self.client().get_certificate(request).await?.into_inner())
    }

    /// The states in the ledger, in order.
    pub(crate) async fn ledger(&self) -> Vec<(String, Option<String>)> {
        let db = self.db().await;
        let scope = cwpp_access::SystemScope::job(cwpp_access::Job::Harness);
        let read = db.system_read(&scope, |on| async move { cwpp_retention::ledger::store::after(&on, 0, 1000).await });
        let lines = read.await.unwrap();
        db.close().await;
        lines.into_iter().map(|line| (line.entry.state, line.entry.detail)).collect()
    }

    pub(crate) async fn end(mut self) {
        self.stop().await;
        for peer in &mut self.peers {
            if let Some(running) = peer.running.take() {
                running.stop().await;
            }
        }
        if let Some(url) = &self.server {
            let own = &self.name;
            let dropped = SERVICES.map(|service| async move {
                let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
                admin.execute(AssertSqlSafe(format!("DROP DATABASE {own}_{service}"))).await.unwrap();
            });
            futures::future::join_all(dropped).await;
        }
    }
}

fn place(service: &str) -> usize {
    SERVICES.iter().position(|name| *name == service).unwrap()
}

pub(crate) fn termination(tenant: &Tenant) -> TerminateSubscriptionRequest {
    let app_id = tenant.app_id;
    TerminateSubscriptionRequest { app_id, confirm_app_id: app_id, ..Default::default() }
}

pub(crate) fn cancellation(tenant: &Tenant, deletion: &Deletion) -> CancelTerminationRequest {
    CancelTerminationRequest { app_id: tenant.app_id, deletion_id: deletion.deletion_id.clone() }
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    let status = result.expect_err("a refusal");
    status::reason(&status).unwrap_or_else(|| panic!("a reason in {status:?}"))
}

pub(crate) fn time(time: Option<prost_types::Timestamp>) -> DateTime<Utc> {
    let time = time.unwrap();
    DateTime::from_timestamp(time.seconds, time.nanos.unsigned_abs()).unwrap()
}
