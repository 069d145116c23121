//! Where archives lie: the folders that software is put into, and the files that processes hold open or mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

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
/// Archives that are opened: of the folders, of what the host's processes hold, of what those of containers do.
const FILE_CAP: usize = 100_000;
/// Bytes of the paths of archives that processes hold: of the host's, of all containers', of one process's.
const PATHS_CAP: usize = 16 << 20;
const HELD_CAP: usize = 4 << 20;
/// So many archives, and bytes of their paths, each container may have.
const SHARE: (usize, usize) = (1_000, 96 << 10);
/// Descriptors of a process that are looked at.
const DESCRIPTORS_CAP: usize = 100_000;
/// Ways to an archive that are tried.
const WAYS_CAP: usize = 4;
/// What is told where containers have more archives than are looked at.
pub(super) const TOO_MUCH: &str = "archives of containers (too many, or too large together)";
const TOO_MANY: &str = "archives that processes hold (too many)";
/// Processes of one archive that are named.
const PROCESS_CAP: usize = 64;
const NAME_CAP: usize = 255;
/// No table of mappings is read beyond this.
const MAPS_CAP: usize = 16 << 20;

/// The archives' paths as seen from the root.
pub(super) type Files = BTreeSet<Vec<u8>>;
/// An archive by its container, none on the host itself, and its path as seen in there.
pub(super) type Key = (Option<String>, Vec<u8>);
/// The archives that processes hold.
pub(super) type Loaded = BTreeMap<Key, Held>;

/// An archive that processes hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The file trees that it is seen in, by the first processes: one may have ended since.
    pub(super) ways: Vec<Root>,
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
                    files.insert(path);
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
    let containers: BTreeSet<_> =
        processes.iter().filter_map(|process| Some(&process.container.as_ref()?.id)).collect();
    let many = containers.len().max(1);
    let share = ((FILE_CAP / many).max(SHARE.0), (PATHS_CAP / many).max(SHARE.1));
    let mut kept: BTreeMap<Option<String>, Kept> = BTreeMap::new();
    // The first process sees the host's mounts, the collector perhaps its pod's.
    let own = link(root, "/proc/1/ns/mnt").or_else(|| link(root, "/proc/self/ns/mnt"));
    let (mut is_apart, mut is_cut) = (false, false);
    for process in processes.iter().filter(|process| !process.is_kernel) {
        let (held, more) = held(root, process);
        is_cut |= more;
        if held.is_empty() {
            continue;
        }
        let namespace = link(root, &format!("/proc/{}/ns/mnt", process.pid));
        let seen = Seen::by(root, process, own.as_ref().zip(namespace.as_ref()).map(|(own, other)| own == other));
        let name = Fields::default().text("", &process.name, NAME_CAP);
        for path in held.into_iter().filter(|path| path.starts_with(b"/")) {
            let Some((container, way)) = seen.find(root, &path) else {
                // What ended meanwhile has no tree any more.
                is_apart |= matches!(&seen, Seen::Apart(view) if view.metadata("/").is_ok());
                continue;
            };
            let most = if container.is_some() { share } else { (FILE_CAP, PATHS_CAP) };
            let kept = kept.entry(container).or_insert_with(|| Kept::new(most));
            let Some(held) = kept.take(path) else { continue };
            if held.ways.len() < WAYS_CAP && !held.ways.contains(way) {
                held.ways.push(way.clone());
            }
            if held.processes.len() < PROCESS_CAP {
                held.processes.push(JarProcess { pid: process.pid, name: name.clone() });
            }
        }
    }
    is_cut |= kept.get(&None).is_some_and(|kept| kept.end.is_some());
    let is_over = kept.iter().any(|(container, kept)| container.is_some() && kept.end.is_some());
    if is_apart {
        snapshot.unread_sources.push("archives in file trees of their own that are no container's".to_owned());
    }
    if is_cut {
        snapshot.unread_sources.push(TOO_MANY.to_owned());
    }
    if is_over {
        snapshot.unread_sources.push(TOO_MUCH.to_owned());
    }
    let all = kept.into_iter().flat_map(|(container, kept)| {
        kept.archives.into_iter().map(move |(path, held)| ((container.clone(), path), held))
    });
    all.collect()
}

/// The archives of the host or of a container: the first by path that find room, in whatever order they come.
#[derive(Debug)]
struct Kept {
    archives: BTreeMap<Vec<u8>, Held>,
    bytes: usize,
    /// How many archives, and bytes of their paths, find room.
    most: (usize, usize),
    /// The first path that found none: it and all behind it are left out.
    end: Option<Vec<u8>>,
}

impl Kept {
    fn new(most: (usize, usize)) -> Self {
        Kept { archives: BTreeMap::new(), bytes: 0, most, end: None }
    }

    /// The archive of a path; none where it finds no room.
    fn take(&mut self, path: Vec<u8>) -> Option<&mut Held> {
        if self.end.as_ref().is_some_and(|end| path >= *end) {
            return None;
        }
        if !self.archives.contains_key(&path) {
            self.bytes += path.len();
            self.archives.insert(path.clone(), Held::default());
            while self.archives.len() > self.most.0 || self.bytes > self.most.1 {
                let (last, _) = self.archives.pop_last()?;
                self.bytes -= last.len();
                self.end = Some(last);
            }
        }
        self.archives.get_mut(&path)
    }
}

/// The archives that a process holds open or mapped, as the kernel names them, and whether there are more.
fn held(root: &Root, process: &Process) -> (BTreeSet<Vec<u8>>, bool) {
    let directory = format!("/proc/{}", process.pid);
    let (mut held, mut bytes) = (BTreeSet::new(), 0);
    let mut hold = |path: Vec<u8>| {
        let has_room = bytes + path.len() <= HELD_CAP;
        if has_room && !held.contains(&path) {
            bytes += path.len();
            held.insert(path);
        }
        has_room
    };
    let (descriptors, mut more) = root.list_head(&format!("{directory}/fd"), DESCRIPTORS_CAP).unwrap_or_default();
    let mut holds_some = false;
    for descriptor in descriptors {
        if let Some(path) = link(root, &format!("{directory}/fd/{descriptor}")).filter(|path| is_archive(path)) {
            holds_some = true;
            more |= !hold(path);
        }
    }
    // Old virtual machines map the archives of their own library and close them.
    if holds_some || process.exe_name() == Some(b"java") {
        let (maps, cut) = root.read_head(&format!("{directory}/maps"), MAPS_CAP).unwrap_or_default();
        let paths = text::lines(&maps).filter_map(|(_, line)| line.splitn(6, |&byte| byte == b' ').nth(5));
        for path in paths.map(<[u8]>::trim_ascii_start).filter(|path| is_archive(path)) {
            more |= !hold(path.to_vec());
        }
        more |= cut;
    }
    (held, more)
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
        let own = || root.resolve(&format!("/proc/{}", process.pid)).map(|path| Root::of_process(path.join("root")));
        match (&process.container, shares_mounts) {
            (_, Some(true)) | (None, None) => Seen::Host,
            (Some(container), _) if let Some(view) = view(root, process.pid) => {
                Seen::Container(container.id.clone(), view)
            }
            _ => own().map_or(Seen::Host, Seen::Apart),
        }
    }

    /// The container of an archive that is seen by this path, and the file tree that it is seen in; none where it is
    /// nobody's that can be named.
    fn find<'a>(&'a self, root: &'a Root, path: &[u8]) -> Option<(Option<String>, &'a Root)> {
        match self {
            Seen::Host => Some((None, root)),
            Seen::Container(id, view) => Some((Some(id.clone()), view)),
            Seen::Apart(view) => {
                let path = std::str::from_utf8(path).ok()?;
                let (theirs, ours) = (view.metadata(path).ok()?, root.metadata(path).ok()?);
                let is_hosts = (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino());
                is_hosts.then_some((None, root))
            }
        }
    }
}

fn link(root: &Root, path: &str) -> Option<Vec<u8>> {
    root.read_link(path).ok().map(|target| target.into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archives_that_find_room_are_the_same_in_whatever_order_they_come() {
        let paths: Vec<Vec<u8>> = (0..40_usize).map(|n| format!("/{n:02}{}", "x".repeat(n * 7 % 20)).into()).collect();
        for most in [(10, 1_000), (1_000, 120), (1_000, 1)] {
            let kept = |step: usize| {
                let mut kept = Kept::new(most);
                (0..paths.len()).for_each(|n| _ = kept.take(paths[n * step % paths.len()].clone()));
                kept.archives.into_keys().collect::<Vec<_>>()
            };
            let first = kept(1);
            assert!(first.len() < paths.len() && paths.starts_with(&first), "{first:?}");
            assert!([3, 7, 39].into_iter().all(|step| kept(step) == first));
        }
    }
    #[test]
    fn what_a_process_holds_is_kept_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let (root, long) = (Root::new(folder.path()), "x".repeat(4_000));
        std::fs::create_dir_all(folder.path().join("proc/7/fd")).unwrap();
        let process = Process { pid: 7, exe: Some(b"/usr/bin/java".to_vec()), ..Process::default() };
        let mapped = |lines: usize| {
            let lines = (0..lines).map(|n| format!("7f00-7f01 r--s 0 fe:01 12    /{n:04}{long}.jar\n"));
            std::fs::write(folder.path().join("proc/7/maps"), lines.collect::<String>()).unwrap();
            let (held, more) = held(&root, &process);
            (held.len(), more)
        };
        assert_eq!((mapped(100), mapped(2_000)), ((100, false), (HELD_CAP / 4_009, true)));
    }
}
