//! A database of its own for each test, and the words in which tests speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cwpp_access::ops::ErasureServiceOps;
use cwpp_access::{AppId, Job, SystemScope, TenantScope};
use cwpp_chassis::Result;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::erasure::v1 as wire;
use cwpp_storage::{Database, Db, Eraser, migrate};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor};
use uuid::Uuid;

/// Defines a test that runs on both databases.
macro_rules! both {
    ($( $(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block )+) => { $(
        mod $name {
            use super::*;

            async fn test($world: World) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let world = World::sqlite().await;
                let keep = world.clone();
                test(world).await;
                keep.end().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mysql() {
                let Some(world) = World::mysql().await else { return };
                let keep = world.clone();
                test(world).await;
                keep.end().await;
            }
        }
    )+ };
}
pub(crate) use both;

/// One database, migrated, and its erasure service.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Database,
    pub(crate) db: Db,
    pub(crate) eraser: Eraser,
    /// The server, where there is one.
    server: Option<String>,
    folder: Option<Arc<tempfile::TempDir>>,
}

/// A tenant that was opened.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) app_id: AppId,
    pub(crate) incarnation: Uuid,
    pub(crate) scope: TenantScope,
}

static NEXT: AtomicI64 = AtomicI64::new(1000);

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Database::at(format!("sqlite:{}", folder.path().join("test.db").display()));
        Self::open(config, None, Some(Arc::new(folder))).await
    }

    pub(crate) async fn mysql() -> Option<Self> {
        let config = Self::mysql_config().await?;
        let server = std::env::var("CWPP_TEST_MYSQL_URL").ok();
        Some(Self::open(config, server, None).await)
    }

    /// Makes an empty schema on the server.
    async fn mysql_config() -> Option<Database> {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return None;
        };
        let name = format!("cwpp_storage_{}", Uuid::new_v4().simple());
        let mut admin = sqlx::MySqlConnection::connect(&url).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Some(Database { name, ..Database::at(url) })
    }

    async fn open(config: Database, server: Option<String>, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let registry = Arc::new(crate::entity::registry());
        migrate::up(&config, &registry).await.unwrap();
        let db = Db::connect(&config, registry).await.unwrap();
        Self { eraser: Eraser::new(db.clone()), db, config, server, folder }
    }

    /// Opens the same database again, as another process would.
    pub(crate) async fn again(&self, change: impl FnOnce(&mut Database)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        let db = Db::connect(&config, self.db.registry().clone()).await.unwrap();
        Self { eraser: Eraser::new(db.clone()), db, config, server: self.server.clone(), folder: self.folder.clone() }
    }

    pub(crate) fn is_mysql(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) async fn end(self) {
        self.db.close().await;
        if let Some(url) = &self.server {
            let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
            admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", self.config.name))).await.unwrap();
        }
    }

    pub(crate) fn system(&self) -> SystemScope {
        SystemScope::job(Job::Harness)
    }

    pub(crate) fn nobody(&self) -> Tenant {
        self.named(AppId::from_row(NEXT.fetch_add(1, Ordering::SeqCst)))
    }

    pub(crate) fn named(&self, app_id: AppId) -> Tenant {
        Tenant { app_id, incarnation: Uuid::new_v4(), scope: self.system().tenant(app_id) }
    }

    pub(crate) async fn tenant(&self) -> Tenant {
        let tenant = self.nobody();
        self.open_tenant(&tenant).await.unwrap();
        tenant
    }

    pub(crate) async fn open_tenant(&self, t: &Tenant) -> Result<wire::Fence> {
        let request = wire::OpenTenantRequest { app_id: t.app_id.to_request(), incarnation: t.incarnation.to_string() };
        Ok(self.eraser.open_tenant(self.system(), request).await?.fence.unwrap())
    }

    pub(crate) async fn fence(&self, t: &Tenant, state: TenantState, token: u64) -> Result<wire::Fence> {
        let request = wire::FenceRequest {
            app_id: t.app_id.to_request(),
            incarnation: t.incarnation.to_string(),
            state: state.into(),
            token,
        };
        Ok(self.eraser.fence(self.system(), request).await?.fence.unwrap())
    }

    pub(crate) async fn seal(&self, t: &Tenant, token: u64) -> Result<wire::Fence> {
        self.fence(t, TenantState::Sealed, token).await
    }

    pub(crate) async fn unfence(&self, t: &Tenant, token: u64) -> Result<wire::Fence> {
        let request =
            wire::UnfenceRequest { app_id: t.app_id.to_request(), incarnation: t.incarnation.to_string(), token };
        Ok(self.eraser.unfence(self.system(), request).await?.fence.unwrap())
    }

    pub(crate) fn erase_request(&self, t: &Tenant, token: u64, epoch: u64, close: bool) -> wire::EraseRequest {
        wire::EraseRequest {
            app_id: t.app_id.to_request(),
            incarnation: t.incarnation.to_string(),
            token,
            epoch,
            budget: None,
            pause: None,
            close,
        }
    }

    /// Erases until nothing is left; returns the last message.
    pub(crate) async fn erase(&self, t: &Tenant, token: u64, epoch: u64, close: bool) -> Result<wire::EraseResponse> {
        loop {
            let request = self.erase_request(t, token, epoch, close);
            let messages: Vec<_> = self.eraser.erase(self.system(), request).await?.try_collect().await?;
            let last = messages.into_iter().last().unwrap();
            if !last.more {
                return Ok(last);
            }
        }
    }

    pub(crate) async fn count(&self, t: &Tenant) -> Result<wire::CountRowsResponse> {
        let request = wire::CountRowsRequest { app_id: t.app_id.to_request(), incarnation: t.incarnation.to_string() };
        self.eraser.count_rows(self.system(), request).await
    }

    /// Counts all rows of a tenant in all tables.
    pub(crate) async fn rows(&self, t: &Tenant) -> u64 {
        self.count(t).await.unwrap().tables.iter().map(|t| t.rows).sum()
    }

    /// Runs statements beside the guards.
    pub(crate) async fn raw(&self) -> Raw {
        match &self.server {
            Some(url) => {
                let mut c = sqlx::MySqlConnection::connect(url).await.unwrap();
                c.execute(AssertSqlSafe(format!("USE {}", self.config.name))).await.unwrap();
                c.execute("SET SESSION transaction_isolation = 'READ-COMMITTED'").await.unwrap();
                Raw::MySql(c)
            }
            None => Raw::Sqlite(sqlx::SqliteConnection::connect(&self.config.url).await.unwrap()),
        }
    }

    pub(crate) async fn forget_migrations(&self) {
        self.raw().await.run("DELETE FROM schema_migration").await;
    }

    /// Makes an empty database beside this one.
    pub(crate) async fn empty(&self) -> Database {
        match &self.folder {
            Some(folder) => {
                Database::at(format!("sqlite:{}", folder.path().join(format!("{}.db", Uuid::new_v4())).display()))
            }
            None => Self::mysql_config().await.unwrap(),
        }
    }

    pub(crate) async fn drop_schema(&self, config: &Database) {
        if self.is_mysql() {
            self.raw().await.run(&format!("DROP DATABASE {}", config.name)).await;
        }
    }
}

/// A connection that no guard holds.
pub(crate) enum Raw {
    MySql(sqlx::MySqlConnection),
    Sqlite(sqlx::SqliteConnection),
}

impl Raw {
    /// Runs statements; returns the rows changed by the last.
    pub(crate) async fn run(&mut self, sql: &str) -> u64 {
        self.try_run(sql).await.unwrap()
    }

    pub(crate) async fn try_run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::MySql(c) => c.execute(AssertSqlSafe(sql)).await?.rows_affected(),
            Self::Sqlite(c) => c.execute(AssertSqlSafe(sql)).await?.rows_affected(),
        })
    }

    /// Reads one integer; none without a row.
    pub(crate) async fn number(&mut self, sql: &str) -> Option<i64> {
        match self {
            Self::MySql(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(c).await.unwrap(),
            Self::Sqlite(c) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(c).await.unwrap(),
        }
    }
}
