//! What is kept of attempts: counts of one account, from one source, at one service, in one minute.

use chrono::{DateTime, Utc};

/// A hash of an account's name; equal names have equal keys.
pub type AccountKey = uuid::Uuid;

/// Returns the minute since 1970 that a moment lies in.
pub fn minute_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(60)
}

/// First and last moment of something that happened at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub first: DateTime<Utc>,
    /// The last moment, not before the first.
    pub last: DateTime<Utc>,
}

impl Span {
    /// Returns the span of one moment.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { first: time, last: time }
    }

    /// Returns the span that holds both.
    pub fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// Returns what holds both spans, if there is any.
pub fn join(one: Option<Span>, other: Option<Span>) -> Option<Span> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.join(other)),
        (one, other) => one.or(other),
    }
}

/// Counts of one account in one minute; source and service are those of the list that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Minute since 1970.
    pub minute: i64,
    /// The account.
    pub account: AccountKey,
    /// Failed attempts, those at unknown accounts included.
    pub failures: u64,
    /// Failed attempts of which the host said that there is no such account.
    pub unknown_failures: u64,
    /// Logins that were let in.
    pub successes: u64,
    /// When attempts failed; present when there are failures.
    pub failed: Option<Span>,
    /// When logins were let in; present when there are successes.
    pub succeeded: Option<Span>,
}

impl Bucket {
    /// Returns a bucket without attempts.
    pub fn empty(minute: i64, account: AccountKey) -> Self {
        Self { minute, account, failures: 0, unknown_failures: 0, successes: 0, failed: None, succeeded: None }
    }

    /// Adds failed attempts.
    pub fn fail(&mut self, time: DateTime<Utc>, count: u64, unknown: bool) {
        self.failures += count;
        self.unknown_failures += if unknown { count } else { 0 };
        self.failed = join(self.failed, Some(Span::at(time)));
    }

    /// Adds logins that were let in.
    pub fn succeed(&mut self, time: DateTime<Utc>, count: u64) {
        self.successes += count;
        self.succeeded = join(self.succeeded, Some(Span::at(time)));
    }

    /// Adds the counts of another bucket of the same key.
    pub fn merge(&mut self, other: &Bucket) {
        self.failures += other.failures;
        self.unknown_failures += other.unknown_failures;
        self.successes += other.successes;
        self.failed = join(self.failed, other.failed);
        self.succeeded = join(self.succeeded, other.succeeded);
    }
}
