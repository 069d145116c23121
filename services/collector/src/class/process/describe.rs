//! What is known of a process beyond its own files: names of users, its container, its package.

use chrono::{DateTime, TimeDelta, Utc};

use super::digest::Digests;
use super::{BOOT_ID, Process, ProcessState};
use crate::process::{Process as Running, Processes};
use crate::redact;
use crate::text::Fields;
use crate::{Host, Root, machine};

const NAME_CAP: usize = 255;
const PATH_CAP: usize = 4_096;
const LINE_CAP: usize = 4_096;
const TERMINAL_CAP: usize = 63;
/// What the kernel keeps of a name.
const KERNEL_NAME: usize = 15;
/// The kernel counts in hundredths of a second towards programs, on every architecture that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Describes processes of one collection.
#[derive(Debug)]
pub(crate) struct Describer {
    boot_id: String,
    boot_time: Option<DateTime<Utc>>,
    digests: Digests,
}

impl Describer {
    /// Reads what all processes share; none where the id of the machine's start is unknown.
    pub(crate) fn read(root: &Root, processes: &Processes) -> Option<Self> {
        let boot_id = root.read_trimmed(BOOT_ID)?;
        uuid::Uuid::parse_str(&boot_id).ok()?;
        Some(Describer { boot_id, boot_time: machine::boot_time(root), digests: Digests::of(root, processes) })
    }

    /// Describes a process; none when it ended before all of it was read, or started at no time there is.
    pub(crate) fn describe(&self, host: &Host<'_>, process: &Running) -> Option<Process> {
        let uid = process.uid?;
        i64::try_from(process.start_ticks).ok()?;
        let mut fields = Fields::default();
        let name = fields.text("name", &name(process), NAME_CAP);
        let parent = host
            .processes()
            .ok()?
            .get(process.ppid)
            .map(|parent| fields.text("parent_name", &self::name(parent), NAME_CAP));
        let path = process.exe.as_ref().map(|exe| fields.text("path", exe, PATH_CAP));
        let command_line = redact::arguments(process.args(), &mut fields, "command_line", LINE_CAP);
        // What runs in a container has the container's files, not the packages of the host.
        let owner = process.exe.as_ref().filter(|_| process.container.is_none()).and_then(|exe| host.owners().of(exe));
        let person = host.person(process);
        fields.truncated.dedup();
        Some(Process {
            pid: process.pid,
            boot_id: self.boot_id.clone(),
            start_ticks: process.start_ticks,
            parent_pid: process.ppid,
            parent_name: parent,
            name,
            path,
            command_line,
            user: person.user(uid),
            uid,
            group: process.gid.map(|gid| person.group(gid)),
            start_time: self.start_time(process.start_ticks),
            terminal: terminal(process.tty),
            state: state(process.state),
            sha256: self.digests.get(process.pid),
            package_name: owner.map(|owner| owner.name.clone()),
            package_version: owner.and_then(|owner| owner.version.clone()),
            container_runtime: process.container.as_ref().and_then(|container| container.runtime).map(str::to_owned),
            container_id: process.container.as_ref().map(|container| container.id.clone()),
            escaped: fields.escaped,
            truncated: fields.truncated,
        })
    }

    fn start_time(&self, ticks: u64) -> Option<DateTime<Utc>> {
        let milliseconds = i64::try_from(ticks.checked_mul(1_000 / TICKS_PER_SECOND)?).ok()?;
        self.boot_time?.checked_add_signed(TimeDelta::try_milliseconds(milliseconds)?)
    }
}

/// The kernel's name. A worker of the kernel tells in it what it does at the moment, which is left out; a name that the
/// kernel cut is taken from the executable, if that begins so.
fn name(process: &Running) -> Vec<u8> {
    let name = process.name.as_slice();
    if process.is_kernel && name.starts_with(b"kworker/") && name.contains(&b':') {
        let end = name.iter().position(|byte| matches!(byte, b'-' | b'+')).unwrap_or(name.len());
        return name[..end].to_vec();
    }
    match process.exe_name() {
        Some(whole) if name.len() == KERNEL_NAME && whole.starts_with(name) => whole.to_vec(),
        _ => name.to_vec(),
    }
}

fn state(letter: u8) -> Option<ProcessState> {
    match letter {
        b'R' => Some(ProcessState::Running),
        b'S' => Some(ProcessState::Sleeping),
        b'D' => Some(ProcessState::Uninterruptible),
        b'T' | b't' => Some(ProcessState::Stopped),
        b'Z' => Some(ProcessState::Zombie),
        b'I' => Some(ProcessState::Idle),
        b'X' | b'x' => Some(ProcessState::Dead),
        _ => None,
    }
}

/// The name of a terminal's device, by Linux's list of device numbers; a number that is not in it as it is.
fn terminal(device: i32) -> Option<String> {
    if device == 0 {
        return None;
    }
    let device = device.cast_unsigned();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    let name = match (major, minor) {
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (188, _) => format!("ttyUSB{minor}"),
        (204, 64..) => format!("ttyAMA{}", minor - 64),
        (229, _) => format!("hvc{minor}"),
        _ => format!("{major}:{minor}"),
    };
    Some(Fields::default().text("terminal", name.as_bytes(), TERMINAL_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_their_names() {
        for (device, name) in
            [(0x0401, "tty1"), (0x0440, "ttyS0"), (0x8803, "pts/3"), (0x8901, "pts/257"), (0x2a07, "42:7")]
        {
            assert_eq!(terminal(device).as_deref(), Some(name));
        }
        assert_eq!(terminal(0), None);
        assert!(terminal(-1).is_some() && terminal(i32::MIN).is_some());
    }

    #[test]
    fn a_name_that_the_kernel_cut_is_made_whole_and_work_at_hand_left_out() {
        let process = |name: &str, exe: Option<&str>, is_kernel| Running {
            name: name.as_bytes().to_vec(),
            exe: exe.map(|exe| exe.as_bytes().to_vec()),
            is_kernel,
            ..Running::default()
        };
        assert_eq!(name(&process("systemd-journal", Some("/usr/lib/systemd-journald"), false)), b"systemd-journald");
        assert_eq!(name(&process("worker", Some("/usr/bin/worker-of-all"), false)), b"worker");
        assert_eq!(name(&process("kworker/u8:2-events_unbound", None, true)), b"kworker/u8:2");
        assert_eq!(name(&process("kworker/R-netns", None, true)), b"kworker/R-netns");
        assert_eq!(name(&process("kworker/u8:2-mine", None, false)), b"kworker/u8:2-mine");
    }
}
