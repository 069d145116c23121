//! The handle of a service's database.

use std::sync::Arc;
use std::time::Duration;

use cwpp_access::scope::tenant_unknown;
use cwpp_access::{AppId, SystemScope, TenantScope};
use cwpp_chassis::{Error, Reason, Result};
use sea_orm::{QueryResult, Statement, Value};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use uuid::Uuid;

use crate::config::Database;
use crate::connect::{self, Pools};
use crate::dialect::Dialect;
use crate::error::{StoreError, StoreResult, Trouble, trouble};
use crate::fence::State;
use crate::guard::{
    FenceTx, Fenced, OpeningTx, PurgeTx, SystemRead, SystemTx, TenantRead, TenantTx, Want, admit, fence_sql, fenced,
};
use crate::keys::Keys;
use crate::registry::Registry;
use crate::retry::Retry;
use crate::session::Session;

/// Longest life of a transaction that holds a fence row.
pub const TRANSACTION: Duration = Duration::from_secs(1);
/// Longest wait for a lock in a transaction of a tenant.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Longest wait of a seal for the transactions before it, per try.
const SEAL_WAIT: Duration = Duration::from_secs(3);

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

    /// Says whether the database answers and its schema has every step that this build needs.
    pub async fn ready(&self) -> Result<()> {
        crate::migrate::check(self).await
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>> {
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

    /// Runs a transaction that writes the tenant's data. The closure may run several times: it must do nothing outside
    /// the database. It has a second.
    pub async fn write<T, F, Fut>(&self, scope: &TenantScope, work: F) -> Result<T>
    where
        F: Fn(TenantTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        self.write_wanting(scope, Want::Write, work).await
    }

    /// As [`Db::write`], for what a scheduled termination still admits: audit, revocation of grants, cancelling.
    pub async fn write_while_closing<T, F, Fut>(&self, scope: &TenantScope, work: F) -> Result<T>
    where
        F: Fn(TenantTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        self.write_wanting(scope, Want::WriteWhileClosing, work).await
    }

    pub(crate) async fn write_wanting<T, F, Fut>(&self, scope: &TenantScope, want: Want, work: F) -> Result<T>
    where
        F: Fn(TenantTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let _permit = self.permit().await?;
        let mut retry = Retry::new();
        let first = fence_sql(scope.app_id(), self.inner.dialect.shared_lock());
        loop {
            match self.attempt(&first, want, &work).await {
                Ok(value) => return Ok(value),
                Err(e) => retry.after(e).await?,
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, first: &str, want: Want, work: &F) -> StoreResult<T>
    where
        F: Fn(TenantTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
    {
        let raw = self.inner.pools.writer().await?;
        let (session, rows) = Session::begin(self.inner.dialect, raw, Some(TRANSACTION), None, first).await?;
        let watch = session.watch();
        let checked = fenced(&rows).and_then(|fence| {
            admit(want, fence.map(|f| f.state))?;
            fence.ok_or_else(|| tenant_unknown().into())
        });
        let fence = match checked {
            Ok(fence) => fence,
            Err(e) => {
                session.rollback().await;
                return Err(e);
            }
        };
        crate::fault!("storage.fence_locked");
        if fence.scope_epoch != 0 {
            read_tombstones(&fence);
        }
        let result =
            tokio::time::timeout_at(session.expires(), work(TenantTx { session: session.clone(), fence })).await;
        finish(&session, result, watch).await
    }

    /// Reads the tenant's data.
    pub async fn read<T, F, Fut>(&self, scope: &TenantScope, work: F) -> Result<T>
    where
        F: Fn(TenantRead) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let raw = self.inner.pools.reader().await?;
        let session = Session::reading(self.inner.dialect, raw);
        let result = async {
            let rows = session
                .query_all(Statement::from_string(self.inner.dialect.backend(), fence_sql(scope.app_id(), "")))
                .await?;
            let fence = fenced(&rows)?;
            admit(Want::Read, fence.map(|f| f.state))?;
            let fence = fence.ok_or_else(tenant_unknown)?;
            work(TenantRead { session: session.clone(), fence }).await
        }
        .await;
        session.release().await;
        result.map_err(answer)
    }

    /// Runs a transaction on tables that hold nothing of tenants.
    pub async fn system<T, F, Fut>(&self, _scope: &SystemScope, work: F) -> Result<T>
    where
        F: Fn(SystemTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut retry = Retry::new();
        loop {
            let tried = async {
                let raw = self.inner.pools.writer().await?;
                let (session, _) = Session::begin(self.inner.dialect, raw, Some(10 * TRANSACTION), None, "").await?;
                let watch = session.watch();
                let tx = SystemTx { session: session.clone(), registry: self.inner.registry.clone() };
                let result = tokio::time::timeout_at(session.expires(), work(tx)).await;
                finish(&session, result, watch).await
            }
            .await;
            match tried {
                Ok(value) => return Ok(value),
                Err(e) => retry.after(e).await?,
            }
        }
    }

    /// Reads across tenants: for the few system methods and jobs that look for work.
    pub async fn system_read<T, F, Fut>(&self, _scope: &SystemScope, work: F) -> Result<T>
    where
        F: Fn(SystemRead) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let raw = self.inner.pools.reader().await?;
        let session = Session::reading(self.inner.dialect, raw);
        let result = work(SystemRead { session: session.clone() }).await;
        session.release().await;
        result.map_err(answer)
    }

    /// Makes a tenant: its fence row as OPENING and what the closure writes commit together. A tenant that is there
    /// already is `TENANT_EXISTS`, one that is being erased `TENANT_CLOSING`.
    pub async fn open_new<T, F, Fut>(
        &self,
        _scope: &SystemScope,
        app_id: AppId,
        incarnation: Uuid,
        work: F,
    ) -> Result<T>
    where
        F: Fn(OpeningTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let _permit = self.permit().await?;
        let mut retry = Retry::new();
        loop {
            let tried = async {
                let raw = self.inner.pools.writer().await?;
                let first = fence_sql(app_id, self.inner.dialect.shared_lock());
                let (session, rows) = Session::begin(self.inner.dialect, raw, Some(TRANSACTION), None, &first).await?;
                let watch = session.watch();
                let tx = OpeningTx {
                    session: session.clone(),
                    fence: Fenced { app_id, incarnation, state: State::Opening, epoch: 0, scope_epoch: 0 },
                };
                let result = tokio::time::timeout_at(session.expires(), async {
                    if let Some(there) = fenced(&rows)? {
                        return Err(exists(there.state).into());
                    }
                    match insert_fence(&session, &tx.fence).await {
                        Err(StoreError::Database(e)) if trouble(&e) == Trouble::Exists => {
                            Err(exists(State::Opening).into())
                        }
                        Err(e) => Err(e),
                        Ok(()) => work(tx).await,
                    }
                })
                .await;
                finish(&session, result, watch).await
            }
            .await;
            match tried {
                Ok(value) => return Ok(value),
                Err(e) => retry.after(e).await?,
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

    /// Locks a fence row exclusively, and waits for the transactions that hold it; for the erasure engine only.
    pub(crate) async fn fence<T, F, Fut>(&self, app_id: AppId, work: F) -> Result<T>
    where
        F: Fn(FenceTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut retry = Retry::new();
        let first = fence_sql(app_id, self.inner.dialect.exclusive_lock());
        loop {
            let tried = async {
                let raw = self.inner.pools.writer().await?;
                let (session, rows) =
                    Session::begin(self.inner.dialect, raw, Some(SEAL_WAIT + TRANSACTION), Some(SEAL_WAIT), &first)
                        .await?;
                let watch = session.watch();
                let work = async { work(FenceTx { session: session.clone(), fence: fenced(&rows)? }).await };
                let result = tokio::time::timeout_at(session.expires(), work).await;
                let result = finish_waiting(&session, result, watch, self.inner.dialect).await;
                crate::fault!("storage.fenced");
                result
            }
            .await;
            match tried {
                Ok(value) => return Ok(value),
                Err(StoreError::Database(e)) if matches!(trouble(&e), Trouble::Contention(_)) => {
                    if let Err(last) = retry.after(StoreError::Database(e)).await {
                        return Err(Error::new(
                            Reason::SealWait,
                            "transactions that began before the seal are still running",
                        )
                        .retry_after(Duration::from_secs(1))
                        .source(last));
                    }
                }
                Err(e) => return Err(answer(e)),
            }
        }
    }

    /// Runs one chunk of a purge: the fence is read again under its lock and must be sealed; for the erasure engine only.
    pub(crate) async fn purge<T, F, Fut>(&self, app_id: AppId, work: F) -> Result<T>
    where
        F: Fn(PurgeTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut retry = Retry::new();
        let first = fence_sql(app_id, self.inner.dialect.shared_lock());
        loop {
            let tried = async {
                let raw = self.inner.pools.writer().await?;
                let (session, rows) =
                    Session::begin(self.inner.dialect, raw, Some(5 * TRANSACTION), None, &first).await?;
                let watch = session.watch();
                let result = tokio::time::timeout_at(session.expires(), async {
                    let fence = fenced(&rows)?;
                    admit(Want::Purge, fence.map(|f| f.state))?;
                    let fence = fence.ok_or_else(tenant_unknown)?;
                    work(PurgeTx { session: session.clone(), fence }).await
                })
                .await;
                finish(&session, result, watch).await
            }
            .await;
            match tried {
                Ok(value) => return Ok(value),
                Err(e) => retry.after(e).await?,
            }
        }
    }

    /// Reads from the catalogue, outside any guard.
    pub(crate) async fn catalogue(&self, sql: &str, values: &[Value]) -> Result<Vec<QueryResult>> {
        let session = Session::reading(self.inner.dialect, self.inner.pools.reader().await?);
        let stmt = Statement::from_sql_and_values(self.inner.dialect.backend(), sql, values.to_vec());
        let rows = session.query_all(stmt).await.map_err(StoreError::from);
        session.release().await;
        rows.map_err(answer)
    }
}

/// Ends a transaction as its closure did, within its time.
async fn finish<T>(
    session: &Arc<Session>,
    result: std::result::Result<StoreResult<T>, tokio::time::error::Elapsed>,
    watch: Option<crate::session::Watch>,
) -> StoreResult<T> {
    let result = match result {
        Ok(Ok(value)) => {
            crate::fault!("storage.before_commit");
            session.commit().await.map(|()| value)
        }
        Ok(Err(e)) => {
            session.rollback().await;
            Err(e)
        }
        Err(_) => {
            session.release().await;
            Err(crate::session::cut_error().into())
        }
    };
    drop(watch);
    if result.is_err() && session.was_cut() {
        return Err(crate::session::cut_error().into());
    }
    result
}

/// As [`finish`], and sets the lock wait back to what every session has.
async fn finish_waiting<T>(
    session: &Arc<Session>,
    result: std::result::Result<StoreResult<T>, tokio::time::error::Elapsed>,
    watch: Option<crate::session::Watch>,
    dialect: Dialect,
) -> StoreResult<T> {
    if result.is_ok() {
        let _ = session.text(&dialect.lock_wait(LOCK_WAIT)).await;
    }
    finish(session, result, watch).await
}

fn exists(state: State) -> Error {
    match state {
        State::Sealed | State::ReadOnly => {
            Error::new(Reason::TenantClosing, "the tenant's former life is still being erased")
        }
        State::Opening | State::Active => Error::new(Reason::TenantExists, "the tenant exists already"),
    }
}

pub(crate) async fn insert_fence(session: &Session, fence: &Fenced) -> StoreResult<()> {
    let sql = "INSERT INTO tenant_fence (app_id, incarnation, state, epoch, scope_epoch) VALUES (?, ?, ?, ?, ?)";
    let values: [Value; 5] = [
        fence.app_id.get().into(),
        fence.incarnation.into(),
        fence.state.number().into(),
        fence.epoch.into(),
        fence.scope_epoch.into(),
    ];
    session.execute(Statement::from_sql_and_values(session.dialect().backend(), sql, values)).await?;
    Ok(())
}

/// Where a guard reads the tombstones of scoped deletions: after the lock, and only for tenants that have had one.
/// There are none yet, so nothing is read.
fn read_tombstones(_fence: &Fenced) {}

pub(crate) fn answer(error: StoreError) -> Error {
    if crate::session::is_cut(&error) { crate::session::cut_error() } else { error.into() }
}
