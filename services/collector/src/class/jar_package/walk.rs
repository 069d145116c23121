//! Where archives lie: the folders that software is put into, and the files that processes hold open or mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use walkdir::WalkDir;

use super::{JarProcess, is_archive};
use crate::Root;
use crate::class::ClassSnapshot;
use crate::process::{Process, Processes};
use crate::product::view;
use crate::text::{self, Fields};

/// Folders that are walked, each within its file system.
const ROOTS: [&str; 16] = [
    "/app",
    "/apps",
    "/data",
    "/deployments",
    "/home",
    "/opt",
    "/root",
    "/srv",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local",
    "/usr/share",
    "/usr/libexec",
    "/var/lib",
    "/var/opt",
    "/var/www",
];
/// Folders that are not entered: other systems' files (images, containers), caches and sources of builds.
const OTHER_SYSTEMS: [&str; 8] = ["docker", "containerd", "containers", "kubelet", "lxc", "lxd", "snapd", "machines"];
const CACHES: [&str; 8] = [".git", ".m2", ".gradle", ".ivy2", ".cache", ".cargo", ".rustup", "node_modules"];
const DEPTH_CAP: usize = 24;
const ENTRY_CAP: usize = 2_000_000;
/// Archives that are opened.
const FILE_CAP: usize = 100_000;
/// Ways to an archive that are tried.
const WAYS_CAP: usize = 4;
/// So much is read of all archives of containers together.
const CONTAINERS_CAP: u64 = 2 << 30;
/// Processes of one archive that are named.
const PROCESS_CAP: usize = 64;
const NAME_CAP: usize = 255;
/// No table of mappings is read beyond this.
const MAPS_CAP: usize = 16 << 20;

/// The archives, by their path as seen from the root.
pub(super) type Files = BTreeMap<Vec<u8>, PathBuf>;
/// An archive by its container, none on the host itself, and its path as seen in there.
pub(super) type Key = (Option<String>, Vec<u8>);
/// The archives that processes hold.
pub(super) type Loaded = BTreeMap<Key, Held>;

/// An archive that processes hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The ways to it, by the first processes: one may have ended since.
    pub(super) files: Vec<PathBuf>,
    pub(super) processes: Vec<JarProcess>,
}

/// Finds the archives below the walked folders.
pub(super) fn files(root: &Root, snapshot: &mut ClassSnapshot) -> Files {
    let mut files = Files::new();
    let mut seen = BTreeSet::new();
    let mut entries = 0;
    for start in ROOTS {
        let Ok(real) = root.resolve(start).and_then(std::fs::canonicalize) else { continue };
        if !seen.insert(real.clone()) {
            continue;
        }
        let walk = WalkDir::new(&real).max_depth(DEPTH_CAP).same_file_system(true).into_iter();
        let walk = walk.filter_entry(|entry| {
            let name = entry.file_name().as_bytes();
            let is = |names: &[&str]| names.iter().any(|other| other.as_bytes() == name);
            !(entry.file_type().is_dir()
                && (is(&CACHES) || (start == "/var/lib" && entry.depth() == 1 && is(&OTHER_SYSTEMS))))
        });
        for entry in walk {
            entries += 1;
            if entries > ENTRY_CAP || files.len() >= FILE_CAP {
                snapshot.unread_sources.push(format!("{start} (too many files)"));
                return files;
            }
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_archive(entry.file_name().as_bytes()) => {
                    let Ok(inside) = entry.path().strip_prefix(&real) else { continue };
                    let mut path = start.as_bytes().to_vec();
                    path.push(b'/');
                    path.extend_from_slice(inside.as_os_str().as_bytes());
                    files.insert(path, entry.into_path());
                }
                // A folder that is not ours to read is named; one that went away since is not.
                Err(e) if e.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) => {
                    if snapshot.unread_sources.len() < super::UNREAD_CAP
                        && let Some(path) = e.path()
                    {
                        snapshot.unread_sources.push(path.display().to_string());
                    }
                }
                _ => {}
            }
        }
    }
    files
}

/// The archives that processes hold, those of containers through the process's own root. A process that ends while it
/// is looked at is none.
pub(super) fn loaded(root: &Root, processes: &Processes, snapshot: &mut ClassSnapshot) -> Loaded {
    let mut loaded = Loaded::new();
    // The first process sees the host's mounts, the collector perhaps its pod's.
    let own = link(root, "/proc/1/ns/mnt").or_else(|| link(root, "/proc/self/ns/mnt"));
    let (mut bytes, mut count) = (0_u64, 0);
    let (mut is_apart, mut is_over) = (false, false);
    for process in processes.iter().filter(|process| !process.is_kernel) {
        let held = held(root, process);
        if held.is_empty() {
            continue;
        }
        let namespace = link(root, &format!("/proc/{}/ns/mnt", process.pid));
        let seen = Seen::by(root, process, own.as_ref().zip(namespace.as_ref()).map(|(own, other)| own == other));
        let name = Fields::default().text("", &process.name, NAME_CAP);
        for path in held.into_iter().filter(|path| path.starts_with(b"/")) {
            let Some((container, file)) = seen.find(root, &path) else {
                // What ended meanwhile has no tree any more.
                is_apart |= matches!(&seen, Seen::Apart(view) if view.metadata("/").is_ok());
                continue;
            };
            let size = file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |about| about.len());
            let key = (container, path);
            if key.0.is_some() && !loaded.contains_key(&key) {
                let whole = bytes.saturating_add(size);
                if whole > CONTAINERS_CAP || count >= FILE_CAP {
                    // A smaller one may still find room.
                    is_over = true;
                    continue;
                }
                (bytes, count) = (whole, count + 1);
            }
            let held: &mut Held = loaded.entry(key).or_default();
            if let Some(file) = file
                && held.files.len() < WAYS_CAP
                && !held.files.contains(&file)
            {
                held.files.push(file);
            }
            if held.processes.len() < PROCESS_CAP {
                held.processes.push(JarProcess { pid: process.pid, name: name.clone() });
            }
        }
    }
    if is_apart {
        snapshot.unread_sources.push("archives in file trees of their own that are no container's".to_owned());
    }
    if is_over {
        snapshot.unread_sources.push("archives of containers (too many, or too large together)".to_owned());
    }
    loaded
}

/// The archives that a process holds open or mapped, as the kernel names them.
fn held(root: &Root, process: &Process) -> BTreeSet<Vec<u8>> {
    let directory = format!("/proc/{}", process.pid);
    let mut held = BTreeSet::new();
    for descriptor in root.list(&format!("{directory}/fd")).unwrap_or_default() {
        held.extend(link(root, &format!("{directory}/fd/{descriptor}")).filter(|path| is_archive(path)));
    }
    // Old virtual machines map the archives of their own library and close them.
    if !held.is_empty() || process.exe_name() == Some(b"java") {
        let (maps, _) = root.read_head(&format!("{directory}/maps"), MAPS_CAP).unwrap_or_default();
        let paths = text::lines(&maps).filter_map(|(_, line)| line.splitn(6, |&byte| byte == b' ').nth(5));
        held.extend(paths.map(<[u8]>::trim_ascii_start).filter(|path| is_archive(path)).map(<[u8]>::to_vec));
    }
    held
}

/// Whose files a process sees by its paths.
enum Seen {
    /// The host's.
    Host,
    /// Those of a container, by its id.
    Container(String, Root),
    /// Others: the host's where nothing is mounted over them, or those of a tree that is no container's.
    Apart(Root),
}

impl Seen {
    /// `shares_mounts` tells whether the process sees the host's mounts, where that is known.
    fn by(root: &Root, process: &Process, shares_mounts: Option<bool>) -> Self {
        let own = || root.resolve(&format!("/proc/{}", process.pid)).map(|path| Root::new(path.join("root")));
        match (&process.container, shares_mounts) {
            (_, Some(true)) | (None, None) => Seen::Host,
            (Some(container), _) if let Some(view) = view(root, process.pid) => {
                Seen::Container(container.id.clone(), view)
            }
            _ => own().map_or(Seen::Host, Seen::Apart),
        }
    }

    /// The container of an archive that is seen by this path, and the way to it if the path is text; none where it is
    /// nobody's that can be named.
    fn find(&self, root: &Root, path: &[u8]) -> Option<(Option<String>, Option<PathBuf>)> {
        let path = std::str::from_utf8(path);
        let way = |root: &Root| path.ok().and_then(|path| root.resolve(path).ok());
        match self {
            Seen::Host => Some((None, way(root))),
            Seen::Container(id, view) => Some((Some(id.clone()), way(view))),
            Seen::Apart(view) => {
                let path = path.ok()?;
                let (theirs, ours) = (view.metadata(path).ok()?, root.metadata(path).ok()?);
                let is_hosts = (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino());
                is_hosts.then(|| (None, way(root)))
            }
        }
    }
}

fn link(root: &Root, path: &str) -> Option<Vec<u8>> {
    root.read_link(path).ok().map(|target| target.into_os_string().into_vec())
}
