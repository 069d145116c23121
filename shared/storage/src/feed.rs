//! Feeds: what other services follow. A position is given after the commit, so that a reader who has seen a position
//! has seen all before it: neither ids nor times are in the order of commits.
//!
//! A writer appends in its own transaction. The relay, one at a time by a lease, moves what has committed into the feed
//! and raises the head. A reader asks which heads rose, then for each tenant's changes after its own cursor.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::telemetry::Trouble;
use cwpp_chassis::{Reason, Result};
use sea_orm::{ConnectionTrait, Statement, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::Db;
use crate::error::{OrRepeat, StoreResult};
use crate::guard::{SystemRead, SystemTx, TenantRead, TenantTx, Want, Writes};

/// Entries that one transaction of the relay moves.
const BATCH: u64 = 500;
/// How often the relay looks when nobody woke it: for writers in other processes.
const LOOK: Duration = Duration::from_millis(500);
/// How often marks of what is gone are looked through.
const SWEEP: Duration = Duration::from_secs(600);
/// How long a relay holds its lease after the last look.
const LEASE: Duration = Duration::from_secs(5);

/// One entry of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place, from 1 without gaps per tenant and feed.
    pub position: i64,
    /// What the writer appended.
    pub body: Vec<u8>,
    /// When it was appended, by the database's clock.
    pub written_at: DateTime<Utc>,
}

/// How far a tenant's feed reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The tenant.
    pub app_id: AppId,
    /// The position of its last entry.
    pub position: i64,
    /// Rises with every head that rises: the cursor for the next question.
    pub sequence: i64,
}

/// Appends an entry; readers see it after the commit and the relay's next round. Call [`Db::feed_grew`] after the commit.
pub async fn append(tx: &impl Writes, feed: &'static str, body: Vec<u8>) -> StoreResult<()> {
    let now = tx.dialect().now();
    let stmt = Statement::from_sql_and_values(
        tx.get_database_backend(),
        format!("INSERT INTO feed_pending (app_id, feed, entry_id, body, written_at) VALUES (?, ?, ?, ?, {now})"),
        [tx.app_id().get().into(), feed.into(), Uuid::now_v7().into(), body.into()],
    );
    tx.execute_raw(stmt).await?;
    Ok(())
}

/// Reads a tenant's entries after a position, oldest first.
pub async fn changes(tx: &TenantRead, feed: &str, after: i64, limit: u64) -> StoreResult<Vec<Change>> {
    read(tx, tx.app_id(), feed, after, limit).await
}

/// As [`changes`], for a system method whose feed is about tenants as such: in any state of the tenant.
pub async fn changes_of(
    tx: &SystemRead,
    app_id: AppId,
    feed: &str,
    after: i64,
    limit: u64,
) -> StoreResult<Vec<Change>> {
    read(tx, app_id, feed, after, limit).await
}

async fn read(
    tx: &impl ConnectionTrait,
    app_id: AppId,
    feed: &str,
    after: i64,
    limit: u64,
) -> StoreResult<Vec<Change>> {
    let sql = "SELECT position, body, written_at FROM feed WHERE app_id = ? AND feed = ? AND position > ? ORDER BY position LIMIT ?";
    let values: [Value; 4] = [app_id.get().into(), feed.into(), after.into(), limit.into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    rows.iter()
        .map(|r| {
            Ok(Change {
                position: r.try_get("", "position")?,
                body: r.try_get("", "body")?,
                written_at: r.try_get("", "written_at")?,
            })
        })
        .collect()
}

/// Reads which tenants' heads rose after a sequence, in the order in which they did.
pub async fn heads_after(tx: &SystemRead, feed: &str, after: i64, limit: u64) -> StoreResult<Vec<Head>> {
    let sql =
        "SELECT app_id, position, sequence FROM feed_head WHERE feed = ? AND sequence > ? ORDER BY sequence LIMIT ?";
    let values: [Value; 3] = [feed.into(), after.into(), limit.into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    rows.iter()
        .map(|r| {
            Ok(Head {
                app_id: AppId::from_row(r.try_get("", "app_id")?),
                position: r.try_get("", "position")?,
                sequence: r.try_get("", "sequence")?,
            })
        })
        .collect()
}

/// Reads how far this service has followed a tenant of another's feed; 0 at the start of each life of the tenant.
pub async fn cursor(tx: &TenantTx, source: &str) -> StoreResult<i64> {
    let sql = "SELECT position FROM feed_cursor WHERE app_id = ? AND source = ? AND incarnation = ?";
    let values: [Value; 3] = [tx.app_id().get().into(), source.into(), tx.incarnation().into()];
    let row = tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    Ok(row.map(|r| r.try_get("", "position")).transpose()?.unwrap_or(0))
}

/// Stores how far it has followed, in the transaction that holds the effect. Says whether it went forward: if not,
/// another replica was here first and the effect must not happen twice.
pub async fn advance(tx: &TenantTx, source: &str, position: i64) -> StoreResult<bool> {
    let backend = tx.get_database_backend();
    let incarnation: Value = tx.incarnation().into();
    let sql = "UPDATE feed_cursor SET position = ?, incarnation = ? WHERE app_id = ? AND source = ? AND (position < ? OR incarnation <> ?)";
    let values: [Value; 6] = [
        position.into(),
        incarnation.clone(),
        tx.app_id().get().into(),
        source.into(),
        position.into(),
        incarnation.clone(),
    ];
    if tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected() > 0 {
        return Ok(true);
    }
    let insert = tx.dialect().insert_ignore();
    let sql = format!("{insert} feed_cursor (app_id, source, incarnation, position) VALUES (?, ?, ?, ?)");
    let values: [Value; 4] = [tx.app_id().get().into(), source.into(), incarnation, position.into()];
    Ok(tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected() > 0)
}

/// Reads how far this service has followed the heads of another's feed.
pub async fn followed(tx: &SystemTx, source: &str) -> StoreResult<i64> {
    let stmt = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "SELECT sequence FROM feed_follow WHERE source = ?",
        [source.into()],
    );
    Ok(tx.query_one_raw(stmt).await?.map(|r| r.try_get("", "sequence")).transpose()?.unwrap_or(0))
}

/// Stores how far it has followed the heads; never back.
pub async fn follow(tx: &SystemTx, source: &str, sequence: i64) -> StoreResult<()> {
    let backend = tx.get_database_backend();
    let sql = format!("{} feed_follow (source, sequence) VALUES (?, 0)", tx.dialect().insert_ignore());
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, [source.into()])).await?;
    let sql = "UPDATE feed_follow SET sequence = ? WHERE source = ? AND sequence < ?";
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, [sequence.into(), source.into(), sequence.into()]))
        .await?;
    Ok(())
}

impl Db {
    /// Wakes this process's relay after a commit that appended.
    pub fn feed_grew(&self) {
        self.appended().send_modify(|n| *n += 1);
    }

    /// Watches for heads that rose in this process; readers look every second anyway, for those of other processes.
    pub fn heads(&self) -> watch::Receiver<u64> {
        self.risen().subscribe()
    }

    /// Gives positions to what has committed, for as long as the process lives. Of several processes one works.
    pub async fn relay(self) {
        let scope = SystemScope::job(Job::FeedRelay);
        let holder = Uuid::new_v4();
        let mut woken = self.appended().subscribe();
        let mut swept = tokio::time::Instant::now();
        let mut trouble = Trouble::of("feed-relay");
        loop {
            trouble.hear(&self.relay_while_any(&scope, holder).await);
            if swept.elapsed() > SWEEP {
                swept = tokio::time::Instant::now();
                if let Err(e) = self.forget_marks(&scope, crate::mark::KEPT).await {
                    tracing::warn!(error = ?e, "old marks could not be forgotten; the next round will");
                }
            }
            let _ = tokio::time::timeout(LOOK, woken.changed()).await;
        }
    }

    /// Works off what waits, under the lease. While nothing waits, nothing is written, the lease neither.
    async fn relay_while_any(&self, scope: &SystemScope, holder: Uuid) -> Result<()> {
        while self.feed_waits().await? {
            if crate::lease::claim(self, scope, "feed-relay", holder, LEASE).await?.is_none()
                || self.relay_once(scope).await? == 0
            {
                break;
            }
        }
        Ok(())
    }

    async fn feed_waits(&self) -> Result<bool> {
        Ok(!self.catalogue("SELECT 1 FROM feed_pending LIMIT 1", &[]).await?.is_empty()
            || !self.catalogue("SELECT 1 FROM feed_mark_pending LIMIT 1", &[]).await?.is_empty())
    }

    /// Runs one round of the relay over all tenants; returns how many entries got their position. Rounds of two
    /// processes at once are safe, only slower: the row of the sequence orders them.
    pub async fn relay_once(&self, scope: &SystemScope) -> Result<u64> {
        let waiting = self
            .system_read(scope, |tx| async move {
                let sql = "SELECT DISTINCT app_id, feed FROM feed_pending ORDER BY app_id, feed LIMIT 1000";
                let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
                rows.iter()
                    .map(|r| Ok((r.try_get::<i64>("", "app_id")?, r.try_get::<String>("", "feed")?)))
                    .collect::<StoreResult<Vec<_>>>()
            })
            .await?;
        let mut moved = self.relay_marks(scope).await?;
        for (app_id, feed) in &waiting {
            let tenant = scope.tenant(AppId::from_row(*app_id));
            match self.write_wanting(&tenant, Want::Position, |tx| async move { position(&tx, feed).await }).await {
                Ok(n) => moved += n,
                // Fenced meanwhile: the purge takes the entries.
                Err(e)
                    if matches!(e.reason(), Reason::TenantFenced | Reason::TenantUnknown | Reason::TenantOpening) => {}
                Err(e) => return Err(e),
            }
        }
        if moved > 0 {
            self.risen().send_modify(|n| *n += 1);
        }
        Ok(moved)
    }
}

/// Takes the feed's next sequence. The first statement of a relay's transaction: the row orders relays, so that they
/// commit in the order of their sequence.
pub(crate) async fn next_sequence(tx: &TenantTx, feed: &str) -> StoreResult<i64> {
    let backend = tx.get_database_backend();
    let next = "UPDATE feed_sequence SET sequence = sequence + 1 WHERE feed = ?";
    if tx.execute_raw(Statement::from_sql_and_values(backend, next, [feed.into()])).await?.rows_affected() == 0 {
        let sql = "INSERT INTO feed_sequence (feed, sequence) VALUES (?, 1)";
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, [feed.into()])).await.or_repeat()?;
    }
    let sql = "SELECT sequence FROM feed_sequence WHERE feed = ?";
    let row = tx.query_one_raw(Statement::from_sql_and_values(backend, sql, [feed.into()])).await?;
    Ok(row.map(|row| row.try_get("", "sequence")).transpose()?.unwrap_or_default())
}

/// Moves a tenant's waiting entries into the feed.
async fn position(tx: &TenantTx, feed: &str) -> StoreResult<u64> {
    let backend = tx.get_database_backend();
    let app_id = tx.app_id().get();
    let sequence = next_sequence(tx, feed).await?;
    let sql =
        "SELECT entry_id, body, written_at FROM feed_pending WHERE app_id = ? AND feed = ? ORDER BY entry_id LIMIT ?";
    let rows = tx
        .query_all_raw(Statement::from_sql_and_values(backend, sql, [app_id.into(), feed.into(), BATCH.into()]))
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let head = "SELECT position FROM feed_head WHERE app_id = ? AND feed = ?";
    let head = tx.query_one_raw(Statement::from_sql_and_values(backend, head, [app_id.into(), feed.into()])).await?;
    let mut position: i64 = head.as_ref().map(|r| r.try_get("", "position")).transpose()?.unwrap_or(0);
    let mut values: Vec<Value> = Vec::with_capacity(rows.len() * 5);
    let mut ids: Vec<Value> = vec![app_id.into(), feed.into()];
    for row in &rows {
        position += 1;
        ids.push(row.try_get::<Uuid>("", "entry_id")?.into());
        values.extend([
            app_id.into(),
            feed.into(),
            position.into(),
            row.try_get::<Vec<u8>>("", "body")?.into(),
            row.try_get::<DateTime<Utc>>("", "written_at")?.into(),
        ]);
    }
    let sql = format!(
        "INSERT INTO feed (app_id, feed, position, body, written_at) VALUES {}",
        vec!["(?, ?, ?, ?, ?)"; rows.len()].join(", ")
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let sql = format!(
        "DELETE FROM feed_pending WHERE app_id = ? AND feed = ? AND entry_id IN ({})",
        vec!["?"; rows.len()].join(", ")
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, ids)).await?;
    let now = tx.dialect().now();
    if head.is_some() {
        let sql = format!(
            "UPDATE feed_head SET position = ?, sequence = ?, changed_at = {now} WHERE app_id = ? AND feed = ?"
        );
        tx.execute_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [position.into(), sequence.into(), app_id.into(), feed.into()],
        ))
        .await?;
    } else {
        let sql =
            format!("INSERT INTO feed_head (app_id, feed, position, sequence, changed_at) VALUES (?, ?, ?, ?, {now})");
        tx.execute_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [app_id.into(), feed.into(), position.into(), sequence.into()],
        ))
        .await?;
    }
    Ok(rows.len() as u64)
}
