//! Counts a batch before the database is asked for anything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Event, Outcome, key};
use crate::detection::Bucket;
use crate::detection::bucket::minute_of;

/// How far a host's clock may be ahead before it is not believed.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// What a batch adds to one bucket.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) account: String,
    pub(super) counts: Bucket,
}

/// What a batch adds for one source at one service.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) address: IpAddr,
    pub(super) service: String,
    /// By minute and account.
    pub(super) added: BTreeMap<(i64, Uuid), Added>,
}

/// A login that was let in.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) time: DateTime<Utc>,
    pub(super) account: String,
    pub(super) source: IpAddr,
    pub(super) service: String,
}

/// A batch, counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By the key of source and service.
    pub(super) sources: BTreeMap<Uuid, Source>,
    pub(super) accepted: Vec<Accepted>,
    /// Events whose time was not believed.
    pub(super) clamped: i64,
}

impl Tally {
    /// Counts events that arrive now.
    pub(super) fn of(events: &[Event], now: DateTime<Utc>) -> Self {
        let mut tally = Self::default();
        for event in events {
            let mut time = event.time;
            if time > now + AHEAD {
                time = now;
                tally.clamped += 1;
            }
            let source = tally.sources.entry(key::source(event.source, &event.service)).or_insert_with(|| Source {
                address: event.source,
                service: event.service.clone(),
                added: BTreeMap::new(),
            });
            let (minute, account) = (minute_of(time), key::account(&event.account));
            let added = source
                .added
                .entry((minute, account))
                .or_insert_with(|| Added { account: event.account.clone(), counts: Bucket::empty(minute, account) });
            match event.outcome {
                Outcome::Failed => added.counts.fail(time, event.count, false),
                Outcome::FailedUnknownAccount => added.counts.fail(time, event.count, true),
                Outcome::Accepted => {
                    added.counts.succeed(time, event.count);
                    tally.accepted.push(Accepted {
                        time,
                        account: event.account.clone(),
                        source: event.source,
                        service: event.service.clone(),
                    });
                }
            }
        }
        tally
    }
}
