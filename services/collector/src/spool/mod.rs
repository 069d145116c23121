//! A durable, numbered queue between a log file and the server: every event of the log gets the next number, once,
//! and is kept until the server has acknowledged it.
//!
//! On disk, in a directory of its own: segments of numbered events, only ever appended to, and `state.json`, replaced
//! as a whole. The state is the commit: what stands in a segment beyond it was never handed out, is cut off at the
//! next start and read from the log again. So a kill at any moment neither loses an event nor gives one number two
//! contents. If the state itself is lost, it is made anew from the segments.

mod queue;
mod segment;
mod source;
mod state;

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use uuid::Uuid;

use crate::authlog::AuthEvent;

pub use queue::Spool;

/// Events in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// The numbering that the numbers belong to.
    pub spool_id: Uuid,
    /// The number of the first event; the others follow without a gap.
    pub first_seq: u64,
    /// The events, at least one.
    pub events: Vec<AuthEvent>,
}

impl Batch {
    /// The number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + (self.events.len() as u64).saturating_sub(1)
    }
}

/// What a look into the log brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Events that were numbered.
    pub events: usize,
    /// True when there is more to read at once.
    pub more: bool,
    /// True when the spool is full: the log waits until events are acknowledged.
    pub full: bool,
    /// True when the place where reading stopped last time is in no file any more: lines may be lost.
    pub lost: bool,
}

/// Why a spool cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process uses the spool.
    #[error("the spool is in use by another process")]
    Locked,
    /// Events with these numbers were acknowledged and are gone.
    #[error("events before {first_available} are gone")]
    Gone {
        /// The first number that is still here.
        first_available: u64,
    },
    /// No event has this number yet: the other side knows a numbering that this spool has lost.
    #[error("the next event will be {next_seq}")]
    Ahead {
        /// The number of the next event.
        next_seq: u64,
    },
}

impl SpoolError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| SpoolError::Io { path, source }
    }
}
