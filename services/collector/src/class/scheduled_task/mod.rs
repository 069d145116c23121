//! What runs at given times: cron, anacron, at, timers of systemd.
//!
//! A source that an ordinary user may not read (other people's crontabs, at's jobs) is named in `unread_sources`; the
//! tasks of the others are there.

mod at;
mod cron;
mod timer;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use super::startup_service::command_line;
use super::{Class, ClassSnapshot, Item, Outcome};
use crate::text::Fields;
use crate::{ReadError, Root};

const SCHEDULE_CAP: usize = 1024;
const USER_CAP: usize = 255;
const PATH_CAP: usize = 4096;

/// Who runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// cron.
    Cron,
    /// anacron.
    Anacron,
    /// A timer of systemd.
    SystemdTimer,
    /// at, once.
    At,
}

/// Something that runs at given times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledTask {
    /// Who runs it.
    pub kind: ScheduleKind,
    /// The name of a timer; empty for others.
    pub name: String,
    /// When it runs, as it is written: a cron expression, a nickname such as `@daily`, a calendar event, a time.
    pub schedule: String,
    /// What it runs, without secrets.
    pub command: String,
    /// Whom it runs as; empty where it is whoever logs in (timers of all users).
    pub user: String,
    /// The file that says so.
    pub config_path: String,
    /// Whether it runs at all.
    pub enabled: bool,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// The tasks so far, each natural key once.
struct Tasks {
    snapshot: ClassSnapshot,
    found: BTreeMap<(String, String, String, String), ScheduledTask>,
    /// Whether there is any source at all.
    present: bool,
}

/// A task as bytes of its source.
struct Written<'a> {
    kind: ScheduleKind,
    name: &'a str,
    schedule: &'a [u8],
    command: &'a [u8],
    user: &'a [u8],
    path: &'a str,
    line: usize,
    enabled: bool,
}

impl Tasks {
    /// Adds a task. The key is that of the stored values: what differs only in a secret is one task.
    fn add(&mut self, written: &Written<'_>) {
        let mut fields = Fields::default();
        let task = ScheduledTask {
            kind: written.kind,
            name: fields.text("name", written.name.as_bytes(), USER_CAP),
            schedule: fields.text("schedule", written.schedule, SCHEDULE_CAP),
            command: command_line("command", written.command, &mut fields),
            user: fields.text("user", written.user, USER_CAP),
            config_path: fields.text("config_path", written.path.as_bytes(), PATH_CAP),
            enabled: written.enabled,
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        let key = (task.user.clone(), task.config_path.clone(), task.schedule.clone(), task.command.clone());
        match self.found.entry(key) {
            Entry::Vacant(free) => _ = free.insert(task),
            Entry::Occupied(_) => self.snapshot.skip(written.path, written.line, "the task stands there before"),
        }
    }

    /// What is in a source, if it is there and can be read.
    fn source<T>(&mut self, path: &str, read: Result<T, ReadError>) -> Option<T> {
        match read {
            Ok(value) => {
                self.present = true;
                Some(value)
            }
            Err(ReadError::Missing { .. }) => None,
            Err(ReadError::Unreadable { .. }) => {
                self.present = true;
                self.snapshot.unread_sources.push(path.to_owned());
                None
            }
        }
    }
}

pub(super) fn read(root: &Root) -> ClassSnapshot {
    let mut tasks =
        Tasks { snapshot: ClassSnapshot::new(Class::ScheduledTask), found: BTreeMap::new(), present: false };
    cron::read(root, &mut tasks);
    at::read(root, &mut tasks);
    timer::read(root, &mut tasks);
    let Tasks { mut snapshot, found, present } = tasks;
    if !present {
        let reason = "neither cron, anacron, at nor timers of systemd".to_owned();
        return ClassSnapshot::failed(Class::ScheduledTask, Outcome::NotPresent { reason });
    }
    if found.is_empty() && !snapshot.unread_sources.is_empty() {
        let reason = format!("cannot read {}", snapshot.unread_sources.join(", "));
        snapshot.outcome = Outcome::Unreadable { reason };
        return snapshot;
    }
    snapshot.fill(found.into_values().map(Item::ScheduledTask).collect());
    snapshot
}
