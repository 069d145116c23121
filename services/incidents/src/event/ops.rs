//! Takes batches of spools.
//!
//! One transaction takes a batch: the machine's lock, the spool's cursor, the buckets, and what they say now. So a batch
//! that is repeated or overlaps counts once, and one that was cut off left nothing.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use cwpp_access::TenantScope;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_storage::{Db, StoreResult, TRANSACTION, TenantTx};
use uuid::Uuid;

use super::entity::{bucket, spool};
use super::tally::{Source, Tally};
use super::{Batch, Event, Taken, detect, store};
use crate::config;
use crate::detection::{Login, login};
use crate::incident::abnormal_login::{self, Finding};
use crate::policy;

/// Most pairs of source and account that one transaction looks at, so that it stays within its second.
const PAIRS: usize = 200;

/// Takes a batch; one that names very many sources and accounts in parts. Where a later part fails, what was taken is the
/// answer, and the caller goes on from there.
pub(super) async fn report(
    db: &Db,
    clock: &Clock,
    rules: &config::Detection,
    scope: &TenantScope,
    batch: &Batch,
) -> Result<Taken> {
    let now = clock.now();
    let mut answer = Taken { next_sequence: batch.first_sequence, taken: 0, incident_ids: Vec::new() };
    let (mut done, mut most) = (0, batch.events.len());
    while done < batch.events.len() {
        let part = Part {
            first_sequence: batch.first_sequence + i64::try_from(done).unwrap_or_default(),
            events: part(&batch.events[done..], most),
            ..Part::of(batch)
        };
        let part = &part;
        match db.write(scope, |tx| async move { take(&tx, rules, part, now).await }).await {
            Ok(taken) => {
                done += part.events.len();
                answer.next_sequence = taken.next_sequence;
                answer.taken += taken.taken;
                for id in taken.incident_ids {
                    if !answer.incident_ids.contains(&id) {
                        answer.incident_ids.push(id);
                    }
                }
            }
            // More than a second's work.
            Err(error) if error.reason() == Reason::DeadlineExceeded && part.events.len() > 1 && time_is_left() => {
                most = part.events.len().div_ceil(4);
            }
            Err(error) if answer.taken == 0 => return Err(error),
            Err(error) => {
                tracing::info!(%error, taken = answer.taken, "a batch was taken in part");
                break;
            }
        }
    }
    metrics::counter!("auth_events_total", "result" => "taken").increment(answer.taken as u64);
    metrics::counter!("auth_events_total", "result" => "repeated").increment((done - answer.taken.min(done)) as u64);
    Ok(answer)
}

fn time_is_left() -> bool {
    cwpp_chassis::deadline::remaining().is_none_or(|left| left > TRANSACTION)
}

/// Returns the first events, as many as one transaction may look at.
fn part(events: &[Event], most: usize) -> &[Event] {
    let mut pairs = HashSet::new();
    let fits = events.iter().take(most).take_while(|event| {
        pairs.insert((event.source, &event.service, &event.account));
        pairs.len() <= PAIRS
    });
    &events[..fits.count().max(1)]
}

/// What one transaction takes of a batch.
struct Part<'a> {
    machine_id: Uuid,
    spool_id: Uuid,
    first_sequence: i64,
    events: &'a [Event],
}

impl<'a> Part<'a> {
    fn of(batch: &'a Batch) -> Self {
        let Batch { machine_id, spool_id, first_sequence, events } = batch;
        Self { machine_id: *machine_id, spool_id: *spool_id, first_sequence: *first_sequence, events }
    }
}

async fn take(tx: &TenantTx, rules: &config::Detection, batch: &Part<'_>, now: DateTime<Utc>) -> StoreResult<Taken> {
    store::lock_machine(tx, batch.machine_id, now).await?;
    let before = store::spool(tx, batch.machine_id, batch.spool_id).await?;
    let next = before.as_ref().map_or(1, |spool| spool.next_sequence);
    if batch.first_sequence > next {
        let gap = Error::new(Reason::SpoolGap, "events are missing before the first one of the batch");
        return Err(gap.with("next_sequence", next).into());
    }
    let known = usize::try_from(next - batch.first_sequence).unwrap_or(usize::MAX).min(batch.events.len());
    let fresh = &batch.events[known..];
    if fresh.is_empty() {
        return Ok(Taken { next_sequence: next, taken: 0, incident_ids: Vec::new() });
    }
    let tally = Tally::of(fresh, now);
    count(tx, batch.machine_id, &tally).await?;
    let mut incident_ids = detect::run(tx, rules, batch.machine_id, &tally, now).await?;
    incident_ids.extend(judge(tx, batch.machine_id, &tally, now).await?);
    let next_sequence = next + i64::try_from(fresh.len()).unwrap_or_default();
    let spool = spool::Model {
        app_id: tx.app_id().get(),
        machine_id: batch.machine_id,
        spool_id: batch.spool_id,
        next_sequence,
        clamped_events: before.map_or(0, |spool| spool.clamped_events) + tally.clamped,
        update_time: now,
    };
    store::save_spool(tx, spool).await?;
    Ok(Taken { next_sequence, taken: fresh.len(), incident_ids })
}

/// Adds a batch to the buckets.
async fn count(tx: &TenantTx, machine_id: Uuid, tally: &Tally) -> StoreResult<()> {
    let keys = tally.sources.iter().flat_map(|(source_key, source)| {
        source.added.keys().map(|(minute, account_key)| (*source_key, *minute, *account_key))
    });
    let keys: Vec<store::Key> = keys.collect();
    let mut rows: HashMap<store::Key, bucket::Model> = store::buckets(tx, machine_id, &keys)
        .await?
        .into_iter()
        .map(|row| ((row.source_key, row.minute, row.account_key), row))
        .collect();
    for (source_key, source) in &tally.sources {
        for ((minute, account_key), added) in &source.added {
            let row = rows
                .entry((*source_key, *minute, *account_key))
                .or_insert_with(|| empty(tx, machine_id, *source_key, source, *minute, *account_key, &added.account));
            let mut counts = row.counts();
            counts.merge(&added.counts);
            row.set_counts(&counts);
        }
    }
    store::save_buckets(tx, rows.into_values().collect()).await
}

fn empty(
    tx: &TenantTx,
    machine_id: Uuid,
    source_key: Uuid,
    source: &Source,
    minute: i64,
    account_key: Uuid,
    account: &str,
) -> bucket::Model {
    bucket::Model {
        app_id: tx.app_id().get(),
        machine_id,
        source_key,
        minute,
        account_key,
        source_address: source.address.to_string(),
        service: source.service.clone(),
        account: account.to_owned(),
        failures: 0,
        unknown_failures: 0,
        successes: 0,
        first_failure_time: None,
        last_failure_time: None,
        first_success_time: None,
        last_success_time: None,
    }
}

/// Holds the logins of a batch against the tenant's whitelists.
async fn judge(tx: &TenantTx, machine_id: Uuid, tally: &Tally, now: DateTime<Utc>) -> StoreResult<Vec<Uuid>> {
    if tally.accepted.is_empty() {
        return Ok(Vec::new());
    }
    let whitelists = policy::ops::whitelists(tx, machine_id).await?;
    let findings = tally.accepted.iter().filter_map(|accepted| {
        let login = Login { account: &accepted.account, source: accepted.source, time: accepted.time, country: None };
        let risks = login::judge(&login, &whitelists)?;
        Some(Finding {
            time: accepted.time,
            account: accepted.account.clone(),
            source: accepted.source,
            service: accepted.service.clone(),
            risks,
        })
    });
    abnormal_login::record(tx, machine_id, findings.collect(), now).await
}
