//! Marks: feeds that say which things changed, not how. Whoever follows reads each thing as it is now.
//!
//! There is at most one mark a thing, so such a feed never grows beyond what there is. A writer sets marks in its own
//! transaction, one row each; the relay, which gives feeds their positions, moves what has committed behind all marks
//! before it, in place of an older mark of the same thing. So a reader who goes on from any place misses nothing, and
//! one who begins at the start hears of everything once. Marks of things that are gone are forgotten after a while; a
//! place from before that is `CURSOR_EXPIRED`, and its reader begins again.

use std::collections::BTreeMap;
use std::time::Duration;

use cwpp_access::{AppId, SystemScope};
use cwpp_chassis::{Reason, Result};
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::Db;
use crate::error::StoreResult;
use crate::feed::next_sequence;
use crate::guard::{SystemRead, TenantTx, Want, Writes};

/// Marks that one transaction of the relay moves.
const BATCH: u64 = 500;
/// How long a mark of a thing that is gone is kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The tenant.
    pub app_id: AppId,
    /// The thing.
    pub key: Uuid,
    /// Where it stands; with the key it is the place to go on from.
    pub sequence: i64,
    /// Whether the thing was gone when it was marked.
    pub gone: bool,
}

/// How far a feed reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// The sequence of its last mark.
    pub last: i64,
    /// The sequence of the last mark that was forgotten.
    pub forgotten: i64,
}

/// Marks things as changed, or as gone; readers see it after the commit and the relay's next round. Call
/// [`Db::feed_grew`] after the commit.
pub async fn set(tx: &impl Writes, feed: &'static str, keys: &[Uuid], gone: bool) -> StoreResult<()> {
    for keys in keys.chunks(200) {
        let mut values: Vec<Value> = Vec::with_capacity(keys.len() * 5);
        for key in keys {
            values.extend([tx.app_id().get().into(), feed.into(), Uuid::now_v7().into(), (*key).into(), gone.into()]);
        }
        let rows = vec!["(?, ?, ?, ?, ?)"; keys.len()].join(", ");
        let sql = format!("INSERT INTO feed_mark_pending (app_id, feed, entry_id, entry_key, gone) VALUES {rows}");
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}

/// Reads the marks of all tenants behind a place, in their order.
pub async fn after(tx: &SystemRead, feed: &str, place: (i64, Uuid), limit: u64) -> StoreResult<Vec<Mark>> {
    let sql = "SELECT app_id, entry_key, sequence, gone FROM feed_mark \
               WHERE feed = ? AND sequence >= ? AND (sequence > ? OR entry_key > ?) ORDER BY sequence, entry_key LIMIT ?";
    let (sequence, key) = place;
    let values: [Value; 5] = [feed.into(), sequence.into(), sequence.into(), key.into(), limit.into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    rows.iter().map(read).collect()
}

fn read(row: &QueryResult) -> StoreResult<Mark> {
    Ok(Mark {
        app_id: AppId::from_row(row.try_get("", "app_id")?),
        key: row.try_get("", "entry_key")?,
        sequence: row.try_get("", "sequence")?,
        gone: row.try_get("", "gone")?,
    })
}

/// Reads how far a feed reaches.
pub async fn reach(tx: &SystemRead, feed: &str) -> StoreResult<Reach> {
    let sql = "SELECT sequence, forgotten FROM feed_sequence WHERE feed = ?";
    let row = tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, [feed.into()])).await?;
    let Some(row) = row else { return Ok(Reach::default()) };
    Ok(Reach { last: row.try_get("", "sequence")?, forgotten: row.try_get("", "forgotten")? })
}

impl Db {
    /// Gives waiting marks their places; returns how many.
    pub(crate) async fn relay_marks(&self, scope: &SystemScope) -> Result<u64> {
        let sql = "SELECT DISTINCT app_id, feed FROM feed_mark_pending ORDER BY app_id, feed LIMIT 1000";
        let waiting: Vec<(i64, String)> = self
            .system_read(scope, |tx| async move {
                let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
                rows.iter().map(|r| Ok((r.try_get("", "app_id")?, r.try_get("", "feed")?))).collect()
            })
            .await?;
        let mut moved = 0;
        for (app_id, feed) in &waiting {
            let tenant = scope.tenant(AppId::from_row(*app_id));
            match self.write_wanting(&tenant, Want::Position, |tx| async move { place(&tx, feed).await }).await {
                Ok(n) => moved += n,
                // Fenced meanwhile: the purge takes them.
                Err(e) if closed(e.reason()) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(moved)
    }

    /// Forgets the marks of things that went before an age, of all tenants; returns how many.
    pub async fn forget_marks(&self, scope: &SystemScope, age: Duration) -> Result<u64> {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let now = self.dialect().now_micros();
        let sql = format!(
            "SELECT app_id, feed, entry_key, sequence FROM feed_mark WHERE gone = ? AND marked_micros <= {now} - ? ORDER BY app_id, feed, sequence LIMIT 1000"
        );
        let sql = sql.as_str();
        let old: Vec<(i64, String, Uuid, i64)> = self
            .system_read(scope, |tx| async move {
                let values: [Value; 2] = [true.into(), age.into()];
                let stmt = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
                let rows = tx.query_all_raw(stmt).await?;
                let read = |r: &QueryResult| {
                    let (app_id, feed) = (r.try_get("", "app_id")?, r.try_get("", "feed")?);
                    Ok((app_id, feed, r.try_get("", "entry_key")?, r.try_get("", "sequence")?))
                };
                rows.iter().map(read).collect()
            })
            .await?;
        let mut by_feed: BTreeMap<(i64, String), Vec<(Uuid, i64)>> = BTreeMap::new();
        for (app_id, feed, key, sequence) in old {
            by_feed.entry((app_id, feed)).or_default().push((key, sequence));
        }
        let mut gone = 0;
        for ((app_id, feed), marks) in &by_feed {
            let tenant = scope.tenant(AppId::from_row(*app_id));
            let done = self.write_wanting(&tenant, Want::Position, |tx| async move { forget(&tx, feed, marks).await });
            match done.await {
                Ok(n) => gone += n,
                Err(e) if closed(e.reason()) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(gone)
    }
}

fn closed(reason: Reason) -> bool {
    matches!(reason, Reason::TenantFenced | Reason::TenantUnknown | Reason::TenantOpening)
}

/// Moves a tenant's waiting marks behind all others.
async fn place(tx: &TenantTx, feed: &str) -> StoreResult<u64> {
    let backend = tx.get_database_backend();
    let app_id = tx.app_id().get();
    let sequence = next_sequence(tx, feed).await?;
    let sql = "SELECT entry_id, entry_key, gone FROM feed_mark_pending WHERE app_id = ? AND feed = ? ORDER BY entry_id LIMIT ?";
    let values: [Value; 3] = [app_id.into(), feed.into(), BATCH.into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    // The last of each thing, in the order of the keys.
    let mut last: BTreeMap<Uuid, bool> = BTreeMap::new();
    let mut ids: Vec<Value> = vec![app_id.into(), feed.into()];
    for row in &rows {
        ids.push(row.try_get::<Uuid>("", "entry_id")?.into());
        last.insert(row.try_get("", "entry_key")?, row.try_get("", "gone")?);
    }
    if last.is_empty() {
        return Ok(0);
    }
    let mut old: Vec<Value> = vec![app_id.into(), feed.into()];
    old.extend(last.keys().map(|key| Value::from(*key)));
    let sql = format!(
        "DELETE FROM feed_mark WHERE app_id = ? AND feed = ? AND entry_key IN ({})",
        vec!["?"; last.len()].join(", ")
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, old)).await?;
    let now = tx.dialect().now_micros();
    let mut values: Vec<Value> = Vec::with_capacity(last.len() * 5);
    for (key, gone) in &last {
        values.extend([app_id.into(), feed.into(), (*key).into(), sequence.into(), (*gone).into()]);
    }
    let sql = format!(
        "INSERT INTO feed_mark (app_id, feed, entry_key, sequence, gone, marked_micros) VALUES {}",
        vec![format!("(?, ?, ?, ?, ?, {now})"); last.len()].join(", ")
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let sql = format!(
        "DELETE FROM feed_mark_pending WHERE app_id = ? AND feed = ? AND entry_id IN ({})",
        vec!["?"; rows.len()].join(", ")
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, ids)).await?;
    Ok(rows.len() as u64)
}

/// Deletes marks that still stand where they were seen, and remembers how far the feed has forgotten.
async fn forget(tx: &TenantTx, feed: &str, marks: &[(Uuid, i64)]) -> StoreResult<u64> {
    let backend = tx.get_database_backend();
    let mut last = 0;
    let mut gone = 0;
    for (key, sequence) in marks {
        let sql = "DELETE FROM feed_mark WHERE app_id = ? AND feed = ? AND entry_key = ? AND sequence = ? AND gone = ?";
        let values: [Value; 5] =
            [tx.app_id().get().into(), feed.into(), (*key).into(), (*sequence).into(), true.into()];
        gone += tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected();
        last = last.max(*sequence);
    }
    let sql = "UPDATE feed_sequence SET forgotten = ? WHERE feed = ? AND forgotten < ?";
    let values: [Value; 3] = [last.into(), feed.into(), last.into()];
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(gone)
}
