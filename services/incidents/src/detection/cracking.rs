//! Password cracking: series of failed logins of one source, at one account or across accounts.
//!
//! A change is new counts in some minutes. Series that reached their threshold before it stand: [`plan`] tells which of
//! the counts they take, and [`extend`] adds those, so that a long attack costs no more per change than a short one. The
//! rest is worked out anew by [`evaluate`], from the buckets around the change. Together they come to what one look at all
//! buckets comes to: the verdict depends on the buckets, not on the order or the number of times in which they came.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::Severity;

use super::bucket::{AccountKey, Bucket, minute_of};
pub use super::series::Series;
use super::series::{LASTS, find};
use super::severity;
use crate::config::Rule;

/// Minutes before a change that can matter to its verdict: the longest window, or a series that goes on.
pub const BEFORE: i64 = LASTS;
/// Minutes after a change that can matter: a series that begins within a day of it, whole.
const AFTER: i64 = 2 * LASTS;

/// What is found of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// When it begins and when it reached its threshold.
    pub series: Series,
    /// The last failure, or the login that succeeded after it.
    pub last: DateTime<Utc>,
    /// Failed attempts.
    pub attempts: u64,
    /// Whether one of the accounts exists, as far as the host said.
    pub account_exists: bool,
    /// Whether a login succeeded from the threshold on.
    pub cracked: bool,
}

impl Verdict {
    fn begin(series: Series) -> Self {
        Self { series, last: series.threshold, attempts: 0, account_exists: false, cracked: false }
    }

    /// Adds counts, and the accounts at which attempts failed to `accounts`.
    fn add(&mut self, bucket: &Bucket, accounts: &mut BTreeSet<AccountKey>) {
        if let Some(failed) = bucket.failed {
            accounts.insert(bucket.account);
            self.attempts += bucket.failures;
            self.account_exists |= bucket.failures > bucket.unknown_failures;
            self.last = self.last.max(failed.last);
        }
        if let Some(succeeded) = bucket.succeeded {
            self.account_exists = true;
            if succeeded.last >= self.series.threshold {
                self.cracked = true;
                self.last = self.last.max(succeeded.last);
            }
        }
    }

    /// Returns the threat level.
    pub fn severity(&self) -> Severity {
        severity::of_cracking(self.attempts, self.account_exists, self.cracked)
    }
}

/// What is done about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Series that stand, by their place in what was given, with the counts that they take.
    pub extended: Vec<(usize, Vec<Bucket>)>,
    /// What no standing series takes.
    pub rest: Option<Rest>,
}

/// Minutes that are to be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The first and the last minute of the change.
    pub touched: RangeInclusive<i64>,
    /// The minutes whose buckets must be known.
    pub needed: RangeInclusive<i64>,
}

/// Returns the minutes that a series takes: a day, less where the next one begins.
fn minutes(known: &[Verdict], order: &[usize], place: usize) -> std::ops::Range<i64> {
    let from = known[order[place]].series.minute();
    let next = order.get(place + 1).map_or(i64::MAX, |next| known[*next].series.minute());
    from..next.min(from + LASTS)
}

/// Divides a change among the series that stand and the rest. `known` are the stored series of the subject that begin up
/// to two days before the change or later.
pub fn plan(known: &[Verdict], added: &[Bucket]) -> Plan {
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|index| known[*index].series.first);
    let mut rest: Vec<Bucket> = added.to_vec();
    rest.sort_by_key(|bucket| bucket.minute);
    let mut extended = Vec::new();
    // Nothing before it can matter to what begins after it.
    let mut floor = i64::MIN;
    for place in 0..order.len() {
        let (index, span) = (order[place], minutes(known, &order, place));
        let Some(first) = rest.first().map(|bucket| bucket.minute) else { break };
        if minute_of(known[index].series.threshold) >= first {
            continue;
        }
        let (taken, left): (Vec<_>, Vec<_>) = rest.into_iter().partition(|bucket| span.contains(&bucket.minute));
        rest = left;
        if !taken.is_empty() {
            extended.push((index, taken));
        }
        if rest.first().is_some_and(|bucket| bucket.minute >= span.end) {
            floor = span.end;
        }
    }
    let rest = rest.first().zip(rest.last()).map(|(first, last)| Rest {
        touched: first.minute..=last.minute,
        needed: floor.max(first.minute - BEFORE)..=last.minute + AFTER,
    });
    Plan { extended, rest }
}

/// Adds counts to a series that stands, and the accounts at which attempts failed to `accounts`.
pub fn extend(known: &Verdict, added: &[Bucket], accounts: &mut BTreeSet<AccountKey>) -> Verdict {
    let mut verdict = known.clone();
    for bucket in added {
        verdict.add(bucket, accounts);
    }
    verdict
}

/// A series that was worked out anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated {
    /// Place of the stored series in what was given, if it is one.
    pub known: Option<usize>,
    /// What is found.
    pub verdict: Verdict,
    /// The accounts at which attempts failed.
    pub accounts: BTreeSet<AccountKey>,
}

/// Returns what the buckets say of every series that a change in the minutes of `touched` can have opened or moved.
/// `buckets` are the subject's in the minutes that [`plan`] needs, in any order; `known` are what it was given.
pub fn evaluate(rules: &[Rule], buckets: &[Bucket], known: &[Verdict], touched: RangeInclusive<i64>) -> Vec<Evaluated> {
    let (from, to) = touched.into_inner();
    // What was reached before the change does not move; what begins a day after it is not reached by it.
    let stands =
        |known: &Verdict| minute_of(known.series.threshold) < from || known.series.minute() >= to.saturating_add(LASTS);
    let fixed: Vec<Series> = known.iter().filter(|known| stands(known)).map(|known| known.series).collect();
    let mut moving: Vec<usize> = (0..known.len()).filter(|index| !stands(&known[*index])).collect();
    moving.sort_by_key(|index| known[*index].series.first);
    let mut moving = moving.into_iter().peekable();
    let found = find(rules, buckets, &fixed);
    let begins = |after: i64| {
        let later = fixed.iter().chain(&found).map(Series::minute).filter(|minute| *minute > after);
        later.min().unwrap_or(i64::MAX)
    };
    let mut evaluated = Vec::new();
    for series in found.iter().filter(|series| series.minute() < to.saturating_add(LASTS)) {
        let minutes = series.minute()..begins(series.minute()).min(series.minute() + LASTS);
        // One that ends before this begins was left without failures, which cannot be; it stays as it is.
        while moving.peek().is_some_and(|index| known[*index].series.minute() + LASTS <= series.minute()) {
            moving.next();
        }
        let same = moving.next_if(|index| known[*index].series.minute() < series.minute() + LASTS);
        let (mut verdict, mut accounts) = (Verdict::begin(*series), BTreeSet::new());
        for bucket in buckets.iter().filter(|bucket| minutes.contains(&bucket.minute)) {
            verdict.add(bucket, &mut accounts);
        }
        evaluated.push(Evaluated { known: same, verdict, accounts });
    }
    evaluated
}

#[cfg(test)]
#[path = "cracking_test.rs"]
mod tests;
