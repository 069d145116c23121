//! Where series of failed logins begin.
//!
//! The buckets are walked in the order of time. A window of each rule slides over them; where it holds enough failures
//! of enough accounts, a series begins with the first failure in it, and takes in everything of the next 24 hours,
//! whole minutes. What a series has taken counts in no other.
//!
//! Of a minute only the ends are stored, so a window takes minutes whole: those whose nearest failures are no further apart
//! than its length, and at most one minute more than that has. It so counts up to a minute too much, never too little, and
//! an attempt that arrives late never makes an attack disappear.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::bucket::{AccountKey, Bucket, Span, minute_of};
use crate::config::Rule;

/// Minutes that a series lasts.
pub(super) const LASTS: i64 = 24 * 60;

/// A series of failed logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// When its first attempt failed.
    pub first: DateTime<Utc>,
    /// When the threshold was reached: a login that succeeds from then on was cracked.
    pub threshold: DateTime<Utc>,
}

impl Series {
    /// Returns the minute in which it begins.
    pub(super) fn minute(&self) -> i64 {
        minute_of(self.first)
    }
}

/// Failures of one minute.
struct Group {
    minute: i64,
    failures: u64,
    failed: Span,
    /// Accounts by the first failure of each in this minute.
    accounts: Vec<(DateTime<Utc>, AccountKey)>,
}

fn groups(buckets: &[Bucket]) -> Vec<Group> {
    let mut groups: BTreeMap<i64, Group> = BTreeMap::new();
    for bucket in buckets {
        let Some(failed) = bucket.failed else { continue };
        let group = groups.entry(bucket.minute).or_insert_with(|| Group {
            minute: bucket.minute,
            failures: 0,
            failed,
            accounts: Vec::new(),
        });
        group.failures += bucket.failures;
        group.failed = group.failed.join(failed);
        group.accounts.push((failed.first, bucket.account));
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.accounts.sort_unstable();
    }
    groups
}

/// The minutes of one rule's length that were looked at last.
struct Window<'a> {
    rule: &'a Rule,
    length: TimeDelta,
    minutes: i64,
    groups: VecDeque<&'a Group>,
    failures: u64,
    accounts: HashMap<AccountKey, u32>,
}

impl<'a> Window<'a> {
    fn new(rule: &'a Rule) -> Self {
        let length = TimeDelta::from_std(rule.window).unwrap_or(TimeDelta::days(1));
        // A series holds the window that it begins with.
        let minutes = i64::try_from(rule.window.as_secs().div_ceil(60)).unwrap_or(LASTS).min(LASTS - 1);
        Self { rule, length, minutes, groups: VecDeque::new(), failures: 0, accounts: HashMap::new() }
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.failures = 0;
        self.accounts.clear();
    }

    /// Takes the next minute in and returns the series that it begins.
    fn take(&mut self, group: &'a Group) -> Option<Series> {
        while let Some(oldest) = self.groups.front().copied() {
            let near = group.failed.first - oldest.failed.last <= self.length;
            if near && group.minute - oldest.minute <= self.minutes {
                break;
            }
            self.groups.pop_front();
            self.failures -= oldest.failures;
            for (_, account) in &oldest.accounts {
                if let Some(uses) = self.accounts.get_mut(account) {
                    *uses -= 1;
                    if *uses == 0 {
                        self.accounts.remove(account);
                    }
                }
            }
        }
        let (failures_before, accounts_before) = (self.failures, self.accounts.len());
        let fresh = group.accounts.iter().filter(|(_, account)| !self.accounts.contains_key(account));
        let fresh: Vec<DateTime<Utc>> = fresh.map(|(first, _)| *first).collect();
        self.groups.push_back(group);
        self.failures += group.failures;
        for (_, account) in &group.accounts {
            *self.accounts.entry(*account).or_default() += 1;
        }
        let wanted = self.rule.accounts as usize;
        if self.failures < self.rule.failures || self.accounts.len() < wanted {
            return None;
        }
        let enough = moment_of(self.rule.failures.saturating_sub(failures_before), group);
        let spread = wanted.checked_sub(accounts_before + 1).and_then(|nth| fresh.get(nth)).copied();
        let threshold = spread.map_or(enough, |spread| spread.max(enough));
        let first = self.groups.front().map_or(group.failed.first, |oldest| oldest.failed.first);
        Some(Series { first, threshold })
    }
}

/// Returns when the nth failure of a minute was, taking them as evenly spread: only the ends are stored.
fn moment_of(nth: u64, group: &Group) -> DateTime<Utc> {
    let (steps, all) = (nth.saturating_sub(1), group.failures.saturating_sub(1));
    let length = (group.failed.last - group.failed.first).num_microseconds().unwrap_or(0);
    if all == 0 {
        return group.failed.last;
    }
    let share = i128::from(length) * i128::from(steps.min(all)) / i128::from(all);
    group.failed.first + TimeDelta::microseconds(i64::try_from(share).unwrap_or(length))
}

/// Returns the series that begin outside of what `fixed` series hold, in the order of time.
pub(super) fn find(rules: &[Rule], buckets: &[Bucket], fixed: &[Series]) -> Vec<Series> {
    let groups = groups(buckets);
    let mut windows: Vec<Window<'_>> = rules.iter().map(Window::new).collect();
    let mut found: Vec<Series> = Vec::new();
    for group in &groups {
        let holds = |series: &Series| (series.minute()..series.minute() + LASTS).contains(&group.minute);
        if fixed.iter().any(holds) || found.last().is_some_and(holds) {
            continue;
        }
        let begun = windows.iter_mut().filter_map(|window| window.take(group)).min_by_key(|s| (s.first, s.threshold));
        if let Some(series) = begun {
            found.push(series);
            windows.iter_mut().for_each(Window::clear);
        }
    }
    found
}
