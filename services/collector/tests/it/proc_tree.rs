//! A made-up `/proc`: processes as folders of files.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::Host;

pub(crate) const BOOT_ID: &str = "8ef1b7be-3192-433b-a92f-658d3a3fde64";
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A process that is not there.
#[derive(Debug, Clone)]
pub(crate) struct Fake<'a> {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: &'a [u8],
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) exe: Option<&'a str>,
    pub(crate) user: u32,
    pub(crate) start: u64,
    pub(crate) state: char,
    pub(crate) tty: i32,
    pub(crate) cgroup: &'a str,
    pub(crate) sockets: &'a [u64],
    /// The network that it is in; none where that cannot be told.
    pub(crate) network: Option<u64>,
    /// The mounts that it sees; none where that cannot be told.
    pub(crate) mounts: Option<u64>,
}

impl Default for Fake<'_> {
    fn default() -> Self {
        Fake {
            pid: 1,
            parent: 0,
            name: b"init",
            args: &[],
            exe: None,
            user: 0,
            start: 100,
            state: 'S',
            tty: 0,
            cgroup: "0::/",
            sockets: &[],
            network: None,
            mounts: None,
        }
    }
}

impl Host {
    /// What every `/proc` has besides its processes.
    pub(crate) fn started(self) -> Self {
        self.with("proc/sys/kernel/random/boot_id", format!("{BOOT_ID}\n"))
            .with("proc/stat", "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nbtime 1700000000\n")
    }

    pub(crate) fn process(self, process: &Fake<'_>) -> Self {
        let Fake { pid, parent, state, tty, start, user, .. } = process;
        let directory = self.path().join(format!("proc/{pid}"));
        fs::create_dir_all(directory.join("fd")).unwrap();
        let flags = if process.exe.is_none() && process.args.is_empty() { KERNEL_THREAD } else { 0 };
        let mut stat = format!("{pid} (").into_bytes();
        stat.extend_from_slice(process.name);
        stat.extend_from_slice(
            format!(") {state} {parent} {pid} {pid} {tty} -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0\n")
                .as_bytes(),
        );
        let args: Vec<u8> = process.args.iter().flat_map(|arg| [arg, &b"\0"[..]].concat()).collect();
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cmdline"), args).unwrap();
        fs::write(directory.join("cgroup"), process.cgroup).unwrap();
        let ids = format!("{user}\t{user}\t{user}\t{user}");
        fs::write(directory.join("status"), format!("Name:\tx\nUid:\t{ids}\nGid:\t{ids}\n")).unwrap();
        if let Some(mounts) = process.mounts {
            fs::create_dir_all(directory.join("ns")).unwrap();
            symlink(format!("mnt:[{mounts}]"), directory.join("ns/mnt")).unwrap();
        }
        if let Some(exe) = process.exe {
            symlink(std::ffi::OsStr::from_bytes(exe.as_bytes()), directory.join("exe")).unwrap();
        }
        if let Some(network) = process.network {
            fs::create_dir_all(directory.join("ns")).unwrap();
            symlink(format!("net:[{network}]"), directory.join("ns/net")).unwrap();
        }
        for (number, inode) in process.sockets.iter().enumerate() {
            symlink(format!("socket:[{inode}]"), directory.join(format!("fd/{number}"))).unwrap();
        }
        self
    }
}
