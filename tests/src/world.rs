//! A world: the four services in this process on databases of their own, over real gRPC, on a clock of ours.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use cwpp::platform::{Platform, Ports};
use cwpp_chassis::Clock;
use cwpp_chassis::client::Channel;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::configuration::v1::{CreateTenantRequest, GetTenantRequest, Tenant};
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::{CountRowsRequest, TableCount};
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::{Deletion, DeletionState, GetDeletionRequest};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take before something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The databases that a suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Embedded SQLite.
    Sqlite,
    /// A real MySQL server, named by `CWPP_TEST_MYSQL_URL`.
    MySql,
}

/// Returns the server that tests may create databases on.
pub fn mysql_server() -> anyhow::Result<String> {
    std::env::var("CWPP_TEST_MYSQL_URL")
        .context("CWPP_TEST_MYSQL_URL names no MySQL server: run tests/run, or see tests/README.md")
}

/// Databases on the MySQL server, dropped at the end.
pub struct MySqlDatabases {
    server: String,
    prefix: String,
    names: Vec<String>,
}

impl MySqlDatabases {
    /// Creates one database for each name on the server of the tests.
    pub async fn create(names: &[&str]) -> anyhow::Result<Self> {
        Self::create_on(mysql_server()?, names).await
    }

    /// Creates one database for each name on this server.
    pub async fn create_on(server: String, names: &[&str]) -> anyhow::Result<Self> {
        let prefix = format!("t{}", Uuid::new_v4().simple());
        let mut connection = sqlx::MySqlConnection::connect(&server).await?;
        let names: Vec<String> = names.iter().map(|name| format!("{prefix}_{name}")).collect();
        for name in &names {
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        }
        Ok(Self { server, prefix, names })
    }

    /// Returns the URL of one of them.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{}_{name}", self.server.trim_end_matches('/'), self.prefix)
    }

    /// Drops them.
    pub async fn drop_all(&self) -> anyhow::Result<()> {
        let mut connection = sqlx::MySqlConnection::connect(&self.server).await?;
        for name in &self.names {
            connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await?;
        }
        Ok(())
    }
}

/// The names of the four services, which are those of their databases.
pub const SERVICES: [&str; 4] = ["inventory", "incidents", "configuration", "retention"];

/// The running world.
pub struct World {
    /// The services.
    pub platform: Platform,
    /// Where spools, keys and logs are.
    pub folder: TempDir,
    /// The databases, where they are on a server.
    pub databases: Option<MySqlDatabases>,
}

impl World {
    /// Starts everything on fresh databases; the clock stands at now until it is put forward.
    pub async fn new(backend: Backend) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Clock::manual(Utc::now());
        let databases = match backend {
            Backend::Sqlite => None,
            Backend::MySql => Some(MySqlDatabases::create(&SERVICES).await?),
        };
        let platform = match &databases {
            None => Platform::start(folder.path(), clock, Ports::Free).await?,
            Some(databases) => {
                let database = |name: &str| cwpp_storage::Database::at(databases.url(name));
                Platform::start_on(database, folder.path(), clock, Ports::Free).await?
            }
        };
        Ok(Self { platform, folder, databases })
    }

    /// Returns a connection to inventory.
    pub fn inventory(&self) -> anyhow::Result<Channel> {
        Platform::channel(&self.platform.inventory)
    }

    /// Returns a connection to incidents.
    pub fn incidents(&self) -> anyhow::Result<Channel> {
        Platform::channel(&self.platform.incidents)
    }

    /// Returns a connection to configuration.
    pub fn configuration(&self) -> anyhow::Result<Channel> {
        Platform::channel(&self.platform.configuration)
    }

    /// Returns a connection to retention.
    pub fn retention(&self) -> anyhow::Result<Channel> {
        Platform::channel(&self.platform.retention)
    }

    /// Creates a tenant and waits until it is open everywhere.
    pub async fn tenant(&self, app_id: u64) -> anyhow::Result<Tenant> {
        open_tenant(self.configuration()?, app_id, self.platform.clock.now()).await
    }

    /// Counts a tenant's rows in all services; only tables that have any.
    pub async fn rows(&self, tenant: &Tenant) -> anyhow::Result<Vec<(&'static str, TableCount)>> {
        let mut rows = Vec::new();
        for (name, channel) in
            SERVICES.into_iter().zip([self.inventory()?, self.incidents()?, self.configuration()?, self.retention()?])
        {
            let request = CountRowsRequest { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
            let tables = ErasureServiceClient::new(channel).count_rows(request).await?.into_inner().tables;
            rows.extend(tables.into_iter().filter(|t| t.rows > 0).map(|t| (name, t)));
        }
        Ok(rows)
    }

    /// Puts the clock forward while the deletion waits, until it is in this state.
    pub async fn until(&self, deletion: &Deletion, state: DeletionState) -> anyhow::Result<Deletion> {
        let mut client = RetentionServiceClient::new(self.retention()?);
        let start = Instant::now();
        loop {
            let request = GetDeletionRequest { deletion_id: deletion.deletion_id.clone() };
            let deletion = client.get_deletion(request).await?.into_inner().deletion.context("a deletion")?;
            if deletion.state() == state {
                return Ok(deletion);
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "the deletion stays {}: {}",
                deletion.state().as_str_name(),
                deletion.blocker
            );
            if matches!(deletion.state(), DeletionState::Scheduled | DeletionState::ResidueWait) {
                self.platform.clock.advance(Duration::from_secs(6 * 3600));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Ends the services and removes the databases.
    pub async fn end(self) -> anyhow::Result<()> {
        self.platform.stop().await;
        if let Some(databases) = &self.databases {
            databases.drop_all().await?;
        }
        Ok(())
    }
}

/// Creates a tenant and waits until its state is ACTIVE.
pub async fn open_tenant(configuration: Channel, app_id: u64, now: chrono::DateTime<Utc>) -> anyhow::Result<Tenant> {
    let mut client = TenantServiceClient::new(configuration);
    let accepted = prost_types::Timestamp { seconds: now.timestamp(), nanos: 0 };
    let request = CreateTenantRequest {
        app_id,
        request_id: Uuid::new_v4().to_string(),
        uin: app_id + 1_000_000,
        region: "default".into(),
        agreement_version: "1".into(),
        agreement_accepted_time: Some(accepted),
    };
    client.create_tenant(request).await?;
    let start = Instant::now();
    loop {
        let tenant = client.get_tenant(GetTenantRequest { app_id }).await?.into_inner().tenant.context("a tenant")?;
        if tenant.state() == TenantState::Active {
            return Ok(tenant);
        }
        ensure!(start.elapsed() < PATIENCE, "the tenant is not opened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a test once on each backend; each is a test of its own.
#[macro_export]
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() -> anyhow::Result<()> { super::$name($crate::world::Backend::Sqlite).await })+ }
        mod mysql { $(#[tokio::test(flavor = "multi_thread")] async fn $name() -> anyhow::Result<()> { super::$name($crate::world::Backend::MySql).await })+ }
    };
}
