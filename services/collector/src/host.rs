//! The host under collection: its file tree, the time, and what several classes need and is read only once.

use std::cell::OnceCell;

use chrono::{DateTime, Utc};

use crate::class::Describer;
use crate::process::Processes;
use crate::{ReadError, Root};

/// One collection of one host.
pub struct Host<'a> {
    root: &'a Root,
    now: DateTime<Utc>,
    processes: OnceCell<Result<Processes, ReadError>>,
    describer: OnceCell<Option<Describer>>,
}

impl<'a> Host<'a> {
    /// The host below `root`. Nothing is read yet.
    pub fn new(root: &'a Root, now: DateTime<Utc>) -> Self {
        Host { root, now, processes: OnceCell::new(), describer: OnceCell::new() }
    }

    /// Its file tree.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The time of the collection.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Its processes, read at the first call.
    pub fn processes(&self) -> Result<&Processes, &ReadError> {
        self.processes.get_or_init(|| Processes::read(self.root)).as_ref()
    }

    /// What is known of its processes beyond their own files; none where they cannot be read, or not be told apart.
    pub(crate) fn describer(&self) -> Option<&Describer> {
        self.describer.get_or_init(|| Describer::read(self.root, self.processes().ok()?)).as_ref()
    }
}
