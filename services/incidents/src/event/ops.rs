//! Takes batches of spools.
//!
//! One transaction per batch: the machine's lock, the spool's cursor, the buckets, and what they say now. So a batch that
//! is repeated or overlaps counts once, and one that was cut off left nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_access::TenantScope;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_storage::{Db, StoreResult, TenantTx};
use uuid::Uuid;

use super::entity::{bucket, spool};
use super::store::{self, Range};
use super::tally::{Source, Tally};
use super::{Batch, Taken};
use crate::config;
use crate::detection::cracking::{AFTER, BEFORE, Scope, evaluate};
use crate::detection::{Bucket, Login, login};
use crate::incident::abnormal_login::{self, Finding};
use crate::incident::password_cracking::{self, Changes, Subject};
use crate::policy;

/// Takes a batch.
pub(super) async fn report(
    db: &Db,
    clock: &Clock,
    rules: &config::Detection,
    scope: &TenantScope,
    batch: &Batch,
) -> Result<Taken> {
    let now = clock.now();
    let taken = db.write(scope, |tx| async move { take(&tx, rules, batch, now).await }).await?;
    metrics::counter!("auth_events_total", "result" => "taken").increment(taken.taken as u64);
    metrics::counter!("auth_events_total", "result" => "repeated").increment((batch.events.len() - taken.taken) as u64);
    Ok(taken)
}

async fn take(tx: &TenantTx, rules: &config::Detection, batch: &Batch, now: DateTime<Utc>) -> StoreResult<Taken> {
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
    let mut incident_ids = count(tx, rules, batch.machine_id, &tally, now).await?;
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

/// Adds a batch to the buckets, and looks at what they say now.
async fn count(
    tx: &TenantTx,
    rules: &config::Detection,
    machine_id: Uuid,
    tally: &Tally,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Uuid>> {
    let ranges: Vec<Range> = tally
        .sources
        .iter()
        .map(|(source_key, source)| {
            let (from, to) = source.minutes();
            Range { source_key: *source_key, from: from - BEFORE, to: to + AFTER }
        })
        .collect();
    let mut rows: HashMap<(Uuid, i64, Uuid), bucket::Model> = store::buckets(tx, machine_id, &ranges)
        .await?
        .into_iter()
        .map(|row| ((row.source_key, row.minute, row.account_key), row))
        .collect();
    let mut changed = Vec::new();
    for (source_key, source) in &tally.sources {
        for ((minute, account_key), added) in &source.added {
            let row = rows
                .entry((*source_key, *minute, *account_key))
                .or_insert_with(|| empty(tx, machine_id, *source_key, source, *minute, *account_key, &added.account));
            let mut counts = row.counts();
            counts.merge(&added.counts);
            row.set_counts(&counts);
            changed.push(row.clone());
        }
    }
    store::save_buckets(tx, changed).await?;

    let mut buckets: HashMap<Uuid, Vec<Bucket>> = HashMap::new();
    for row in rows.values() {
        buckets.entry(row.source_key).or_default().push(row.counts());
    }
    detect(tx, rules, machine_id, tally, &buckets, now).await
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

/// Looks for password cracking by the sources of a batch, at each account that it names and across accounts.
async fn detect(
    tx: &TenantTx,
    rules: &config::Detection,
    machine_id: Uuid,
    tally: &Tally,
    buckets: &HashMap<Uuid, Vec<Bucket>>,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Uuid>> {
    let mut subjects = Vec::new();
    let mut earliest = i64::MAX;
    for (source_key, source) in &tally.sources {
        let (from, to) = source.minutes();
        earliest = earliest.min(from);
        let subject = |account| Subject { source: source.address, service: source.service.clone(), account };
        subjects.push((*source_key, Scope::AcrossAccounts, from..=to, subject(None)));
        let mut accounts: HashMap<Uuid, (i64, i64, &str)> = HashMap::new();
        for ((minute, account_key), added) in &source.added {
            let entry = accounts.entry(*account_key).or_insert((*minute, *minute, &added.account));
            entry.1 = *minute;
        }
        for (account_key, (from, to, account)) in accounts {
            subjects.push((*source_key, Scope::Account(account_key), from..=to, subject(Some(account.to_owned()))));
        }
    }
    let keys: Vec<Uuid> = subjects.iter().map(|(.., subject)| subject.key()).collect();
    let from = DateTime::from_timestamp((earliest - 2 * BEFORE) * 60, 0).unwrap_or(DateTime::UNIX_EPOCH);
    let mut stored: HashMap<Uuid, Vec<_>> = HashMap::new();
    for row in password_cracking::stored(tx, machine_id, keys.clone(), from).await? {
        stored.entry(row.subject_key).or_default().push(row);
    }
    let mut changes = Changes::default();
    for ((source_key, scope, touched, subject), key) in subjects.into_iter().zip(keys) {
        let stored = stored.remove(&key).unwrap_or_default();
        let known: Vec<_> = stored.iter().map(password_cracking::known).collect();
        let rules = match scope {
            Scope::Account(_) => &rules.account_rules,
            Scope::AcrossAccounts => &rules.spraying_rules,
        };
        let buckets = buckets.get(&source_key).map_or(&[][..], Vec::as_slice);
        let verdicts = evaluate(rules, scope, buckets, &known, touched);
        changes.add(tx, machine_id, &subject, &stored, verdicts, now)?;
    }
    changes.write(tx).await
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
