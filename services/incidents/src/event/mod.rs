//! Authentication events: spools, and the buckets that they are counted in.

mod detect;
pub mod entity;
mod key;
mod ops;
pub(crate) mod rpc;
mod store;
mod tally;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// How an attempt to log in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Failed,
    FailedUnknownAccount,
    Accepted,
}

/// An attempt, or several equal ones, as validated.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) time: DateTime<Utc>,
    pub(crate) account: String,
    /// Canonical: an IPv4 address in IPv6 form is the IPv4 address.
    pub(crate) source: IpAddr,
    pub(crate) service: String,
    pub(crate) outcome: Outcome,
    pub(crate) count: u64,
}

/// A part of a spool.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) machine_id: Uuid,
    pub(crate) spool_id: Uuid,
    /// Number of the first event, from 1.
    pub(crate) first_sequence: i64,
    pub(crate) events: Vec<Event>,
}

/// Where a spool stands after a batch.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Number of the next event that is wanted.
    pub(crate) next_sequence: i64,
    /// Events of the batch that were new.
    pub(crate) taken: usize,
    /// Incidents that the batch opened or changed.
    pub(crate) incident_ids: Vec<Uuid>,
}
