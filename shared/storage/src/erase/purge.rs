//! Deletes a sealed tenant's rows, chunk by chunk, inside the call.

use std::time::Duration;

use cwpp_access::scope::tenant_unknown;
use cwpp_access::{AppId, Outgoing};
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::erasure::v1::{EraseResponse, TableCount};
use futures::StreamExt;
use sea_orm::{ConnectionTrait, Statement};
use tokio::time::Instant;
use uuid::Uuid;

use super::{count, fencing, range, run};
use crate::Db;
use crate::error::StoreResult;
use crate::guard::{FenceTx, PurgeTx};
use crate::registry::Erasable;

/// Longest work of one call.
const LONGEST: Duration = Duration::from_secs(20);
/// Rows of one transaction.
const CHUNK: usize = 1000;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

/// What a call asks for.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) app_id: AppId,
    pub(super) incarnation: Uuid,
    pub(super) token: i64,
    pub(super) epoch: i64,
    pub(super) budget: Duration,
    pub(super) pause: Duration,
    pub(super) close: bool,
}

/// Reads the epoch that the seal gave.
pub(super) fn epoch(epoch: u64) -> Result<i64> {
    let mut violations = Violations::new();
    let number = i64::try_from(epoch).ok();
    violations.check(number.is_some_and(|n| n > 0), "epoch", "must be the epoch that the sealing gave, at least 1");
    violations.finish()?;
    Ok(number.unwrap_or_default())
}

/// Reads how long a call may work.
pub(super) fn budget(wire: Option<&prost_types::Duration>) -> Result<Duration> {
    match wire {
        None => Ok(LONGEST),
        Some(d) if d.seconds == 0 && d.nanos == 0 => Ok(LONGEST),
        Some(d) => positive("budget", d).map(|d| d.min(LONGEST)),
    }
}

/// Reads the pause between chunks.
pub(super) fn pause(wire: Option<&prost_types::Duration>) -> Result<Duration> {
    wire.map_or(Ok(Duration::ZERO), |d| positive("pause", d).map(|d| d.min(Duration::from_secs(10))))
}

fn positive(field: &str, wire: &prost_types::Duration) -> Result<Duration> {
    Duration::try_from(*wire).map_err(|_| {
        Error::new(Reason::InvalidField, "the request is invalid").violation(field, "must not be negative")
    })
}

struct Work {
    db: Db,
    order: Order,
    until: Instant,
    ended: bool,
}

/// Purges until the budget is used up; the stream tells the progress, and the last message whether there is more.
pub(super) async fn run(db: Db, order: Order) -> Result<Outgoing<EraseResponse>> {
    let until = Instant::now() + order.budget;
    if order.close && closed(&db, &order).await? {
        let done = EraseResponse { deleted: Vec::new(), more: false, closed: true };
        return Ok(futures::stream::iter([Ok(done)]).boxed());
    }
    // Refuses what is out of order before the stream begins.
    check(&db, &order).await?;
    Ok(futures::stream::try_unfold(Work { db, order, until, ended: false }, |mut work| async move {
        if work.ended {
            return Ok(None);
        }
        let message = work.tell().await?;
        work.ended = !message.more || message.closed || Instant::now() >= work.until;
        Ok(Some((message, work)))
    })
    .boxed())
}

async fn check(db: &Db, order: &Order) -> Result<()> {
    db.purge(order.app_id, |tx| async move { holds(&tx, order).await.map(|_| ()) }).await
}

/// Says whether the incarnation is closed already: a repeated call after the last is answered as the last was.
async fn closed(db: &Db, order: &Order) -> Result<bool> {
    let sql = "SELECT incarnation FROM closed_incarnation WHERE incarnation = ?";
    Ok(!db.catalogue(sql, &[order.incarnation.into()]).await?.is_empty())
}

/// Holds the order against the fence and the token, under their locks.
async fn holds(tx: &PurgeTx, order: &Order) -> StoreResult<run::Run> {
    if tx.fence.incarnation != order.incarnation {
        return Err(tenant_unknown().into());
    }
    if tx.fence.epoch != order.epoch {
        let refusal =
            Error::new(Reason::EpochMismatch, "the tenant is sealed at another epoch").with("epoch", tx.fence.epoch);
        return Err(refusal.into());
    }
    run::take(tx, tx.session.dialect(), order.incarnation, order.token).await
}

impl Work {
    /// Works until it is time to tell.
    async fn tell(&mut self) -> Result<EraseResponse> {
        let tell = (Instant::now() + TELL).min(self.until);
        loop {
            let (progress, done) = self.chunk().await?;
            if done {
                let closed = self.order.close && self.close().await?;
                return Ok(self.message(&progress, false, closed));
            }
            if Instant::now() + self.order.pause >= tell {
                return Ok(self.message(&progress, true, false));
            }
            if !self.order.pause.is_zero() {
                tokio::time::sleep(self.order.pause).await;
            }
        }
    }

    fn message(&self, progress: &run::Run, more: bool, closed: bool) -> EraseResponse {
        let registry = self.db.registry();
        let deleted = progress
            .counts
            .iter()
            .map(|(table, rows)| TableCount {
                table: table.clone(),
                data_class: registry.data_class(table).into(),
                rows: *rows,
            })
            .collect();
        EraseResponse { deleted, more, closed }
    }

    /// Deletes about a thousand rows; the deletion, the cursor, the counts and the token's check commit together.
    async fn chunk(&self) -> Result<(run::Run, bool)> {
        let (db, order) = (&self.db, &self.order);
        let dialect = db.dialect();
        let tables: Vec<&Erasable> = db.registry().erasable_tables().collect();
        let tables = &tables;
        let result = db
            .purge(order.app_id, |tx| async move {
                let mut progress = holds(&tx, order).await?;
                let mut at = tables.iter().position(|t| t.table == progress.table).unwrap_or(0);
                let mut left = CHUNK;
                // Small tables share a transaction.
                while left > 0 {
                    let Some(table) = tables.get(at) else { break };
                    let app_id = order.app_id.get();
                    let until = range::boundary(&tx, dialect, table, app_id, progress.after.as_deref(), left).await?;
                    let gone =
                        range::delete(&tx, dialect, table, app_id, progress.after.as_deref(), until.as_deref()).await?;
                    if gone > 0 {
                        *progress.counts.entry(table.table.clone()).or_default() += gone;
                    }
                    left = left.saturating_sub(usize::try_from(gone).unwrap_or(usize::MAX));
                    progress.table.clone_from(&table.table);
                    if until.is_none() {
                        at += 1;
                        progress.after = None;
                        progress.table = tables.get(at).map(|t| t.table.clone()).unwrap_or_default();
                    } else {
                        progress.after = until;
                    }
                }
                let done = at >= tables.len();
                run::store(&tx, dialect, order.incarnation, &progress).await?;
                crate::fault::point("storage", "purge_before_commit").await;
                Ok((progress, done))
            })
            .await?;
        crate::fault::point("storage", "purge_after_commit").await;
        Ok(result)
    }

    /// Removes the fence row once nothing is left, and remembers the incarnation as closed.
    async fn close(&self) -> Result<bool> {
        let (db, order) = (&self.db, &self.order);
        let dialect = db.dialect();
        let tables = count::tables(db).await?;
        let tables = &tables;
        db.fence(order.app_id, |tx| async move {
            let Some(fence) = tx.fence else {
                return if fencing::is_closed(&tx, dialect, order.incarnation).await? {
                    Ok(true)
                } else {
                    Err(tenant_unknown().into())
                };
            };
            if fence.incarnation != order.incarnation {
                return Err(tenant_unknown().into());
            }
            if fence.state != crate::State::Sealed || fence.epoch != order.epoch {
                return Err(Error::new(Reason::EpochMismatch, "the tenant is not sealed at this epoch")
                    .with("epoch", fence.epoch)
                    .into());
            }
            run::take(&tx, dialect, order.incarnation, order.token).await?;
            for table in tables {
                refuse_rows(&tx, table, order.app_id).await?;
            }
            remove(&tx, order).await?;
            Ok(true)
        })
        .await
    }
}

async fn refuse_rows(tx: &FenceTx, table: &str, app_id: AppId) -> StoreResult<()> {
    let dialect = tx.session.dialect();
    let sql = format!("SELECT 1 FROM {} WHERE app_id = ? LIMIT 1", dialect.quote(table));
    if tx.query_one_raw(Statement::from_sql_and_values(dialect.backend(), sql, [app_id.get().into()])).await?.is_some()
    {
        return Err(Error::new(Reason::InvalidTransition, "rows of the tenant are left").with("table", table).into());
    }
    Ok(())
}

async fn remove(tx: &FenceTx, order: &Order) -> StoreResult<()> {
    let dialect = tx.session.dialect();
    let backend = dialect.backend();
    let sql = "DELETE FROM tenant_fence WHERE app_id = ?";
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, [order.app_id.get().into()])).await?;
    run::forget(tx, dialect, order.incarnation).await?;
    let sql = format!("INSERT INTO closed_incarnation (incarnation, closed_at) VALUES (?, {})", dialect.now());
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, [order.incarnation.into()])).await?;
    Ok(())
}
