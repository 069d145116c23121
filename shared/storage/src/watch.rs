//! Streams of what changed over all tenants, out of [`crate::mark`]: each thing is sent as it is now.
//!
//! A cursor is the place of the last mark whose thing was sent whole, so a stream that is cut goes on with the next
//! thing. A change may be skipped or repeated, the last one is never lost. Nothing of a stream is kept in the database:
//! any replica goes on from any cursor, and a stream that nobody reads costs nothing.

use std::collections::VecDeque;
use std::time::Duration;

use cwpp_access::{AppId, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Error, Reason, Result, Violations};
use futures::{StreamExt, stream};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Db;
use crate::mark::{self, Mark};

/// How long a stream is silent before it shows that it lives.
const ALIVE: Duration = Duration::from_secs(10);
/// How often marks are looked for when nobody woke the stream: for those of other processes.
const LOOK: Duration = Duration::from_secs(1);
/// Marks that one statement reads.
const BATCH: usize = 500;

/// What a stream of changes is about.
#[async_trait::async_trait]
pub trait Watched: Send + Sync + 'static {
    /// The feed of marks.
    const FEED: &'static str;
    /// Most things that are read at a time; what is read waits in memory until it is sent.
    const AT_ONCE: usize;
    /// A message of the stream.
    type Message: Send + Sync + 'static;

    /// Reads things of a tenant as they are now: the messages of each, in the order of the keys. That a thing is not
    /// there is a message too.
    async fn read(&self, db: &Db, tenant: &TenantScope, keys: &[Uuid]) -> Result<Vec<Vec<Self::Message>>>;

    /// Writes the cursor into a message.
    fn stamp(message: &mut Self::Message, cursor: String);

    /// Makes the message that says that all was sent so far, and that the stream lives.
    fn alive() -> Self::Message;
}

type Place = (i64, Uuid);

struct State<W: Watched> {
    db: Db,
    scope: SystemScope,
    shutdown: CancellationToken,
    risen: Receiver<u64>,
    watched: W,
    /// The last mark that was sent whole.
    place: Place,
    /// What there was when the stream began, until it was said that this was sent.
    until: Option<i64>,
    marks: VecDeque<Mark>,
    messages: VecDeque<W::Message>,
    /// When the next sign of life is due.
    alive: Instant,
    failed: bool,
}

/// Opens a stream behind a cursor; an empty one begins at the beginning. A cursor that is none is `INVALID_FIELD`; one
/// that this database has not reached, as after a restore, or that is older than what is kept, is `CURSOR_EXPIRED`. The
/// stream ends with the process's drain.
pub async fn open<W: Watched>(
    db: Db,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
    watched: W,
) -> Result<Outgoing<W::Message>> {
    let place = parse(W::FEED, cursor)?;
    let reach = db.system_read(&scope, |tx| async move { mark::reach(&tx, W::FEED).await }).await?;
    if place.0 > reach.last || (place.0 > 0 && place.0 < reach.forgotten) {
        let error =
            Error::new(Reason::CursorExpired, "the cursor is not of this feed any more: begin with an empty one");
        return Err(error);
    }
    let state = State {
        risen: db.heads(),
        db,
        scope,
        shutdown,
        watched,
        place,
        until: Some(reach.last),
        marks: VecDeque::new(),
        messages: VecDeque::new(),
        alive: Instant::now() + ALIVE,
        failed: false,
    };
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
            if self.until.is_some_and(|until| self.place.0 > until) {
                self.until = None;
                return Ok(Some(self.sign()));
            }
            if !self.marks.is_empty() {
                self.read().await?;
                continue;
            }
            // Marked before the look, so that a mark which comes during it wakes the wait below.
            self.risen.mark_unchanged();
            let (db, place) = (&self.db, self.place);
            let marks = db
                .system_read(&self.scope, |tx| async move { mark::after(&tx, W::FEED, place, BATCH as u64).await })
                .await?;
            if !marks.is_empty() {
                self.marks.extend(marks);
                continue;
            }
            if self.until.take().is_some() || Instant::now() >= self.alive {
                return Ok(Some(self.sign()));
            }
            let until = self.alive.min(Instant::now() + LOOK);
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep_until(until) => {}
                Ok(()) = self.risen.changed() => {}
            }
        }
    }

    fn sign(&self) -> W::Message {
        let mut message = W::alive();
        W::stamp(&mut message, spell(W::FEED, self.place));
        message
    }

    /// Reads the next things, as many of one tenant as may be.
    async fn read(&mut self) -> Result<()> {
        let Some(app_id) = self.marks.front().map(|mark| mark.app_id) else { return Ok(()) };
        let count = self.marks.iter().take(W::AT_ONCE).take_while(|mark| mark.app_id == app_id).count();
        let marks: Vec<Mark> = self.marks.drain(..count).collect();
        let things = self.things(app_id, &marks).await?;
        for (mark, mut messages) in marks.iter().zip(things) {
            let before = spell(W::FEED, self.place);
            self.place = (mark.sequence, mark.key);
            let last = messages.len().saturating_sub(1);
            for (index, message) in messages.iter_mut().enumerate() {
                let cursor = if index == last { spell(W::FEED, self.place) } else { before.clone() };
                W::stamp(message, cursor);
            }
            self.messages.extend(messages);
        }
        Ok(())
    }

    async fn things(&self, app_id: AppId, marks: &[Mark]) -> Result<Vec<Vec<W::Message>>> {
        let keys: Vec<Uuid> = marks.iter().map(|mark| mark.key).collect();
        match self.watched.read(&self.db, &self.scope.tenant(app_id), &keys).await {
            // Closed meanwhile: whoever follows is told by its own erasure.
            Err(e) if matches!(e.reason(), Reason::TenantFenced | Reason::TenantUnknown | Reason::TenantOpening) => {
                Ok(keys.iter().map(|_| Vec::new()).collect())
            }
            other => other,
        }
    }
}

/// Spells a cursor; empty at the beginning.
fn spell(feed: &str, (sequence, key): Place) -> String {
    if sequence == 0 { String::new() } else { format!("{feed}.{sequence:x}.{}", key.simple()) }
}

fn parse(feed: &str, cursor: &str) -> Result<Place> {
    if cursor.is_empty() {
        return Ok((0, Uuid::nil()));
    }
    let place = || {
        let (sequence, key) = cursor.strip_prefix(feed)?.strip_prefix('.')?.split_once('.')?;
        let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex(sequence) || !hex(key) || key.len() != 32 {
            return None;
        }
        let sequence = i64::from_str_radix(sequence, 16).ok().filter(|n| *n > 0)?;
        Some((sequence, Uuid::try_parse(key).ok()?))
    };
    let place = place();
    let mut violations = Violations::new();
    violations.check(place.is_some(), "cursor", "must be a cursor of this stream, or empty to begin at the beginning");
    violations.finish()?;
    Ok(place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_spelled_and_only_for_its_feed() {
        let key = Uuid::from_u128(7);
        assert_eq!(parse("machine", &spell("machine", (0, key))).expect("a cursor"), (0, Uuid::nil()));
        assert_eq!(parse("machine", &spell("machine", (4_711, key))).expect("a cursor"), (4_711, key));
        let long = format!("machine.1.{}", "0".repeat(33));
        for foreign in [
            "package.1f.00000000000000000000000000000007",
            "machine",
            "machine.",
            "machine.1",
            "machine.1.",
            "machine.0.00000000000000000000000000000007",
            "machine.+1.00000000000000000000000000000007",
            "machine.ffffffffffffffffff.00000000000000000000000000000007",
            &long,
        ] {
            let error = parse("machine", foreign).expect_err("no cursor");
            assert_eq!(error.reason(), Reason::InvalidField, "{foreign}");
        }
    }
}
