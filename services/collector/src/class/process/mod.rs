//! Running processes, kernel threads included.
//!
//! A process is its number, the id of the machine's start and its own start in ticks: a number is used again, and wall
//! time drifts. One that ends while it is read is counted as skipped. What another user's process keeps to itself (the
//! executable, for an ordinary user) is absent.

mod describe;
mod digest;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use describe::Describer;

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::Host;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a process was doing when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs or could run.
    Running,
    /// It sleeps.
    Sleeping,
    /// It waits for a device.
    Uninterruptible,
    /// It is stopped or traced.
    Stopped,
    /// It ended and was not collected yet.
    Zombie,
    /// It is a kernel thread without work.
    Idle,
    /// It is dead.
    Dead,
}

/// A process. Optional fields are absent when they could not be read or there is no such thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The id of the machine's start.
    pub boot_id: String,
    /// When it started, in clock ticks since the machine did.
    pub start_ticks: u64,
    /// Its parent's number, 0 for none.
    pub parent_pid: u32,
    /// Its parent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
    /// Its name: the kernel's, made whole where the executable's shows what the kernel cut.
    pub name: String,
    /// The path of its executable, as the process sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its arguments as one line, without secrets.
    pub command_line: String,
    /// The user whose rights it has; its number where it has no name.
    pub user: String,
    /// That user's number.
    pub uid: u32,
    /// The group whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<DateTime<Utc>>,
    /// Its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// What it was doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ProcessState>,
    /// SHA-256 of its executable in hex; absent where the budget of a collection did not reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The package that its executable belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// That package's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The program that runs its container, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<String>,
    /// The id of its container; absent on the host itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::Process);
    let Ok(processes) = host.processes() else { return snapshot };
    let Some(describer) = host.describer() else {
        let reason = format!("{BOOT_ID} cannot be read: no process could be told from a later one");
        return ClassSnapshot::failed(Class::Process, Outcome::Unreadable { reason });
    };
    for _ in 0..processes.vanished() {
        snapshot.skip("/proc", 0, "the process ended while it was read");
    }
    let mut items: Vec<Process> = Vec::new();
    for process in processes.iter() {
        match describer.describe(host, process) {
            Some(item) => items.push(item),
            None => snapshot.skip(&format!("/proc/{}/status", process.pid), 0, "the process ended while it was read"),
        }
    }
    snapshot.unread_sources.extend_from_slice(host.owners().unread());
    snapshot.unread_sources.extend(host.unread_names());
    items.sort_by_key(|item| (item.pid, item.start_ticks));
    snapshot.fill(items.into_iter().map(|item| Item::Process(Box::new(item))).collect());
    snapshot
}
