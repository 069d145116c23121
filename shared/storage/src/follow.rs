//! Follows a stream of another service. One replica does at a time; what it takes in is written with the cursor.
//!
//! A tenant's changes may come before its opening here does, which takes a second: the stream waits for it. One that
//! takes longer must not keep the others' changes away: it is passed over, and the cursor stays before it, so that it is
//! heard of again.

use std::time::{Duration, Instant};

use cwpp_access::{AppId, Job, Outgoing, SystemScope};
use cwpp_chassis::{Error, Reason, Result};
use futures::StreamExt;
use sea_orm::{ConnectionTrait, Statement, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::StoreResult;
use crate::guard::{SystemTx, TenantTx, Writes};
use crate::lease::{self, Lease};
use crate::{Db, Dialect};

/// How long a follower that says nothing keeps the stream.
const LIFE: Duration = Duration::from_secs(20);
/// A stream gives a sign of life every 10 seconds; longer silence means that it is broken.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a new attempt waits.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether a tenant that is not open here yet is now.
const OPENING: Duration = Duration::from_millis(50);
/// How long the stream waits for that.
const WAIT: Duration = Duration::from_secs(3);
/// How long it goes on without the tenants that it did not wait for any longer.
const WITHOUT: Duration = Duration::from_secs(20);

/// What is followed.
#[async_trait::async_trait]
pub trait Followed: Clone + Send + Sync + 'static {
    /// Its name, at most 56 characters: that of the service, a dot, and that of the stream.
    const SOURCE: &'static str;
    /// A message of the stream.
    type Message: Send + Sync;

    /// Opens the stream behind a cursor; an empty one begins at the beginning.
    async fn open(&self, cursor: String) -> Result<Outgoing<Self::Message>>;

    /// Returns the tenant of a message, 0 where it is only a sign of life, and where to go on after it; an empty text
    /// leaves the cursor where it is.
    fn place(message: &Self::Message) -> (u64, &str);

    /// Says whether a message has something to keep; one that only takes away needs no tenant that is open.
    fn keeps(message: &Self::Message) -> bool;

    /// Takes a message in; repeating it must change nothing.
    async fn take(&self, tx: &TenantTx, message: &Self::Message) -> StoreResult<()>;
}

/// How far one stream was followed.
struct Place {
    /// What is stored.
    cursor: String,
    /// Since when the cursor has stood still because a tenant was passed over.
    without: Option<Instant>,
}

impl Place {
    /// Returns the cursor that is to be stored with a change.
    fn after(&self, change: &str) -> String {
        if self.without.is_some() || change.is_empty() { self.cursor.clone() } else { change.to_owned() }
    }
}

struct Follower<F> {
    db: Db,
    followed: F,
    holder: Uuid,
}

fn scope() -> SystemScope {
    SystemScope::job(Job::FeedFollower)
}

/// The job: follows until the shutdown, from wherever it was left. The gauge `follow_age_seconds` tells how long the
/// other side has not been heard, by any replica.
pub async fn run<F: Followed>(db: Db, followed: F, shutdown: CancellationToken) {
    let follower = Follower { db, followed, holder: Uuid::now_v7() };
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = follower.once() => {
                if let Err(error) = ended {
                    metrics::counter!("follow_errors_total", "source" => F::SOURCE).increment(1);
                    tracing::debug!(%error, source = F::SOURCE, "the stream cannot be followed for now");
                }
            }
            () = shutdown.cancelled() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // So that another replica goes on at once.
    if let Ok(Some(lease)) = follower.claim().await
        && let Err(error) = lease::release(&follower.db, &scope(), &name::<F>(), lease).await
    {
        tracing::debug!(%error, "the lease runs out by itself");
    }
}

fn name<F: Followed>() -> String {
    format!("follow/{}", F::SOURCE)
}

impl<F: Followed> Follower<F> {
    /// Follows until the stream ends or breaks.
    async fn once(&self) -> Result<()> {
        let (cursor, age) = self.db.system(&scope(), |tx| async move { read(&tx, F::SOURCE).await }).await?;
        if let Some(age) = age {
            self.show(age);
        }
        let Some(lease) = self.claim().await? else { return Ok(()) };
        let mut place = Place { cursor: cursor.clone(), without: None };
        let opened = tokio::time::timeout(SILENCE, self.followed.open(cursor)).await.map_err(|_| silent::<F>())?;
        let mut messages = match opened {
            Ok(messages) => messages,
            Err(error) => return self.refused(error).await,
        };
        loop {
            let next = tokio::time::timeout(SILENCE, messages.next()).await.map_err(|_| silent::<F>())?;
            let message = match next {
                None => return Ok(()),
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.refused(error).await,
            };
            self.show(0.0);
            self.take(lease, &mut place, &message).await?;
            if place.without.is_some_and(|since| since.elapsed() > WITHOUT) {
                // Begins again where the first of them was passed over.
                return Ok(());
            }
        }
    }

    fn show(&self, age: f64) {
        metrics::gauge!("follow_age_seconds", "source" => F::SOURCE).set(age);
    }

    async fn claim(&self) -> Result<Option<Lease>> {
        lease::claim(&self.db, &scope(), &name::<F>(), self.holder, LIFE).await
    }

    /// A cursor that is no longer kept: everything is read again, which changes nothing that is there.
    async fn refused(&self, error: Error) -> Result<()> {
        if error.reason() == Reason::CursorExpired {
            tracing::warn!(source = F::SOURCE, "the cursor of the stream has expired: following from the beginning");
            self.store("").await?;
        }
        Err(error)
    }

    /// Takes one message in.
    async fn take(&self, lease: Lease, place: &mut Place, message: &F::Message) -> Result<()> {
        self.keep(lease).await?;
        let (app_id, cursor) = F::place(message);
        let cursor = place.after(cursor);
        if app_id == 0 {
            return self.skip(place, cursor).await;
        }
        let tenant = scope().tenant(AppId::from_request(app_id)?);
        let began = Instant::now();
        loop {
            let (followed, at) = (&self.followed, cursor.as_str());
            // A tenant whose termination is scheduled may still be kept, so what concerns it goes on.
            let taken = self.db.write_while_closing(&tenant, |tx| async move {
                followed.take(&tx, message).await?;
                write(&tx, tx.dialect(), F::SOURCE, at).await
            });
            let Err(error) = taken.await else {
                place.cursor = cursor;
                return Ok(());
            };
            match error.reason() {
                // Nothing of a closed tenant is kept, and of one that was never open here nothing is there to delete.
                Reason::TenantFenced => return self.skip(place, cursor).await,
                Reason::TenantUnknown | Reason::TenantOpening if !F::keeps(message) => {
                    return self.skip(place, cursor).await;
                }
                Reason::TenantUnknown | Reason::TenantOpening if began.elapsed() < WAIT => {
                    tokio::time::sleep(OPENING).await;
                    self.keep(lease).await?;
                }
                Reason::TenantUnknown | Reason::TenantOpening => {
                    metrics::counter!("follow_passed_over_total", "source" => F::SOURCE).increment(1);
                    place.without.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                _ => return Err(error),
            }
        }
    }

    /// Moves the cursor where there is nothing to do, and tells that the other side was heard.
    async fn skip(&self, place: &mut Place, cursor: String) -> Result<()> {
        self.store(&cursor).await?;
        place.cursor = cursor;
        Ok(())
    }

    async fn store(&self, cursor: &str) -> Result<()> {
        self.db.system(&scope(), |tx| async move { write(&tx, tx.dialect(), F::SOURCE, cursor).await }).await
    }

    async fn keep(&self, lease: Lease) -> Result<()> {
        match self.claim().await? {
            Some(still) if still == lease => Ok(()),
            _ => Err(Error::new(Reason::LeaseLost, "another replica follows the stream")),
        }
    }
}

fn silent<F: Followed>() -> Error {
    Error::new(Reason::PeerUnavailable, format!("{} says nothing", F::SOURCE))
}

/// Reads how far a stream was followed, empty before the first message, and how many seconds ago it was heard.
async fn read(tx: &SystemTx, source: &str) -> StoreResult<(String, Option<f64>)> {
    let now = tx.dialect().now_micros();
    let sql = format!("SELECT place, {now} - heard_micros AS age FROM feed_place WHERE source = ?");
    let row = tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, [source.into()])).await?;
    let Some(row) = row else { return Ok((String::new(), None)) };
    let age: i64 = row.try_get("", "age")?;
    Ok((row.try_get("", "place")?, Some(age.max(0) as f64 / 1e6)))
}

/// Writes how far it was followed.
async fn write(on: &impl ConnectionTrait, dialect: Dialect, source: &str, place: &str) -> StoreResult<()> {
    let (backend, now) = (on.get_database_backend(), dialect.now_micros());
    let sql = format!("UPDATE feed_place SET place = ?, heard_micros = {now} WHERE source = ?");
    let values: [Value; 2] = [place.into(), source.into()];
    // MySQL counts a row that it leaves as it is as none; inserting it again changes nothing.
    if on.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected() == 0 {
        let ignore = dialect.insert_ignore();
        let sql = format!("{ignore} feed_place (source, place, heard_micros) VALUES (?, ?, {now})");
        let values: [Value; 2] = [source.into(), place.into()];
        on.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}
