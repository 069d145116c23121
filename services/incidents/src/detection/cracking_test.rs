use chrono::{TimeDelta, TimeZone};
use proptest::prelude::*;

use super::super::bucket::minute_of;
use super::*;
use crate::config::Detection;

fn account(n: u128) -> AccountKey {
    AccountKey::from_u128(n)
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 23, 57, 13).unwrap()
}

/// Attempts as (seconds from the start, account, whether it failed).
type Attempt = (i64, u128, bool);

fn buckets(attempts: &[Attempt]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for (seconds, name, failed) in attempts {
        let time = start() + TimeDelta::seconds(*seconds);
        let (minute, key) = (minute_of(time), account(*name));
        let place = buckets.iter().position(|b| b.minute == minute && b.account == key).unwrap_or_else(|| {
            buckets.push(Bucket::empty(minute, key));
            buckets.len() - 1
        });
        match failed {
            true => buckets[place].fail(time, 1, false),
            false => buckets[place].succeed(time, 1),
        }
    }
    buckets
}

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Account(AccountKey),
    AcrossAccounts,
}

impl Scope {
    fn rules(self) -> Vec<Rule> {
        match self {
            Scope::Account(_) => Detection::default().account_rules,
            Scope::AcrossAccounts => Detection::default().spraying_rules,
        }
    }

    fn own(self, buckets: Vec<Bucket>) -> Vec<Bucket> {
        let own = |bucket: &Bucket| match self {
            Scope::Account(account) => bucket.account == account,
            Scope::AcrossAccounts => true,
        };
        buckets.into_iter().filter(own).collect()
    }
}

/// What is stored of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    verdict: Verdict,
    accounts: BTreeSet<AccountKey>,
}

impl std::ops::Deref for Found {
    type Target = Verdict;

    fn deref(&self) -> &Verdict {
        &self.verdict
    }
}

fn at_once(scope: Scope, attempts: &[Attempt]) -> Vec<Found> {
    evaluated(scope, buckets(attempts))
}

fn evaluated(scope: Scope, buckets: Vec<Bucket>) -> Vec<Found> {
    let found = evaluate(&scope.rules(), &scope.own(buckets), &[], i64::MIN / 4..=i64::MAX / 4);
    found.into_iter().map(|Evaluated { verdict, accounts, .. }| Found { verdict, accounts }).collect()
}

fn one(attempts: &[Attempt]) -> Vec<Found> {
    at_once(Scope::Account(account(1)), attempts)
}

fn every(seconds: i64, times: i64, name: u128) -> Vec<Attempt> {
    (0..times).map(|n| (n * seconds, name, true)).collect()
}

#[test]
fn ten_failures_in_five_minutes_are_an_attack_and_nine_are_not() {
    assert_eq!(one(&every(33, 9, 1)), []);
    let found = one(&every(33, 10, 1));
    assert_eq!(found.len(), 1);
    let verdict = &found[0];
    assert_eq!((verdict.attempts, verdict.accounts.len(), verdict.cracked), (10, 1, false));
    assert_eq!((verdict.series.first, verdict.last), (start(), start() + TimeDelta::seconds(9 * 33)));
    assert_eq!(verdict.severity(), Severity::Medium);
}

#[test]
fn an_attack_over_midnight_is_one_series() {
    assert_eq!(one(&every(10, 60, 1)).len(), 1);
}

#[test]
fn failures_that_are_too_far_apart_are_no_attack() {
    assert_eq!(one(&every(200, 10, 1)), []);
    assert_eq!(one(&every(40, 10, 1)), []);
    assert_eq!(one(&every(40 * 60, 36, 1)), []);
}

#[test]
fn slow_attempts_are_found_over_long_windows() {
    assert_eq!(one(&every(170, 20, 1)).len(), 1);
    let found = one(&every(30 * 60, 48, 1));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].attempts, 48);
}

#[test]
fn spraying_is_found_across_accounts_and_at_none_of_them() {
    let attempts: Vec<Attempt> = (0..12).map(|n| (n * 20, (n % 6) as u128 + 1, true)).collect();
    assert_eq!(one(&attempts), []);
    let found = at_once(Scope::AcrossAccounts, &attempts);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].attempts, found[0].accounts.len()), (12, 6));
    // One account alone is no spraying, however often it is tried.
    assert_eq!(at_once(Scope::AcrossAccounts, &every(5, 100, 1)), []);
}

#[test]
fn a_success_after_the_threshold_is_a_cracked_password() {
    let mut attempts = every(2, 12, 1);
    attempts.push((40, 1, false));
    let found = one(&attempts);
    assert!(found[0].cracked);
    assert_eq!((found[0].severity(), found[0].attempts), (Severity::Critical, 12));
    assert_eq!(found[0].last, start() + TimeDelta::seconds(40));
    // Also in the middle of an attack that goes on, in the same minute.
    let mut attempts = every(1, 40, 1);
    attempts.push((20, 1, false));
    assert!(one(&attempts)[0].cracked);
}

#[test]
fn a_success_before_the_threshold_cracks_nothing() {
    let mut attempts = every(2, 10, 1);
    attempts.push((11, 1, false));
    assert_eq!(one(&attempts).iter().map(|v| v.cracked).collect::<Vec<_>>(), [false]);
    let mut others = every(2, 12, 1);
    others.push((60, 2, false));
    assert!(!one(&others)[0].cracked);
}

#[test]
fn a_success_while_spraying_is_a_cracked_password() {
    let mut attempts: Vec<Attempt> = (0..12).map(|n| (n, n as u128, true)).collect();
    attempts.push((30, 77, false));
    assert!(at_once(Scope::AcrossAccounts, &attempts)[0].cracked);
}

#[test]
fn people_who_mistype_are_no_attackers() {
    let mut attempts = Vec::new();
    for day in 0..5 {
        for name in 1..=4 {
            let morning = day * 86_400 + i64::try_from(name).unwrap() * 900;
            attempts.extend([(morning, name, true), (morning + 8, name, true), (morning + 20, name, false)]);
        }
    }
    assert_eq!(at_once(Scope::AcrossAccounts, &attempts), []);
    for name in 1..=4 {
        assert_eq!(at_once(Scope::Account(account(name)), &attempts), []);
    }
}

#[test]
fn accounts_that_do_not_exist_are_a_low_threat_and_many_attempts_a_high_one() {
    let mut unknown = Bucket::empty(minute_of(start()), account(1));
    unknown.fail(start(), 500, true);
    let scope = Scope::Account(account(1));
    let found = evaluated(scope, vec![unknown.clone()]);
    assert_eq!((found[0].severity(), found[0].account_exists), (Severity::Low, false));
    unknown.fail(start(), 1, false);
    let found = evaluated(scope, vec![unknown]);
    assert_eq!((found[0].severity(), found[0].account_exists), (Severity::High, true));
}

#[test]
fn what_goes_on_after_a_day_is_another_series_and_needs_its_own_threshold() {
    let mut attempts = every(10, 20, 1);
    attempts.push((86_400 + 600, 1, true));
    assert_eq!(one(&attempts).len(), 1);
    attempts.extend((0..10).map(|n| (86_400 + 600 + n, 1, true)));
    let found = one(&attempts);
    assert_eq!(found.iter().map(|v| v.attempts).collect::<Vec<_>>(), [20, 11]);
}

/// Gives attempts piece by piece, as batches come, and keeps what is stored between them.
fn piecewise(scope: Scope, pieces: &[Vec<Attempt>]) -> Vec<Found> {
    let mut all: Vec<Attempt> = Vec::new();
    let mut stored: Vec<Found> = Vec::new();
    for piece in pieces {
        all.extend(piece);
        let known: Vec<Verdict> = stored.iter().map(|found| found.verdict.clone()).collect();
        let Plan { extended, rest } = plan(&known, &scope.own(buckets(piece)));
        for (index, added) in extended {
            stored[index].verdict = extend(&known[index], &added, &mut stored[index].accounts);
        }
        let Some(Rest { touched, needed }) = rest else { continue };
        let near: Vec<Bucket> =
            scope.own(buckets(&all)).into_iter().filter(|bucket| needed.contains(&bucket.minute)).collect();
        for Evaluated { known, verdict, accounts } in evaluate(&scope.rules(), &near, &known, touched) {
            match known {
                Some(index) => stored[index] = Found { verdict, accounts },
                None => stored.push(Found { verdict, accounts }),
            }
        }
    }
    stored.sort_by_key(|found| found.series.first);
    stored
}

#[test]
fn what_a_standing_series_takes_needs_no_bucket_of_the_past() {
    let found = one(&every(2, 12, 1));
    let known = vec![found[0].verdict.clone()];
    let inside = buckets(&[(3_600, 1, true), (80_000, 1, false)]);
    let plan = plan(&known, &inside);
    assert_eq!((plan.extended.len(), plan.rest), (1, None));
    // What goes on after its day is looked at without it.
    let later = buckets(&[(80_000, 1, true), (86_400 + 60, 1, true)]);
    let rest = super::plan(&known, &later).rest.unwrap();
    assert_eq!(*rest.needed.start(), minute_of(start()) + LASTS);
    assert_eq!(*rest.touched.start(), minute_of(start() + TimeDelta::seconds(86_400 + 60)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_in_any_order_come_to_the_same_verdict(
        attempts in prop::collection::vec((0i64..4_000, 1u128..4, prop::bool::weighted(0.9)), 0..120),
        seed in prop::collection::vec(0usize..6, 120),
    ) {
        let mut pieces = vec![Vec::new(); 6];
        for (attempt, piece) in attempts.iter().zip(&seed) {
            pieces[*piece].push(*attempt);
        }
        for scope in [Scope::Account(account(1)), Scope::AcrossAccounts] {
            prop_assert_eq!(piecewise(scope, &pieces), at_once(scope, &attempts));
        }
    }

    #[test]
    fn batches_in_order_come_to_the_same_verdict_over_days(
        mut attempts in prop::collection::vec((0i64..400_000, 1u128..3, prop::bool::weighted(0.95)), 0..400),
        cuts in prop::collection::vec(0usize..400, 1..6),
    ) {
        attempts.sort();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(attempts.len())).collect();
        cuts.extend([0, attempts.len()]);
        cuts.sort_unstable();
        let pieces: Vec<Vec<Attempt>> = cuts.windows(2).map(|w| attempts[w[0]..w[1]].to_vec()).collect();
        for scope in [Scope::Account(account(1)), Scope::AcrossAccounts] {
            prop_assert_eq!(piecewise(scope, &pieces), at_once(scope, &attempts));
        }
    }
}
