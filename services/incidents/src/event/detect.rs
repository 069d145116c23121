//! Looks for password cracking by the sources of a batch: at each account that it names, and across accounts.
//!
//! What a batch costs is bound by the batch: a series that stands takes its counts without a look at the past, and what
//! has none yet has a short past, or it would have one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_storage::{StoreResult, TenantTx};
use uuid::Uuid;

use super::store::{self, Range};
use super::tally::{Source, Tally};
use crate::config;
use crate::detection::Bucket;
use crate::detection::cracking::{BEFORE, Evaluated, Plan, Rest, evaluate, plan};
use crate::incident::entity::Model;
use crate::incident::password_cracking::{self, Changes, Subject};

/// A subject that a batch touches.
struct Touched {
    source_key: Uuid,
    /// None across accounts.
    account_key: Option<Uuid>,
    subject: Subject,
    added: Vec<Bucket>,
}

/// What is left to be evaluated of a subject.
struct Open {
    touched: Touched,
    stored: Vec<Model>,
    rest: Rest,
}

/// Brings the incidents of a machine up to date with a batch that is counted already, and returns the changed ones' ids.
pub(super) async fn run(
    tx: &TenantTx,
    rules: &config::Detection,
    machine_id: Uuid,
    tally: &Tally,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Uuid>> {
    let touched: Vec<Touched> = tally.sources.iter().flat_map(|(key, source)| subjects(*key, source)).collect();
    let earliest = touched.iter().flat_map(|touched| &touched.added).map(|bucket| bucket.minute).min().unwrap_or(0);
    let from = DateTime::from_timestamp((earliest - 2 * BEFORE) * 60, 0).unwrap_or(DateTime::UNIX_EPOCH);
    let keys = touched.iter().map(|touched| touched.subject.key()).collect();
    let mut stored: HashMap<Uuid, Vec<Model>> = HashMap::new();
    for row in password_cracking::stored(tx, machine_id, keys, from).await? {
        stored.entry(row.subject_key).or_default().push(row);
    }

    let mut changes = Changes::new(machine_id, now);
    let mut open = Vec::new();
    for touched in touched {
        let stored = stored.remove(&touched.subject.key()).unwrap_or_default();
        let known: Vec<_> = stored.iter().map(password_cracking::verdict).collect();
        let Plan { extended, rest } = plan(&known, &touched.added);
        for (index, added) in extended {
            changes.extend(&stored[index], &added)?;
        }
        if let Some(rest) = rest {
            open.push(Open { touched, stored, rest });
        }
    }

    let buckets = buckets(tx, machine_id, &open).await?;
    for Open { touched, stored, rest } in open {
        let known: Vec<_> = stored.iter().map(password_cracking::verdict).collect();
        let rules = if touched.account_key.is_some() { &rules.account_rules } else { &rules.spraying_rules };
        let own = buckets.get(&(touched.source_key, touched.account_key)).map_or(&[][..], Vec::as_slice);
        let mut series: Vec<i64> = stored.iter().map(|row| row.series).collect();
        for Evaluated { known, verdict, accounts } in evaluate(rules, own, &known, rest.touched) {
            match known.and_then(|index| stored.get(index)) {
                Some(row) => changes.replace(row, &verdict, accounts)?,
                None => series.push(changes.open(tx, &touched.subject, &series, &verdict, accounts)?),
            }
        }
    }
    changes.write(tx).await
}

/// Returns what a source touches: all accounts together, and each one that the batch names.
fn subjects(source_key: Uuid, source: &Source) -> Vec<Touched> {
    let subject = |account| Subject { source: source.address, service: source.service.clone(), account };
    let mut accounts: HashMap<Uuid, Touched> = HashMap::new();
    for ((_, account_key), added) in &source.added {
        let touched = accounts.entry(*account_key).or_insert_with(|| Touched {
            source_key,
            account_key: Some(*account_key),
            subject: subject(Some(added.account.clone())),
            added: Vec::new(),
        });
        touched.added.push(added.counts.clone());
    }
    let added = source.added.values().map(|added| added.counts.clone()).collect();
    let across = Touched { source_key, account_key: None, subject: subject(None), added };
    std::iter::once(across).chain(accounts.into_values()).collect()
}

/// Reads the buckets that are needed, by source and account.
async fn buckets(
    tx: &TenantTx,
    machine_id: Uuid,
    open: &[Open],
) -> StoreResult<HashMap<(Uuid, Option<Uuid>), Vec<Bucket>>> {
    let range = |open: &Open| Range {
        source_key: open.touched.source_key,
        account_key: open.touched.account_key,
        minutes: open.rest.needed.clone(),
    };
    let mut buckets: HashMap<(Uuid, Option<Uuid>), Vec<Bucket>> = HashMap::new();
    // One after the other: statements that read both ways at once would read each bucket for either.
    let (accounts, across): (Vec<_>, Vec<_>) = open.iter().map(range).partition(|range| range.account_key.is_some());
    for (source_key, bucket) in store::counts(tx, machine_id, &accounts).await? {
        buckets.entry((source_key, Some(bucket.account))).or_default().push(bucket);
    }
    for (source_key, bucket) in store::counts(tx, machine_id, &across).await? {
        buckets.entry((source_key, None)).or_default().push(bucket);
    }
    Ok(buckets)
}
