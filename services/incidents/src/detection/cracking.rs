//! Password cracking: series of failed logins of one source, at one account or across accounts.
//!
//! [`evaluate`] looks at the buckets of one source at one service around what changed. Series that reached their
//! threshold before the change stand; the rest is worked out anew. So the verdict depends on the buckets, not on the
//! order or the number of times in which they came.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::Severity;

use super::bucket::{AccountKey, Bucket};
pub use super::series::Series;
use super::series::{LASTS, find};
use super::severity;
use crate::config::Rule;

/// Minutes before a change that can matter to its verdict: the longest window, or a series that goes on.
pub const BEFORE: i64 = LASTS;
/// Minutes after a change that can matter: a series that begins within a day of it, whole.
pub const AFTER: i64 = 2 * LASTS;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of one account.
    Account(AccountKey),
    /// Those of all accounts.
    AcrossAccounts,
}

/// A series that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// When it begins and when it reached its threshold.
    pub series: Series,
}

/// What is found of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Place of the stored series in what was given, if it is one.
    pub known: Option<usize>,
    /// When it begins and when it reached its threshold.
    pub series: Series,
    /// The last failure, or the login that succeeded after it.
    pub last: DateTime<Utc>,
    /// Failed attempts.
    pub attempts: u64,
    /// Accounts at which they failed.
    pub accounts: u32,
    /// Whether one of the accounts exists, as far as the host said.
    pub account_exists: bool,
    /// Whether a login succeeded from the threshold on.
    pub cracked: bool,
    /// The threat level.
    pub severity: Severity,
}

/// Returns what the buckets say of every series that a change in the minutes of `touched` can have opened or changed.
///
/// `buckets` are those of one source and service from [`BEFORE`] the change to [`AFTER`] it, in any order; `known` are the
/// stored series of this scope that begin up to two days before the change or later.
pub fn evaluate(
    rules: &[Rule],
    scope: Scope,
    buckets: &[Bucket],
    known: &[Known],
    touched: RangeInclusive<i64>,
) -> Vec<Verdict> {
    let (from, to) = touched.into_inner();
    let own: Vec<Bucket> = match scope {
        Scope::Account(account) => buckets.iter().filter(|bucket| bucket.account == account).cloned().collect(),
        Scope::AcrossAccounts => buckets.to_vec(),
    };
    // What was reached before the change does not move; what begins a day after it is not reached by it.
    let stands =
        |known: &Known| super::bucket::minute_of(known.series.threshold) < from || known.series.minute() >= to + LASTS;
    let mut standing: Vec<(Option<usize>, Series)> =
        known.iter().enumerate().filter(|(_, k)| stands(k)).map(|(index, k)| (Some(index), k.series)).collect();
    let mut moving: Vec<usize> = (0..known.len()).filter(|index| !stands(&known[*index])).collect();
    moving.sort_by_key(|index| known[*index].series.first);
    let fixed: Vec<Series> = standing.iter().map(|(_, series)| *series).collect();
    let mut moving = moving.into_iter().peekable();
    for series in find(rules, &own, &fixed) {
        let end = series.minute() + LASTS;
        // Those that end before this one begins were left without failures, which cannot be; they stay as they are.
        while moving.peek().is_some_and(|index| known[*index].series.minute() + LASTS <= series.minute()) {
            moving.next();
        }
        let same = moving.next_if(|index| known[*index].series.minute() < end);
        standing.push((same, series));
    }
    standing.sort_by_key(|(_, series)| series.first);
    let mut verdicts = Vec::new();
    for (place, (known, series)) in standing.iter().enumerate() {
        let next = standing.get(place + 1).map_or(i64::MAX, |(_, next)| next.minute());
        let minutes = series.minute()..next.min(series.minute() + LASTS);
        let reached = minutes.start <= to && from < minutes.end;
        if reached || series.minute() >= from && series.minute() < to + LASTS {
            verdicts.extend(sum(*known, *series, own.iter().filter(|bucket| minutes.contains(&bucket.minute))));
        }
    }
    verdicts
}

fn sum<'a>(known: Option<usize>, series: Series, buckets: impl Iterator<Item = &'a Bucket>) -> Option<Verdict> {
    let mut accounts = HashSet::new();
    let mut verdict = Verdict {
        known,
        series,
        last: series.threshold,
        attempts: 0,
        accounts: 0,
        account_exists: false,
        cracked: false,
        severity: Severity::Unspecified,
    };
    let mut first = None::<DateTime<Utc>>;
    for bucket in buckets {
        if let Some(failed) = bucket.failed {
            accounts.insert(bucket.account);
            verdict.attempts += bucket.failures;
            verdict.account_exists |= bucket.failures > bucket.unknown_failures;
            verdict.last = verdict.last.max(failed.last);
            first = Some(first.map_or(failed.first, |first| first.min(failed.first)));
        }
        if let Some(succeeded) = bucket.succeeded {
            verdict.account_exists = true;
            if succeeded.last >= series.threshold {
                verdict.cracked = true;
                verdict.last = verdict.last.max(succeeded.last);
            }
        }
    }
    verdict.series.first = first?;
    verdict.accounts = u32::try_from(accounts.len()).unwrap_or(u32::MAX);
    verdict.severity = severity::of_cracking(verdict.attempts, verdict.account_exists, verdict.cracked);
    Some(verdict)
}

#[cfg(test)]
#[path = "cracking_test.rs"]
mod tests;
