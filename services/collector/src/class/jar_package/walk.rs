//! Where archives lie: the folders that software is put into, and the files that processes hold open or mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use walkdir::WalkDir;

use super::{JarProcess, is_archive};
use crate::Root;
use crate::class::ClassSnapshot;
use crate::process::Processes;
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
/// Processes of one archive that are named.
const PROCESS_CAP: usize = 64;
const NAME_CAP: usize = 255;
/// No table of mappings is read beyond this.
const MAPS_CAP: usize = 16 << 20;

/// The archives, by their path as seen from the root.
pub(super) type Files = BTreeMap<Vec<u8>, PathBuf>;
/// The processes that hold an archive, by its path.
pub(super) type Loaded = BTreeMap<Vec<u8>, Vec<JarProcess>>;

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

/// The archives that processes of the host hold. Those of other mount namespaces see other files under the same
/// names and are left out. A process that ends while it is looked at is none.
pub(super) fn loaded(root: &Root, processes: &Processes) -> Loaded {
    let mut loaded = Loaded::new();
    let own = link(root, "/proc/1/ns/mnt");
    for process in processes.iter().filter(|process| !process.is_kernel) {
        let directory = format!("/proc/{}", process.pid);
        let namespace = link(root, &format!("{directory}/ns/mnt"));
        if own.is_some() && namespace.is_some() && namespace != own {
            continue;
        }
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
        if held.is_empty() {
            continue;
        }
        let name = Fields::default().text("", &process.name, NAME_CAP);
        for path in held.into_iter().filter(|path| path.starts_with(b"/")) {
            let processes = loaded.entry(path).or_default();
            if processes.len() < PROCESS_CAP {
                processes.push(JarProcess { pid: process.pid, name: name.clone() });
            }
        }
    }
    loaded
}

fn link(root: &Root, path: &str) -> Option<Vec<u8>> {
    root.read_link(path).ok().map(|target| target.into_os_string().into_vec())
}
