//! The handle of a service's database.

use std::sync::Arc;
use std::time::Duration;

use cwpp_access::SystemScope;
use cwpp_chassis::{Check, Error, Reason, Result};
use sea_orm::{QueryResult, Statement, Value};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::config::Database;
use crate::connect::{self, Pools};
use crate::dialect::Dialect;
use crate::error::{StoreError, is_broken};
use crate::guard::{Fenced, fenced};
use crate::keys::Keys;
use crate::registry::Registry;
use crate::session::Session;

/// Connections that may turn out to have broken in the pool before a call gives up: as many as a pool has, when the
/// server was started anew.
pub(crate) const BROKEN: u32 = 32;

/// A service's database. Clones share its pools.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    dialect: Dialect,
    pools: Pools,
    permits: Semaphore,
    acquire_timeout: Duration,
    registry: Arc<Registry>,
    keys: Keys,
    /// Rises whenever a feed of this process may have grown.
    appended: watch::Sender<u64>,
    /// Rises whenever a head of this process rose.
    risen: watch::Sender<u64>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("dialect", &self.inner.dialect)
            .field("service", &self.inner.registry.service())
            .finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database. The schema may still be missing: see [`crate::migrate`].
    pub async fn connect(config: &Database, registry: Arc<Registry>) -> Result<Self> {
        let dialect = connect::dialect(config)?;
        let keys = Keys::load(config)?;
        let pools = connect::pools(config, registry.service()).await?;
        let permits = Semaphore::new(config.write_permits.max(1) as usize);
        Ok(Self {
            inner: Arc::new(Inner {
                dialect,
                pools,
                permits,
                acquire_timeout: config.acquire_timeout,
                registry,
                keys,
                appended: watch::channel(0).0,
                risen: watch::channel(0).0,
            }),
        })
    }

    /// Returns the registry that it was opened with.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// Returns the database's kind.
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// Returns the keys of page tokens and request hashes.
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn appended(&self) -> &watch::Sender<u64> {
        &self.inner.appended
    }

    pub(crate) fn risen(&self) -> &watch::Sender<u64> {
        &self.inner.risen
    }

    /// Closes all connections; running transactions end first.
    pub async fn close(&self) {
        self.inner.pools.close().await;
    }

    /// Makes the check by which a service is ready: the database answers and has the schema that this build needs.
    pub fn readiness(&self) -> Check {
        let db = self.clone();
        Check::new("database", move || {
            let db = db.clone();
            async move { Ok(db.ready().await?) }
        })
    }

    /// Says whether the database answers and its schema has every step that this build needs.
    pub async fn ready(&self) -> Result<()> {
        crate::migrate::check(self).await
    }

    /// Takes one of the process's write permits.
    pub(crate) async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        let wait = cwpp_chassis::deadline::remaining()
            .map_or(self.inner.acquire_timeout, |left| left.min(self.inner.acquire_timeout));
        match tokio::time::timeout(wait, self.inner.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                Err(Error::new(Reason::Overloaded, "all write permits are in use")
                    .retry_after(Duration::from_millis(200)))
            }
        }
    }

    /// Lists all tenants that have a fence row here.
    pub async fn tenants(&self, _scope: &SystemScope) -> Result<Vec<Fenced>> {
        let rows = self
            .catalogue("SELECT app_id, incarnation, state, epoch, scope_epoch FROM tenant_fence ORDER BY app_id", &[])
            .await?;
        let mut tenants = Vec::with_capacity(rows.len());
        for row in rows {
            tenants.extend(fenced(&[row]).map_err(Error::from)?);
        }
        Ok(tenants)
    }

    /// Reads one statement outside any guard, on a connection that works, and keeps the connection.
    pub(crate) async fn reading(&self, sql: &str, values: &[Value]) -> Result<(Arc<Session>, Vec<QueryResult>)> {
        let mut broken = 0;
        loop {
            let session = Session::reading(self.inner.dialect, self.inner.pools.reader().await?);
            let stmt = Statement::from_sql_and_values(self.inner.dialect.backend(), sql, values.to_vec());
            match session.query_all(stmt).await {
                Ok(rows) => return Ok((session, rows)),
                Err(e) => {
                    session.release().await;
                    broken += 1;
                    if broken > BROKEN || !is_broken(&e) {
                        return Err(answer(e.into()));
                    }
                }
            }
        }
    }

    /// Reads from the catalogue, outside any guard.
    pub(crate) async fn catalogue(&self, sql: &str, values: &[Value]) -> Result<Vec<QueryResult>> {
        let (session, rows) = self.reading(sql, values).await?;
        session.release().await;
        Ok(rows)
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }
}

/// Turns a failure into the caller's answer.
pub(crate) fn answer(error: StoreError) -> Error {
    if crate::session::is_cut(&error) { crate::session::cut_error() } else { error.into() }
}
