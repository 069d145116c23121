//! Streams of changes over all tenants: follows the heads of a feed and sends what is true now.
//!
//! A cursor is the sequence of the last head that was sent whole. What changed is sent as it is now, so a change may be
//! skipped or repeated, never the last one lost. Nothing of a stream is kept in the database: any replica goes on from
//! any cursor.

use std::collections::VecDeque;
use std::time::Duration;

use cwpp_access::{Outgoing, SystemScope};
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_storage::feed::{self, Head};
use cwpp_storage::{Db, StoreResult, SystemRead};
use futures::{StreamExt, stream};
use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a stream is silent before it shows that it lives.
const ALIVE: Duration = Duration::from_secs(10);
/// How often heads are looked for when nobody woke the stream: for those that rose in other processes.
const LOOK: Duration = Duration::from_secs(1);
/// Heads that one statement reads.
const BATCH: u64 = 500;

/// What a stream of changes is about.
#[async_trait::async_trait]
pub(crate) trait Watched: Send + 'static {
    /// The feed.
    const FEED: &'static str;
    /// A message of the stream.
    type Message: Send + 'static;

    /// Reads what there is to send of a tenant whose head rose.
    async fn changed(&mut self, db: &Db, scope: &SystemScope, head: Head) -> Result<Vec<Self::Message>>;

    /// Writes the cursor into a message; the default message with a cursor is a sign of life.
    fn stamp(message: &mut Self::Message, cursor: String);

    /// Makes a sign of life.
    fn alive() -> Self::Message;
}

struct State<W: Watched> {
    db: Db,
    scope: SystemScope,
    shutdown: CancellationToken,
    risen: Receiver<u64>,
    watched: W,
    /// The last head that was read whole.
    sequence: i64,
    heads: VecDeque<Head>,
    messages: VecDeque<W::Message>,
    /// When the next sign of life is due.
    alive: Instant,
    failed: bool,
}

/// Opens a stream after a cursor; an empty one begins at the beginning. A cursor that is none is `INVALID_FIELD`; one
/// that this database has not reached, as after a restore, is `CURSOR_EXPIRED`. The stream ends with the process's drain.
pub(crate) async fn open<W: Watched>(
    db: Db,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
    watched: W,
) -> Result<Outgoing<W::Message>> {
    let sequence = parse(W::FEED, cursor)?;
    if sequence > 0 {
        let reached = db.system_read(&scope, |tx| async move { reached(&tx, W::FEED).await }).await?;
        if sequence > reached {
            return Err(Error::new(Reason::CursorExpired, "the cursor lies beyond the feed: begin with an empty one"));
        }
    }
    let risen = db.heads();
    let (heads, messages) = (VecDeque::new(), VecDeque::new());
    let alive = Instant::now() + ALIVE;
    let state = State { db, scope, shutdown, risen, watched, sequence, heads, messages, alive, failed: false };
    Ok(stream::unfold(state, |mut state| async move {
        if state.failed {
            return None;
        }
        let next = state.next().await.transpose()?;
        state.failed = next.is_err();
        state.alive = Instant::now() + ALIVE;
        Some((next, state))
    })
    .boxed())
}

impl<W: Watched> State<W> {
    /// Returns the next message, or nothing when the process goes away.
    async fn next(&mut self) -> Result<Option<W::Message>> {
        loop {
            if self.shutdown.is_cancelled() {
                return Ok(None);
            }
            if let Some(message) = self.messages.pop_front() {
                return Ok(Some(message));
            }
            if let Some(head) = self.heads.pop_front() {
                self.read(head).await?;
                continue;
            }
            // Marked before the look, so that a head which rises during it wakes the wait below.
            self.risen.mark_unchanged();
            let (db, after) = (&self.db, self.sequence);
            let heads = db
                .system_read(&self.scope, |tx| async move { feed::heads_after(&tx, W::FEED, after, BATCH).await })
                .await?;
            if !heads.is_empty() {
                self.heads.extend(heads);
                continue;
            }
            if Instant::now() >= self.alive {
                let mut message = W::alive();
                W::stamp(&mut message, spell(W::FEED, self.sequence));
                return Ok(Some(message));
            }
            let until = self.alive.min(Instant::now() + LOOK);
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep_until(until) => {}
                Ok(()) = self.risen.changed() => {}
            }
        }
    }

    /// Reads what one head has to say. Only its last message carries its cursor: a stream that is cut before it begins
    /// again with this head.
    async fn read(&mut self, head: Head) -> Result<()> {
        let mut messages = self.watched.changed(&self.db, &self.scope, head).await?;
        let before = spell(W::FEED, self.sequence);
        let last = messages.len().saturating_sub(1);
        for (index, message) in messages.iter_mut().enumerate() {
            let cursor = if index == last { spell(W::FEED, head.sequence) } else { before.clone() };
            W::stamp(message, cursor);
        }
        self.sequence = head.sequence;
        self.messages.extend(messages);
        Ok(())
    }
}

/// Reads how far a feed has ever come here.
async fn reached(tx: &SystemRead, feed: &str) -> StoreResult<i64> {
    let sql = "SELECT sequence FROM feed_sequence WHERE feed = ?";
    let row = tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, [feed.into()])).await?;
    Ok(row.map(|row| row.try_get("", "sequence")).transpose()?.unwrap_or(0))
}

/// Spells a cursor; empty before the first head.
fn spell(feed: &str, sequence: i64) -> String {
    if sequence == 0 { String::new() } else { format!("{feed}.{sequence:x}") }
}

fn parse(feed: &str, cursor: &str) -> Result<i64> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let sequence = cursor
        .strip_prefix(feed)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        .and_then(|digits| i64::from_str_radix(digits, 16).ok());
    let mut violations = Violations::new();
    violations.check(
        sequence.is_some(),
        "cursor",
        "must be a cursor of this stream, or empty to begin at the beginning",
    );
    violations.finish()?;
    Ok(sequence.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_spelled_and_only_for_its_feed() {
        assert_eq!(parse("policy", &spell("policy", 0)).expect("a cursor"), 0);
        assert_eq!(parse("policy", &spell("policy", 4_711)).expect("a cursor"), 4_711);
        for foreign in
            ["tenant.1f", "policy", "policy.", "policy.+1", "policy.-1", "policy.xyz", "policy.fffffffffffffffff"]
        {
            let error = parse("policy", foreign).expect_err("no cursor");
            assert_eq!(error.reason(), Reason::InvalidField, "{foreign}");
        }
    }
}
