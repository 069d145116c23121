//! The processes of a host, read once per collection and shared by all classes that need them.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use crate::container::Container;
use crate::{ReadError, Root};

/// The most bytes of one command line that are kept; a Java program's may well have 30 KiB.
const ARGS_CAP: u64 = 64 << 10;
/// The most bytes of all command lines together; beyond it [`ARGS_TIGHT_CAP`] holds for each.
const ARGS_BUDGET: usize = 16 << 20;
const ARGS_TIGHT_CAP: u64 = 1 << 10;
/// What Linux puts behind the path of an executable that was replaced or removed.
const DELETED: &[u8] = b" (deleted)";

/// A process. Bytes are as the kernel gives them; what may not be read is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub ppid: u32,
    /// The kernel's name of it, at most 15 bytes; the process may choose it.
    pub name: Vec<u8>,
    /// The letter of its state, such as `S` or `Z`.
    pub state: u8,
    /// The terminal's device number, 0 for none.
    pub tty: i32,
    /// When it started, in clock ticks since the machine did. With the number it tells a process from a later one.
    pub start_ticks: u64,
    /// True for a thread of the kernel, which has no program.
    pub is_kernel: bool,
    /// The path of its executable, as the process itself sees it.
    pub exe: Option<Vec<u8>>,
    /// True when that file was replaced or removed since.
    pub exe_deleted: bool,
    /// The arguments, each ended by NUL; cut at the caps.
    pub args: Vec<u8>,
    /// True when the arguments were cut.
    pub args_truncated: bool,
    /// The number of the effective user.
    pub uid: Option<u32>,
    /// The number of the effective group.
    pub gid: Option<u32>,
    /// The working directory, as the process sees it.
    pub cwd: Option<Vec<u8>>,
    /// The container that it runs in.
    pub container: Option<Container>,
}

impl Process {
    /// The arguments, the program's name first.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> {
        let args = self.args.strip_suffix(b"\0").unwrap_or(&self.args);
        args.split(|&byte| byte == 0).take(if self.args.is_empty() { 0 } else { usize::MAX })
    }

    /// The last part of the executable's path.
    pub fn exe_name(&self) -> Option<&[u8]> {
        self.exe.as_deref().and_then(|exe| exe.rsplit(|&byte| byte == b'/').next()).filter(|name| !name.is_empty())
    }
}

/// All processes of a host, by number.
#[derive(Debug, Default)]
pub struct Processes {
    all: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    vanished: usize,
}

impl Processes {
    /// Reads them. An error means that there is no such source at all; a process that dies meanwhile is left out.
    pub fn read(root: &Root) -> Result<Self, ReadError> {
        let mut pids: Vec<u32> = root.list("/proc")?.iter().filter_map(|name| name.parse().ok()).collect();
        pids.sort_unstable();
        let mut processes = Processes::default();
        let mut bytes = 0;
        for pid in pids {
            let cap = if bytes < ARGS_BUDGET { ARGS_CAP } else { ARGS_TIGHT_CAP };
            match read(root, pid, cap) {
                Some(process) => {
                    bytes += process.args.len();
                    processes.by_pid.insert(pid, processes.all.len());
                    processes.all.push(process);
                }
                None => processes.vanished += 1,
            }
        }
        if processes.all.is_empty() {
            let nothing = std::io::Error::new(std::io::ErrorKind::NotFound, "no process can be seen");
            return Err(ReadError::of("/proc", nothing));
        }
        Ok(processes)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.iter()
    }

    /// The process of a number.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid).map(|&at| &self.all[at])
    }

    /// What of them cannot be seen: those of other users, and the executables that are others' to see.
    pub fn unseen(&self) -> Vec<String> {
        let hidden = self.are_hidden().then(|| "/proc: processes of other users are hidden".to_owned());
        let is_closed = |process: &Process| !process.is_kernel && process.state != b'Z' && process.exe.is_none();
        // Without their number, which is another each time.
        let closed = self.iter().any(is_closed).then(|| "/proc/*/exe of processes of other users".to_owned());
        hidden.into_iter().chain(closed).collect()
    }

    /// True when `/proc` hides other users' processes (`hidepid`): the first process, which lives as long as the others do,
    /// is not there.
    fn are_hidden(&self) -> bool {
        self.get(1).is_none()
    }

    /// How many ended while they were read; none where those that are hidden cannot be told from them.
    pub fn vanished(&self) -> usize {
        if self.are_hidden() { 0 } else { self.vanished }
    }
}

fn read(root: &Root, pid: u32, args_cap: u64) -> Option<Process> {
    let directory = format!("/proc/{pid}");
    let stat = root.read(&format!("{directory}/stat")).ok()?;
    let mut process = stat_of(pid, &stat)?;
    let mut args = Vec::new();
    if let Ok(file) = root.open(&format!("{directory}/cmdline")) {
        // What cannot be read to its end (the process dies) counts as far as it came.
        _ = file.take(args_cap + 1).read_to_end(&mut args);
    }
    if args.len() as u64 > args_cap {
        args.truncate(usize::try_from(args_cap).unwrap_or(usize::MAX));
        process.args_truncated = true;
    }
    process.args = args;
    let status = root.read(&format!("{directory}/status")).unwrap_or_default();
    process.uid = number_of(&status, b"Uid:");
    process.gid = number_of(&status, b"Gid:");
    process.exe = link(root, &directory, "exe");
    if process.exe.is_none() && root.read(&format!("{directory}/stat")).is_err() {
        // It ended before the link was read: that is not to be told as closed.
        return None;
    }
    process.cwd = link(root, &directory, "cwd");
    process.container = Container::of(&root.read(&format!("{directory}/cgroup")).unwrap_or_default());
    if let Some(exe) = &mut process.exe
        && let Some(path) = exe.strip_suffix(DELETED)
    {
        *exe = path.to_vec();
        process.exe_deleted = true;
    }
    Some(process)
}

/// Reads `stat`: the name stands in parentheses and may itself hold any byte, parentheses and newlines included.
fn stat_of(pid: u32, stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // PF_KTHREAD.
    let is_kernel = fields.get(6)?.parse::<u64>().ok()? & 0x0020_0000 != 0;
    Some(Process {
        pid,
        name,
        state: *fields.first()?.as_bytes().first()?,
        ppid: fields.get(1)?.parse().ok()?,
        tty: fields.get(4)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
        is_kernel,
        ..Process::default()
    })
}

/// The second number (the effective one) of a line of `status`.
fn number_of(status: &[u8], key: &[u8]) -> Option<u32> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn link(root: &Root, directory: &str, name: &str) -> Option<Vec<u8>> {
    let path: PathBuf = root.resolve(directory).ok()?.join(name);
    let target = std::fs::read_link(path).ok()?;
    Some(std::os::unix::ffi::OsStringExt::into_vec(target.into_os_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_bytes_does_not_shift_the_fields() {
        let stat = b"7 (a) R 1 (\n\xff) S 3 7 7 34816 7 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4321 0 0";
        let process = stat_of(7, stat).unwrap_or_default();
        assert_eq!(process.name, b"a) R 1 (\n\xff");
        assert_eq!((process.ppid, process.tty, process.start_ticks, process.is_kernel), (3, 34_816, 4_321, false));
        assert_eq!(stat_of(7, b"7 (torn"), None);
        assert_eq!(stat_of(7, b"7 )("), None);
    }

    #[test]
    fn arguments_are_split_at_nul() {
        let process = Process { args: b"a\0\0b\0".to_vec(), ..Process::default() };
        assert_eq!(process.args().collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
        assert_eq!(Process::default().args().count(), 0);
    }
}
