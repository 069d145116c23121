//! Applies a received report: the difference only, under the lock of the machine's snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::TenantScope;
use cwpp_chassis::{Error, Reason, Result, deadline};
use cwpp_contracts::inventory::v1::AssetClass;
use cwpp_storage::{Db, StoreResult, TenantTx, fault};
use uuid::Uuid;

use super::account_change::History;
use super::batch::Batch;
use super::class::fingerprint;
use super::count::{self, Change};
use super::row::Pick;
use super::tally::Work;
use super::{snapshot, store, watch};
use crate::machine;
use crate::machine::ops::machine_unknown;
use crate::policy::collection;

/// Most rows that one transaction writes: it has to end within a second.
pub const SLICE: usize = 5000;
/// What a slice is not made smaller than when a slow database cuts it.
const SMALLEST: usize = 250;

/// A report, received whole.
#[derive(Debug)]
pub struct Report {
    /// The machine.
    pub machine_id: Uuid,
    /// When its token was made, in microseconds of the database's clock.
    pub token_us: i64,
    /// Its classes, sorted by number.
    pub classes: Vec<Reported>,
}

/// A class of a report.
#[derive(Debug)]
pub struct Reported {
    /// The items, sorted by key.
    pub batch: Batch,
    /// The host's digest.
    pub digest: Vec<u8>,
    /// Items that the host has, where more than were sent; 0 otherwise.
    pub found: u32,
    /// Since which revision of the tenant's policies it is collected.
    pub collected_since: i64,
}

/// What was done with a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Items that are new.
    pub added: u32,
    /// Items that changed.
    pub changed: u32,
    /// Items that are gone.
    pub removed: u32,
    /// Items left alone.
    pub unchanged: u32,
}

/// How far a report has come; each transaction goes on from here, and only its commit moves it.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Classes that are done.
    done: Vec<Applied>,
    /// The class that is being written in slices.
    slicing: Option<Slicing>,
}

#[derive(Debug, Clone)]
struct Slicing {
    work: Work,
    /// Rows written.
    at: usize,
    /// The snapshot's version after the last slice.
    version: i64,
}

/// Applies a report and returns what was done with each class, in the report's order.
pub async fn apply(
    db: &Db,
    scope: &TenantScope,
    report: &Report,
    token_life: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Applied>> {
    fault::point("report", "received").await;
    let (mut progress, mut first, mut slice) = (Progress::default(), true, SLICE);
    while first || progress.done.len() < report.classes.len() {
        let (so_far, life) = (&progress, first.then_some(token_life));
        let written = db.write(scope, |tx| async move { step(&tx, report, so_far, (life, slice), now).await }).await;
        match written {
            Ok(next) => {
                (progress, first) = (next, false);
                db.feed_grew();
                fault::point("report", "committed").await;
            }
            // Too much for a second: smaller slices leave the class incomplete for a while, which is better than for good.
            Err(e) if e.reason() == Reason::DeadlineExceeded && slice > SMALLEST && in_time() => {
                metrics::counter!("inventory_report_slices_cut_total").increment(1);
                slice /= 4;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(progress.done)
}

/// Says whether the caller still waits.
fn in_time() -> bool {
    deadline::remaining().is_none_or(|left| !left.is_zero())
}

/// Does the work of one transaction.
async fn step(
    tx: &TenantTx,
    report: &Report,
    so_far: &Progress,
    (token_life, slice): (Option<Duration>, usize),
    now: DateTime<Utc>,
) -> StoreResult<Progress> {
    if machine::store::hold(tx, &[report.machine_id]).await?.is_empty() {
        return Err(machine_unknown(report.machine_id).into());
    }
    let left = &report.classes[so_far.done.len()..];
    let numbers: Vec<i16> = left.iter().map(|c| c.batch.class.class() as i16).collect();
    let snapshots = snapshot::lock(tx, report.machine_id, &numbers, now).await?;
    if let Some(life) = token_life {
        let age = tx.database_time().await?.timestamp_micros().saturating_sub(report.token_us);
        if age > i64::try_from(life.as_micros()).unwrap_or(i64::MAX) {
            return Err(stale("the report token has expired: negotiate again", "expired").into());
        }
    }
    let settings = collection::settings(tx, &[report.machine_id]).await?.remove(&report.machine_id);
    if settings.is_some_and(|settings| numbers.iter().any(|number| settings.class(*number).off)) {
        return Err(collection::switched_off().into());
    }
    let mut progress = so_far.clone();
    let mut counts: BTreeMap<i16, Change> = BTreeMap::new();
    let (mut room, mut told) = (slice, false);
    for (class, old) in left.iter().zip(snapshots) {
        if old.token_us > report.token_us {
            return Err(stale("a newer report of this machine was applied: negotiate again", "newer").into());
        }
        let slicing = match progress.slicing.take() {
            Some(slicing) if slicing.version == old.version => slicing,
            Some(_) => return Err(stale("another report came in between: negotiate again", "overtaken").into()),
            None => {
                let work = begin(tx, report, class, &old).await?;
                let slicing = Slicing { work, at: 0, version: old.version };
                if slicing.work.diff.rows() > slice && !old.is_new() {
                    // What was read is much as well: it has this transaction, and each slice one of its own.
                    progress.slicing = Some(slicing);
                    break;
                }
                slicing
            }
        };
        let Slicing { mut work, at, .. } = slicing;
        let rest = work.diff.rows() - at;
        if rest > room && room < slice {
            // It begins a transaction of its own.
            break;
        }
        let to = at + rest.min(room);
        let change = write(tx, report.machine_id, class, &mut work, (at, to), (now, &old)).await?;
        room -= to - at;
        told |= to > at && watch::is_told(class.batch.class);
        let (new_day, new_items) = newest(&old, &change);
        let diff = &work.diff;
        let complete = to == diff.rows();
        let new = snapshot::Model {
            digest: if complete { class.digest.clone() } else { Vec::new() },
            fingerprint: match complete || old.was_whole() {
                true => fingerprint(class.batch.class, tx.scope_epoch(), class.collected_since),
                false => old.fingerprint,
            },
            token_us: report.token_us,
            items: old.items + change.total.items,
            found: class.found.into(),
            new_day,
            new_items,
            complete,
            ..old.clone()
        };
        let version = old.version + 1;
        if new != old {
            // A repeat of what was applied writes nothing.
            snapshot::put(tx, snapshot::Model { applied_at: now, version, ..new }).await?;
        }
        if !complete {
            counts.insert(old.asset_class, change);
            progress.slicing = Some(Slicing { work, at: to, version });
            break;
        }
        progress.done.push(Applied {
            added: diff.added,
            changed: diff.changed(),
            removed: diff.removed.len() as u32,
            unchanged: diff.unchanged,
        });
        counts.insert(old.asset_class, change);
    }
    count::add(tx, &counts).await?;
    if told {
        watch::changed(tx, &[report.machine_id]).await?;
    }
    fault::point("report", "written").await;
    Ok(progress)
}

async fn begin(tx: &TenantTx, report: &Report, class: &Reported, old: &snapshot::Model) -> StoreResult<Work> {
    match old.is_new() {
        true => Ok(Work::first(class)),
        false => Work::begin(tx, report.machine_id, class, has_history(class, old)).await,
    }
}

/// Says whether changes of the class are kept: those of accounts, from the first whole report on.
fn has_history(class: &Reported, old: &snapshot::Model) -> bool {
    class.batch.class.class() == AssetClass::Account && old.was_whole()
}

/// Writes a part of the work, and returns what that changes in the counts.
async fn write(
    tx: &TenantTx,
    machine_id: Uuid,
    class: &Reported,
    work: &mut Work,
    (from, to): (usize, usize),
    (now, old): (DateTime<Utc>, &snapshot::Model),
) -> StoreResult<Change> {
    let mut change = Change::default();
    change.total.machines = i64::from(old.is_new());
    let mut history = has_history(class, old).then(|| History::new(machine_id, now));
    let diff = std::mem::take(&mut work.diff);
    let (removed, written) = diff.part(from, to);
    store::remove(tx, machine_id, class.batch.class, removed).await?;
    for key in removed {
        work.removed(*key, &mut change);
        if let Some(history) = &mut history {
            history.add(work.before(*key), None);
        }
    }
    let (today, mut pick) = (count::day(now), Pick::of(class.batch.class));
    store::write(tx, machine_id, &class.batch, written, now, |entry, item| {
        work.written(entry.key, pick.value(class.batch.class, item), today, &mut change);
        if let Some(history) = &mut history {
            history.add(work.before(entry.key), Some(item));
        }
    })
    .await?;
    if let Some(history) = history {
        history.write(tx).await?;
    }
    work.diff = diff;
    change.settle();
    Ok(change)
}

/// Returns the newest day on which an item of the machine was first seen, and how many were.
fn newest(old: &snapshot::Model, change: &Change) -> (i32, i64) {
    let changed = |day: i32| change.days.get(&day).copied().unwrap_or_default();
    match change.days.iter().rfind(|(day, items)| **day > old.new_day && **items > 0) {
        Some((day, items)) => (*day, *items),
        None => (old.new_day, old.new_items + changed(old.new_day)),
    }
}

fn stale(message: &str, cause: &str) -> Error {
    Error::new(Reason::ReportTokenStale, message).with("cause", cause)
}
