//! Transactions: how each guard's begins, what its fence row must say, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use cwpp_access::scope::tenant_unknown;
use cwpp_access::{AppId, SystemScope, TenantScope};
use cwpp_chassis::{Error, Reason, Result};
use sea_orm::{DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::Db;
use crate::db::{BROKEN, answer};
use crate::error::{StoreError, StoreResult, Trouble, is_broken, trouble};
use crate::fence::State;
use crate::guard::{
    FenceTx, Fenced, OpeningTx, PurgeTx, SystemRead, SystemTx, TenantRead, TenantTx, Want, admit, fence_sql, fenced,
};
use crate::retry::Retry;
use crate::session::{Session, cut_error};

/// Longest life of a transaction that holds a fence row.
pub const TRANSACTION: Duration = Duration::from_secs(1);
/// Longest wait for a lock in a transaction of a tenant.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Longest wait of a seal for the transactions before it, per try.
const SEAL_WAIT: Duration = Duration::from_secs(3);
/// Longest life of a transaction of a purge, which nobody waits for: the tenant is sealed.
const CHUNK: Duration = Duration::from_secs(5);
/// Longest read of what was there at one moment: while it lasts, the database keeps what others replace.
const MOMENT: Duration = Duration::from_secs(60);
/// Longest life of a transaction that holds no fence row.
const SYSTEM: Duration = Duration::from_secs(10);

/// How a transaction begins.
struct How {
    /// Its longest life, from BEGIN.
    limit: Duration,
    /// How long it waits for locks, where that is not what every session has.
    lock_wait: Option<Duration>,
    /// Its first statement, in the round trip of BEGIN.
    first: String,
}

impl Db {
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
        let first = fence_sql(scope.app_id(), self.dialect().shared_lock());
        let how = How { limit: TRANSACTION, lock_wait: None, first };
        let work = &work;
        self.repeat(&how, |session, rows| async move {
            let fence = admitted(want, &rows)?;
            crate::fault::point("storage", "fence_locked").await;
            if fence.scope_epoch != 0 {
                read_tombstones(&fence);
            }
            work(TenantTx { session, fence }).await
        })
        .await
    }

    /// Reads the tenant's data.
    pub async fn read<T, F, Fut>(&self, scope: &TenantScope, work: F) -> Result<T>
    where
        F: Fn(TenantRead) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let (session, rows) = self.reading(&fence_sql(scope.app_id(), ""), &[]).await?;
        let result = async {
            let fence = admitted(Want::Read, &rows)?;
            work(TenantRead { session: session.clone(), fence }).await
        }
        .await;
        session.release().await;
        result.map_err(answer)
    }

    /// Reads the tenant's data as it was at one moment, in however many statements.
    pub async fn read_at_once<T, F, Fut>(&self, scope: &TenantScope, work: F) -> Result<T>
    where
        F: Fn(TenantRead) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let first = fence_sql(scope.app_id(), "");
        let mut broken = 0;
        let (session, rows) = loop {
            let raw = self.pools().reader().await?;
            let begin = (self.dialect().begin_reading(), None);
            match Session::begin(self.dialect(), raw, MOMENT, begin, &first).await {
                Err(StoreError::Database(e)) if broken < BROKEN && is_broken(&e) => broken += 1,
                other => break other.map_err(answer)?,
            }
        };
        let result = async {
            let fence = admitted(Want::Read, &rows)?;
            work(TenantRead { session: session.clone(), fence }).await
        }
        .await;
        session.rollback().await;
        result.map_err(answer)
    }

    /// Runs a transaction on tables that hold nothing of tenants.
    pub async fn system<T, F, Fut>(&self, _scope: &SystemScope, work: F) -> Result<T>
    where
        F: Fn(SystemTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let how = How { limit: SYSTEM, lock_wait: None, first: String::new() };
        let work = &work;
        self.repeat(&how, |session, _| work(SystemTx { session, registry: self.registry().clone() })).await
    }

    /// Reads across tenants: for the few system methods and jobs that look for work.
    pub async fn system_read<T, F, Fut>(&self, _scope: &SystemScope, work: F) -> Result<T>
    where
        F: Fn(SystemRead) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut broken = 0;
        loop {
            let session = Session::reading(self.dialect(), self.pools().reader().await?);
            let result = work(SystemRead { session: session.clone() }).await;
            session.release().await;
            match result {
                // Reads may be repeated whole.
                Err(StoreError::Database(e)) if broken < BROKEN && is_broken(&e) => broken += 1,
                other => return other.map_err(answer),
            }
        }
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
        let first = fence_sql(app_id, self.dialect().shared_lock());
        let how = How { limit: TRANSACTION, lock_wait: None, first };
        let work = &work;
        self.repeat(&how, |session, rows| async move {
            if let Some(there) = fenced(&rows)? {
                return Err(exists(there.state).into());
            }
            let fence = Fenced { app_id, incarnation, state: State::Opening, epoch: 0, scope_epoch: 0 };
            match insert_fence(&session, &fence).await {
                Err(e) if trouble(&e) == Trouble::Exists => Err(exists(State::Opening).into()),
                Err(e) => Err(e.into()),
                Ok(()) => work(OpeningTx { session, fence }).await,
            }
        })
        .await
    }

    /// Locks a fence row exclusively, and waits for the transactions that hold it; for the erasure engine only.
    pub(crate) async fn fence<T, F, Fut>(&self, app_id: AppId, work: F) -> Result<T>
    where
        F: Fn(FenceTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let first = fence_sql(app_id, self.dialect().exclusive_lock());
        let how = How { limit: SEAL_WAIT + TRANSACTION, lock_wait: Some(SEAL_WAIT), first };
        let work = &work;
        let result = self
            .repeat(&how, |session, rows| async move { work(FenceTx { session, fence: fenced(&rows)? }).await })
            .await;
        crate::fault::point("storage", "fenced").await;
        result.map_err(|e| match e.reason() {
            Reason::Conflict if e.metadata().contains_key("tries") => {
                Error::new(Reason::SealWait, "transactions that began before the seal are still running")
                    .retry_after(Duration::from_secs(1))
                    .source(e)
            }
            _ => e,
        })
    }

    /// Runs one chunk of a purge: the fence is read again under its lock and must be sealed; for the erasure engine only.
    pub(crate) async fn purge<T, F, Fut>(&self, app_id: AppId, work: F) -> Result<T>
    where
        F: Fn(PurgeTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let first = fence_sql(app_id, self.dialect().shared_lock());
        let how = How { limit: CHUNK, lock_wait: None, first };
        let work = &work;
        self.repeat(&how, |session, rows| async move {
            let fence = admitted(Want::Purge, &rows)?;
            work(PurgeTx { session, fence }).await
        })
        .await
    }

    /// Runs a transaction until it does not lose against others, or its time runs out.
    async fn repeat<T, F, Fut>(&self, how: &How, work: F) -> Result<T>
    where
        F: Fn(Arc<Session>, Vec<QueryResult>) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
        T: Send,
    {
        let mut retry = Retry::new();
        loop {
            match self.attempt(how, &work).await {
                Ok(value) => return Ok(value),
                Err(e) => retry.after(e).await?,
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, how: &How, work: &F) -> StoreResult<T>
    where
        F: Fn(Arc<Session>, Vec<QueryResult>) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<T>> + Send,
    {
        let (session, rows) = self.begin(how).await?;
        let watch = session.watch();
        let result = tokio::time::timeout_at(session.expires(), work(session.clone(), rows)).await;
        if how.lock_wait.is_some() && result.is_ok() {
            // Back to what every session has; a connection on which that fails does not commit either.
            let _ = session.text(&self.dialect().lock_wait(LOCK_WAIT)).await;
        }
        let result = match result {
            Ok(Ok(value)) => {
                crate::fault::point("storage", "before_commit").await;
                let done = session.commit().await.map(|()| value);
                crate::fault::point("storage", "after_commit").await;
                done
            }
            Ok(Err(e)) => {
                session.rollback().await;
                Err(e)
            }
            Err(_) => {
                session.release().await;
                Err(cut_error().into())
            }
        };
        drop(watch);
        if result.is_err() && session.was_cut() {
            return Err(cut_error().into());
        }
        result
    }

    /// Begins on a connection that works: one that broke while it lay in the pool is thrown away.
    async fn begin(&self, how: &How) -> StoreResult<(Arc<Session>, Vec<QueryResult>)> {
        let mut broken = 0;
        loop {
            let raw = self.pools().writer().await?;
            let begin = (self.dialect().begin(), how.lock_wait);
            match Session::begin(self.dialect(), raw, how.limit, begin, &how.first).await {
                Err(StoreError::Database(e)) if broken < BROKEN && is_broken(&e) => broken += 1,
                other => return other,
            }
        }
    }
}

/// Holds the fence row against what is wanted.
fn admitted(want: Want, rows: &[QueryResult]) -> StoreResult<Fenced> {
    let fence = fenced(rows)?;
    admit(want, fence.map(|f| f.state))?;
    fence.ok_or_else(|| tenant_unknown().into())
}

fn exists(state: State) -> Error {
    match state {
        State::Sealed | State::ReadOnly => {
            Error::new(Reason::TenantClosing, "the tenant's former life is still being erased")
        }
        State::Opening | State::Active => Error::new(Reason::TenantExists, "the tenant exists already"),
    }
}

pub(crate) async fn insert_fence(session: &Session, fence: &Fenced) -> std::result::Result<(), DbErr> {
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
