//! A service with a database of its own for each test, and the words in which tests speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::app::{Running, start};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::Settings;
use cwpp_chassis::{Clock, Reason, status};
use cwpp_contracts::common::v1::{Page, ProcessingStatus, TenantState};
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::*;
use cwpp_contracts::incidents::v1::incident::Details;
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::incidents::v1::*;
use cwpp_incidents::config::{Config, Peers};
use cwpp_incidents::{Incidents, registry, tag};
use cwpp_storage::{Database, Db, Tenanted};
use prost_types::Timestamp;
use sea_orm::IntoActiveModel;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tonic::Status;
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

/// The day on which tests happen, at noon.
pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 12, 0, 0).unwrap()
}

/// A running service and its clients.
pub(crate) struct World {
    pub(crate) incidents: IncidentServiceClient<Channel>,
    pub(crate) erasure: ErasureServiceClient<Channel>,
    pub(crate) clock: Clock,
    pub(crate) database: Database,
    running: Option<Running>,
    server: Option<String>,
    folder: Option<Arc<tempfile::TempDir>>,
}

/// A tenant that was opened.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) app_id: u64,
    pub(crate) incarnation: String,
}

/// A spool of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    pub(crate) app_id: u64,
    pub(crate) machine_id: String,
    pub(crate) spool_id: String,
    pub(crate) next: u64,
}

impl Tenant {
    /// A spool of another machine.
    pub(crate) fn spool(&self) -> Spool {
        Spool { app_id: self.app_id, machine_id: id(), spool_id: id(), next: 1 }
    }
}

impl Spool {
    /// Another spool of the same machine.
    pub(crate) fn beside(&self) -> Self {
        Self { spool_id: id(), next: 1, ..self.clone() }
    }

    pub(crate) fn batch(&self, first_sequence: u64, events: Vec<AuthEvent>) -> ReportAuthEventsRequest {
        let Spool { app_id, machine_id, spool_id, .. } = self.clone();
        ReportAuthEventsRequest { app_id, machine_id, spool_id, first_sequence, events }
    }
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::at(format!("sqlite:{}", folder.path().join("incidents.db").display()));
        Self::open(database, None, Some(Arc::new(folder))).await
    }

    pub(crate) async fn mysql() -> Option<Self> {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return None;
        };
        let name = format!("cwpp_inc_{}", Uuid::new_v4().simple());
        let mut admin = sqlx::MySqlConnection::connect(&url).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Some(Self::open(Database { name, ..Database::at(&url) }, Some(url), None).await)
    }

    async fn open(database: Database, server: Option<String>, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let log = cwpp_chassis::config::Log { level: "error".into(), ..Default::default() };
        cwpp_chassis::telemetry::init("incidents", &log, &Default::default()).unwrap();
        cwpp_storage::migrate::up(&database, &registry()).await.unwrap();
        Self::start(database, server, folder, Clock::manual(noon()), String::new()).await
    }

    async fn start(
        database: Database,
        server: Option<String>,
        folder: Option<Arc<tempfile::TempDir>>,
        clock: Clock,
        configuration: String,
    ) -> Self {
        let config = Config {
            database: database.clone(),
            peers: Peers { configuration, inventory: String::new() },
            ..Config::default()
        };
        let mut settings = Settings::local(config);
        settings.chassis.shutdown.lame_duck = Duration::ZERO;
        let running = start::<Incidents>(settings, clock.clone()).await.unwrap();
        running.ready(Duration::from_secs(20)).await.unwrap();
        let channel = Channel::connect_lazy(&running.target(), &ClientConfig::default()).unwrap();
        Self {
            incidents: IncidentServiceClient::new(channel.clone()),
            erasure: ErasureServiceClient::new(channel),
            clock,
            database,
            running: Some(running),
            server,
            folder,
        }
    }

    /// Starts another replica on the same database, which follows this configuration service.
    pub(crate) async fn replica(&self, configuration: &str) -> Self {
        Self::start(self.database.clone(), None, self.folder.clone(), self.clock.clone(), configuration.into()).await
    }

    /// Gives a spool's machine a tag, where following inventory would.
    pub(crate) async fn tag(&self, tenant: &Tenant, spool: &Spool, tag: &str) {
        let (app_id, machine_id) = (tenant.app_id.cast_signed(), spool.machine_id.parse().unwrap());
        let row = &tag::Model { app_id, machine_id, tag: tag.into() };
        let scope = SystemScope::job(Job::Harness).tenant(AppId::from_row(app_id));
        let db = self.db().await;
        let put = db
            .write(&scope, |tx| async move { Ok(tag::Entity::insert_of(&tx, row.clone().into_active_model()).await?) });
        put.await.unwrap();
        db.close().await;
    }

    /// Opens the database beside the service.
    pub(crate) async fn db(&self) -> Db {
        Db::connect(&self.database, Arc::new(registry())).await.unwrap()
    }

    /// Renews the figures by which the database chooses an index.
    pub(crate) async fn analyze(&self, table: &str) {
        match &self.server {
            Some(url) => {
                let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
                admin.execute(AssertSqlSafe(format!("ANALYZE TABLE {}.{table}", self.database.name))).await.unwrap();
            }
            None => {
                let mut file = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
                file.execute(AssertSqlSafe(format!("ANALYZE {table}"))).await.unwrap();
            }
        }
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

    pub(crate) fn nobody(&self) -> Tenant {
        Tenant { app_id: NEXT.fetch_add(1, Ordering::SeqCst), incarnation: id() }
    }

    pub(crate) async fn tenant(&mut self) -> Tenant {
        let tenant = self.nobody();
        self.open_tenant(&tenant).await;
        tenant
    }

    pub(crate) async fn open_tenant(&mut self, tenant: &Tenant) {
        let Tenant { app_id, incarnation } = tenant.clone();
        self.erasure.open_tenant(OpenTenantRequest { app_id, incarnation }).await.unwrap();
    }

    pub(crate) async fn fence(&mut self, tenant: &Tenant, state: TenantState) -> Fence {
        let Tenant { app_id, incarnation } = tenant.clone();
        let request = FenceRequest { app_id, incarnation, state: state.into(), token: 1 };
        self.erasure.fence(request).await.unwrap().into_inner().fence.unwrap()
    }

    /// Counts the tenant's rows by table; tables without rows are left out.
    pub(crate) async fn rows(&mut self, tenant: &Tenant) -> Vec<(String, u64)> {
        let Tenant { app_id, incarnation } = tenant.clone();
        let counted = self.erasure.count_rows(CountRowsRequest { app_id, incarnation }).await.unwrap().into_inner();
        counted.tables.into_iter().filter(|t| t.rows > 0).map(|t| (t.table, t.rows)).collect()
    }

    pub(crate) async fn report(&self, request: ReportAuthEventsRequest) -> Result<ReportAuthEventsResponse, Status> {
        Ok(self.incidents.clone().report_auth_events(request).await?.into_inner())
    }

    /// Sends the next events of a spool; all of them must be new.
    pub(crate) async fn send(&self, spool: &mut Spool, events: Vec<AuthEvent>) -> ReportAuthEventsResponse {
        let number = events.len() as u64;
        let taken = self.report(spool.batch(spool.next, events)).await.unwrap();
        spool.next += number;
        assert_eq!((taken.next_sequence, u64::from(taken.taken)), (spool.next, number));
        taken
    }

    pub(crate) async fn page(&self, request: ListIncidentsRequest) -> Result<ListIncidentsResponse, Status> {
        Ok(self.incidents.clone().list_incidents(request).await?.into_inner())
    }

    /// Lists everything that a request asks for, page by page.
    pub(crate) async fn list(&self, mut request: ListIncidentsRequest) -> Vec<Incident> {
        let mut found = Vec::new();
        loop {
            let answer = self.page(request.clone()).await.unwrap();
            found.extend(answer.incidents);
            if answer.next_page_token.is_empty() {
                return found;
            }
            let page_size = request.page.as_ref().map_or(0, |page| page.page_size);
            request.page = Some(Page { page_size, page_token: answer.next_page_token });
        }
    }

    pub(crate) async fn all(&self, tenant: &Tenant) -> Vec<Incident> {
        self.list(ListIncidentsRequest { app_id: tenant.app_id, ..Default::default() }).await
    }

    pub(crate) async fn get(&self, tenant: &Tenant, incident_id: &str) -> Result<Incident, Status> {
        let request = GetIncidentRequest { app_id: tenant.app_id, incident_id: incident_id.into() };
        Ok(self.incidents.clone().get_incident(request).await?.into_inner().incident.unwrap())
    }

    pub(crate) async fn update(&self, request: UpdateIncidentsRequest) -> Result<Vec<(bool, String)>, Status> {
        let results = self.incidents.clone().update_incidents(request).await?.into_inner().results;
        Ok(results.into_iter().map(|result| (result.ok, result.reason)).collect())
    }

    /// Changes the status of one incident and returns the reason why not, if any.
    pub(crate) async fn set(&self, tenant: &Tenant, incident_id: &str, status: ProcessingStatus) -> String {
        let request = change(tenant, &[incident_id], status);
        self.update(request).await.unwrap().remove(0).1
    }
}

pub(crate) fn change(tenant: &Tenant, ids: &[&str], status: ProcessingStatus) -> UpdateIncidentsRequest {
    UpdateIncidentsRequest {
        app_id: tenant.app_id,
        request_id: id(),
        incident_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        status: status.into(),
        note: "seen".into(),
    }
}

pub(crate) fn id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    let time = noon() + TimeDelta::seconds(seconds);
    Timestamp { seconds: time.timestamp(), nanos: 0 }
}

fn event(source: &str, account: &str, seconds: i64, outcome: AuthOutcome) -> AuthEvent {
    AuthEvent {
        event_time: Some(time(seconds)),
        account: account.into(),
        source_address: source.into(),
        source_port: 50_022,
        service: "ssh".into(),
        outcome: outcome.into(),
        method: "password".into(),
        count: 1,
        escaped: false,
    }
}

/// A failed attempt, so many seconds from noon.
pub(crate) fn fail(source: &str, account: &str, seconds: i64) -> AuthEvent {
    event(source, account, seconds, AuthOutcome::Failed)
}

/// A failed attempt at an account that does not exist.
pub(crate) fn unknown(source: &str, account: &str, seconds: i64) -> AuthEvent {
    event(source, account, seconds, AuthOutcome::FailedUnknownAccount)
}

/// A login.
pub(crate) fn accept(source: &str, account: &str, seconds: i64) -> AuthEvent {
    event(source, account, seconds, AuthOutcome::Accepted)
}

/// Failed attempts at an account, two seconds apart.
pub(crate) fn guesses(source: &str, account: &str, from: i64, number: i64) -> Vec<AuthEvent> {
    (0..number).map(|n| fail(source, account, from + 2 * n)).collect()
}

pub(crate) fn cracking(incident: &Incident) -> &PasswordCracking {
    match &incident.details {
        Some(Details::PasswordCracking(details)) => details,
        other => panic!("no cracking: {other:?}"),
    }
}

pub(crate) fn login(incident: &Incident) -> &AbnormalLogin {
    match &incident.details {
        Some(Details::AbnormalLogin(details)) => details,
        other => panic!("no login: {other:?}"),
    }
}

/// What an incident says, without what differs from one run to the next.
pub(crate) fn gist(incident: &Incident) -> Incident {
    Incident { incident_id: String::new(), etag: String::new(), ..incident.clone() }
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
