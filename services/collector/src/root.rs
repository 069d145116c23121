//! The file tree that is read: the host's own, or one mounted or made elsewhere.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, fstatfs, openat, openat2, readlinkat};
use rustix::io::Errno;

/// No file of a host's databases is read beyond this; a longer one is refused, not cut.
const FILE_CAP: u64 = 256 << 20;
const LINK_CAP: usize = 40;
/// No folder of more names is listed as a whole; it is refused, not cut.
const NAMES_CAP: usize = 250_000;
/// A path with `..` is looked up again so many times, where something was renamed meanwhile.
const AGAIN_CAP: usize = 64;
/// What `statfs` says of the kernel's own file systems, whose files may act when they are opened or read: of processes,
/// devices, debugging, tracing, security, configuration, BPF, crashes, control groups, SELinux, firmware, FUSE, formats, NFS' server, Xen.
const KERNELS: [u64; 16] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6265_6570,
    0xcafe_4a11,
    0x6165_676c,
    0x0027_e0eb,
    0x6367_7270,
    0xf97c_ff8c,
    0xde5e_81e4,
    0x6573_5543,
    0x4249_4e4d,
    0x6e66_7364,
    0xabba_1974,
];
/// Files of the kernel that the collector asks for: of the host, in whole folders, and of each process.
const OWN: [&str; 13] = [
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/mountinfo",
    "/proc/net/",
    "/proc/stat",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/sys/class/dmi/id/",
    "/sys/class/net/",
    "/sys/module/",
];
const OWN_OF_PROCESS: [&str; 9] =
    ["cgroup", "cmdline", "gid_map", "maps", "mountinfo", "net/", "stat", "status", "uid_map"];

/// The root of the file tree that is read, `/` unless told. Symbolic links below another root are
/// followed inside it, as `chroot` would, so that a mounted host never leads back to the collector's own files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root {
    path: PathBuf,
    /// True for what a process sees, where no file of the kernel is asked for.
    is_view: bool,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The file, as seen from the root.
        path: String,
    },
    /// The file is there and cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file, as seen from the root.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    /// True when the file does not exist (as opposed to: cannot be read).
    pub fn is_missing(&self) -> bool {
        matches!(self, ReadError::Missing { .. })
    }

    pub(crate) fn of(path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Missing { path: path.to_owned() },
            _ => ReadError::Unreadable { path: path.to_owned(), source },
        }
    }
}

impl Default for Root {
    fn default() -> Self {
        Root::new("/")
    }
}

impl Root {
    /// The tree below `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Root { path: path.into(), is_view: false }
    }

    /// The tree that a process sees below `path`, such as `/proc/1/root`.
    pub(crate) fn of_process(path: impl Into<PathBuf>) -> Self {
        Root { path: path.into(), is_view: true }
    }

    /// True for the host's own tree.
    pub fn is_host(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Where `path` (absolute, as seen from the root) really is. Missing parts are kept as they are. Whoever may change
    /// the tree may change the answer before it is used.
    pub fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        self.place(Path::new(path))
    }

    fn place(&self, path: &Path) -> io::Result<PathBuf> {
        if self.is_host() {
            return Ok(path.to_owned());
        }
        let mut rest: VecDeque<OsString> = names(path);
        let mut inside: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                inside.pop();
                continue;
            }
            let here = self.path.join(inside.iter().collect::<PathBuf>()).join(&name);
            match std::fs::read_link(&here) {
                Ok(target) => {
                    links += 1;
                    if links > LINK_CAP {
                        return Err(io::Error::other("too many levels of symbolic links"));
                    }
                    if target.is_absolute() {
                        inside.clear();
                    }
                    for part in names(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                Err(_) => inside.push(name),
            }
        }
        Ok(self.path.join(inside.iter().collect::<PathBuf>()))
    }

    /// Opens what stands at a path, in one step that nobody can change the path under. With `O_PATH` it is not touched.
    fn at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        if self.is_host() || !can_stay_inside() {
            return Ok(openat(CWD, self.place(path)?, flags, Mode::empty())?);
        }
        let root = openat(CWD, &self.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..AGAIN_CAP {
            opened = openat2(&root, path, flags, Mode::empty(), inside);
            if !matches!(opened, Err(Errno::AGAIN)) {
                break;
            }
        }
        Ok(opened?)
    }

    /// Opens a regular file for reading. Anything else (a pipe, a device) is refused without being opened, and so is a file
    /// of the kernel that the collector does not itself ask for: a link may lead to either.
    pub fn open(&self, path: &str) -> Result<File, ReadError> {
        self.open_bytes(Path::new(path)).map_err(|e| ReadError::of(path, e))
    }

    /// The same by a path that need be no text.
    pub(crate) fn open_bytes(&self, path: &Path) -> io::Result<File> {
        let found = File::from(self.at(path, OFlags::PATH)?);
        if !found.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if !self.asks_for(path) && is_kernels(&found)? {
            return Err(io::Error::other("a file of the kernel"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(CWD, format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty())?.into())
    }

    /// True for the files of the kernel that the collector reads on purpose.
    fn asks_for(&self, path: &Path) -> bool {
        let is_in = |own: &[&str], path: &str| {
            own.iter().any(|own| path == *own || (own.ends_with('/') && path.starts_with(own)))
        };
        let Some(path) = path.to_str().filter(|path| !self.is_view && !path.contains("..")) else { return false };
        let of_process = path.strip_prefix("/proc/").and_then(|rest| rest.split_once('/'));
        let is_process = |id: &str| id == "self" || id.bytes().all(|byte| byte.is_ascii_digit());
        is_in(&OWN, path) || of_process.is_some_and(|(id, name)| is_process(id) && is_in(&OWN_OF_PROCESS, name))
    }

    /// Reads a whole file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let read = self.open(path)?.take(FILE_CAP + 1).read_to_end(&mut bytes).map_err(|e| ReadError::of(path, e))?;
        if read as u64 > FILE_CAP {
            return Err(ReadError::of(path, io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large")));
        }
        Ok(bytes)
    }

    /// Reads at most the first `cap` bytes of a file; the second value says whether there is more.
    pub fn read_head(&self, path: &str, cap: usize) -> Result<(Vec<u8>, bool), ReadError> {
        let mut bytes = Vec::new();
        let file = self.open(path)?;
        file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(|e| ReadError::of(path, e))?;
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        Ok((bytes, more))
    }

    /// Reads a small file as text without its surrounding space; none when that is not possible.
    pub fn read_trimmed(&self, path: &str) -> Option<String> {
        let bytes = self.read(path).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The metadata of what is there, links followed.
    pub fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        let read = || match self.is_host() {
            true => std::fs::metadata(path),
            false => File::from(self.at(Path::new(path), OFlags::PATH)?).metadata(),
        };
        read().map_err(|e| ReadError::of(path, e))
    }

    /// The target of a link that is not followed.
    pub fn read_link(&self, path: &str) -> Result<PathBuf, ReadError> {
        let read = || {
            if self.is_host() {
                return std::fs::read_link(path);
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or_default();
            let parent = Path::new(if parent.is_empty() { "/" } else { parent });
            let target = readlinkat(self.at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name, Vec::new())?;
            Ok(OsString::from_vec(target.into_bytes()).into())
        };
        read().map_err(|e| ReadError::of(path, e))
    }

    /// The names in a directory, sorted. Names that are no UTF-8 are left out.
    pub fn list(&self, path: &str) -> Result<Vec<String>, ReadError> {
        match self.list_head(path, NAMES_CAP)? {
            (names, false) => Ok(names),
            (_, true) => Err(ReadError::of(path, io::Error::other("the folder holds too many files"))),
        }
    }

    /// At most `cap` names in a directory, whichever come first, sorted; the second value says whether there are more.
    pub fn list_head(&self, path: &str, cap: usize) -> Result<(Vec<String>, bool), ReadError> {
        let read = || {
            let (mut names, mut count, mut more) = (Vec::new(), 0_usize, false);
            for entry in Dir::new(self.at(Path::new(path), OFlags::RDONLY | OFlags::DIRECTORY)?)? {
                let name = entry?.file_name().to_owned().into_bytes();
                if matches!(name.as_slice(), b"." | b"..") {
                    continue;
                }
                more = count >= cap;
                if more {
                    break;
                }
                count += 1;
                names.extend(String::from_utf8(name));
            }
            names.sort();
            Ok((names, more))
        };
        read().map_err(|e| ReadError::of(path, e))
    }
}

/// Whether the kernel (Linux 5.6 and newer), and what watches over the collector, let it look a path up inside a root.
fn can_stay_inside() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let tried = openat2(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT);
        !matches!(tried, Err(Errno::NOSYS | Errno::PERM))
    })
}

/// True for a file of a file system that the kernel makes up.
fn is_kernels(file: &File) -> io::Result<bool> {
    Ok(u64::try_from(fstatfs(file)?.f_type).is_ok_and(|kind| KERNELS.contains(&kind)))
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{RenameFlags, renameat_with};

    use super::*;

    #[test]
    fn a_device_or_a_file_of_the_kernel_behind_a_link_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("METADATA");
        let (host, path) = (Root::default(), link.to_str().unwrap());
        for (target, reason) in [
            ("/dev/null", "not a regular file"),
            ("/dev/tty", "not a regular file"),
            ("/proc/kmsg", "a file of the kernel"),
            ("/proc/self/status", "a file of the kernel"),
        ] {
            symlink(target, &link).unwrap();
            let e = host.open(path).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(e.ends_with(reason), "{target}: {e}");
            std::fs::remove_file(&link).unwrap();
        }
        // What it asks for itself it reads, and what others name it does not.
        for own in ["/proc/stat", "/proc/self/status", "/proc/1/stat", "/proc/net/tcp", "/proc/self/net/tcp"] {
            assert!(host.read(own).is_ok(), "{own}");
        }
        for other in ["/proc/version", "/proc/self/environ", "/proc/net/../version", "/proc/self/net/../environ"] {
            assert!(host.open(other).is_err(), "{other}");
        }
        assert!(Root::of_process("/proc/self/root").open("/proc/stat").is_err());
    }

    #[test]
    fn a_folder_is_read_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["c", "a", "b"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let root = Root::new(folder.path());
        let listed = |cap| root.list_head("/", cap).map(|(names, more)| (names.len(), more)).unwrap_or_default();
        assert_eq!([2, 3, 4].map(listed), [(2, true), (3, false), (3, false)]);
        assert_eq!(root.list("/").unwrap_or_default(), ["a", "b", "c"]);
    }

    #[test]
    fn whoever_changes_a_tree_meanwhile_leads_nobody_out_of_it() {
        if !can_stay_inside() {
            return;
        }
        let made = tempfile::tempdir().unwrap();
        let (outside, inside) = (made.path().join("outside"), made.path().join("inside"));
        for (folder, text) in [(&outside, "theirs"), (&inside.join("a"), "ours")] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("passwd"), text).unwrap();
            symlink(text, folder.join("link")).unwrap();
            (0..text.len() - 4).for_each(|n| {
                std::fs::write(folder.join(n.to_string()), "").unwrap();
            });
        }
        symlink(&outside, inside.join("b")).unwrap();
        let (root, done) = (Root::new(&inside), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    _ = renameat_with(CWD, inside.join("a"), CWD, inside.join("b"), RenameFlags::EXCHANGE);
                }
            });
            let mut found = Vec::new();
            for _ in 0..20_000 {
                found.extend(root.read("/a/passwd").ok().map(|bytes| bytes == b"theirs"));
                found.extend(root.metadata("/a/passwd").ok().map(|about| about.len() == 6));
                found.extend(root.read_link("/a/link").ok().map(|target| target == Path::new("theirs")));
                found.extend(root.list("/a").ok().map(|names| names.len() > 2));
            }
            done.store(true, Ordering::Relaxed);
            assert!(found.len() > 100 && !found.contains(&true), "{}", found.len());
        });
    }
}
