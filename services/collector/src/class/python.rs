//! Where Python keeps what is installed for it: folders of the system, of accounts, of environments, of what runs.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;

use super::account;
use crate::process::Process;
use crate::product::Instance;
use crate::{Host, ReadError, Root, product, text};

/// Above each of them the system, or the administrator by hand, installs.
const SYSTEM: [&str; 3] = ["/usr", "/usr/local", "/opt"];
/// Folders of environments that pipx makes for everybody.
const SHARED: &str = "/opt/pipx/venvs";
/// Folders below a home that hold environments, or whole Pythons, of its account: pipx' and pyenv's.
const OWN: [&str; 3] = [".local/share/pipx/venvs", ".local/pipx/venvs", ".pyenv/versions"];
/// Programs that are Python, or load it.
const PROGRAMS: [&str; 5] = ["python", "pypy", "uwsgi", "gunicorn", "uvicorn"];
/// Places that are looked at.
const PLACES_CAP: usize = 20_000;
/// Names of a folder that are looked at, and folders of Pythons below one `lib`.
const NAMES_CAP: usize = 20_000;
const PYTHONS_CAP: usize = 50;
/// What could not be read is named up to here.
const UNREAD_CAP: usize = 20;

/// Says whether an executable is Python, or loads it.
pub(crate) fn is_python(exe: &str) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    PROGRAMS.iter().any(|program| name.starts_with(program))
}

/// A program that runs by Python, as far as it tells where its packages are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    exe: Option<String>,
    /// Python and the script as they were called, where that is by their whole path.
    called: Vec<String>,
    cwd: Option<String>,
}

impl Program {
    pub(crate) fn of_instance(instance: &Instance) -> Self {
        let called = instance.options.all().iter().take(2).filter(|arg| arg.starts_with('/'));
        Program { exe: instance.exe.clone(), called: called.cloned().collect(), cwd: instance.cwd.clone() }
    }

    /// None where it is another program.
    fn of_process(process: &Process) -> Option<Self> {
        let shown = |bytes: &[u8]| text::decode(bytes).0.into_owned();
        let args: Vec<String> = process.args().take(2).map(shown).collect();
        let exe = process.exe.as_deref().map(shown);
        let is_python = exe.as_ref().or(args.first()).is_some_and(|exe| is_python(exe));
        let called = args.into_iter().filter(|arg| arg.starts_with('/')).collect();
        is_python.then(|| Program { exe, called, cwd: process.cwd.as_deref().map(shown) })
    }
}

/// Folders of packages (`site-packages`, `dist-packages`), each once.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    pub(crate) found: Vec<String>,
    /// What could not be read.
    pub(crate) unread: Vec<String>,
    seen: HashSet<(u64, u64)>,
    places: usize,
}

impl Folders {
    /// Those of a program.
    pub(crate) fn of(view: &Root, program: &Program) -> Self {
        let mut folders = Folders::default();
        folders.program(view, program);
        folders
    }

    /// Those of a host: what is below `/opt` up to two levels deep, what accounts have in their homes, and what programs
    /// use that run in the host's own file tree.
    pub(crate) fn of_host(host: &Host<'_>) -> Self {
        let (root, mut folders) = (host.root(), Folders::default());
        SYSTEM.iter().for_each(|prefix| folders.below(root, prefix));
        for one in folders.all_in(root, "/opt") {
            folders.below(root, &one);
            folders.each_below(root, &one);
        }
        folders.each_below(root, SHARED);
        let homes: BTreeSet<String> = account::homes(root).into_iter().map(|(_, home)| home).collect();
        for home in homes.iter().map(|home| home.trim_end_matches('/')).filter(|home| !home.is_empty()) {
            folders.below(root, &format!("{home}/.local"));
            OWN.iter().for_each(|own| folders.each_below(root, &format!("{home}/{own}")));
        }
        let mut programs = HashSet::new();
        if let Ok(processes) = host.processes() {
            folders.unread.extend(processes.unseen());
            for process in processes.iter().filter(|process| process.container.is_none()) {
                if let Some(program) = Program::of_process(process)
                    && !programs.contains(&program)
                    && product::view(root, process.pid).is_none()
                {
                    folders.program(root, &program);
                    programs.insert(program);
                }
            }
        }
        if folders.places > PLACES_CAP {
            folders.unread.push("packages of Python in too many places".to_owned());
        }
        folders
    }

    fn program(&mut self, view: &Root, program: &Program) {
        let is_environment = |prefix: &String| view.metadata(&format!("{prefix}/pyvenv.cfg")).is_ok();
        // The program as it was called is that of a virtual environment; the executable behind it is the system's.
        let mut prefixes: Vec<String> = program.called.iter().filter_map(|path| prefix(path)).collect();
        prefixes.retain(is_environment);
        if prefixes.is_empty() {
            let cwd = program.cwd.iter().flat_map(|cwd| [".venv", "venv", "env"].map(|name| format!("{cwd}/{name}")));
            prefixes.extend(cwd.filter(is_environment));
        }
        let alone = prefixes.first().is_some_and(|prefix| {
            let config = view.read_head(&format!("{prefix}/pyvenv.cfg"), 64 << 10).map(|(bytes, _)| bytes);
            let config = String::from_utf8_lossy(&config.unwrap_or_default()).to_ascii_lowercase();
            !config.lines().any(|line| line.replace(' ', "") == "include-system-site-packages=true")
        });
        if !alone {
            prefixes.extend(program.exe.as_deref().and_then(prefix));
            prefixes.push("/usr/local".to_owned());
        }
        prefixes.iter().for_each(|prefix| self.below(view, prefix));
    }

    /// Takes what is in each folder of a folder.
    fn each_below(&mut self, view: &Root, folder: &str) {
        self.places += 1;
        if self.places > PLACES_CAP {
            return;
        }
        for prefix in self.all_in(view, folder) {
            self.below(view, &prefix);
        }
    }

    /// Takes the folders below a prefix, such as `/usr`.
    fn below(&mut self, view: &Root, prefix: &str) {
        self.places += 1;
        if self.places > PLACES_CAP {
            return;
        }
        for lib in [format!("{prefix}/lib"), format!("{prefix}/lib64")] {
            let mut pythons = self.all_in(view, &lib);
            pythons.retain(|path| ["python", "pypy"].iter().any(|name| path[lib.len() + 1..].starts_with(name)));
            if pythons.len() > PYTHONS_CAP {
                self.too_many(&lib);
            }
            for python in pythons.iter().take(PYTHONS_CAP) {
                self.add(view, format!("{python}/site-packages"));
                self.add(view, format!("{python}/dist-packages"));
            }
        }
    }

    fn add(&mut self, view: &Root, folder: String) {
        match view.metadata(&folder) {
            // Of an environment, `lib64` is `lib` by another name.
            Ok(metadata) if metadata.is_dir() && self.seen.insert((metadata.dev(), metadata.ino())) => {
                self.found.push(folder);
            }
            Ok(_) => {}
            Err(e) => self.complain(&e),
        }
    }

    /// The paths of what a folder holds, up to the bound.
    pub(crate) fn all_in(&mut self, view: &Root, folder: &str) -> Vec<String> {
        let (names, more) = view.list_head(folder, NAMES_CAP).unwrap_or_else(|e| {
            self.complain(&e);
            Default::default()
        });
        if more {
            self.too_many(folder);
        }
        names.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }

    fn too_many(&mut self, folder: &str) {
        self.tell(format!("{folder} (too many files)"));
    }

    /// Remembers what could not be read; what is not there is no fault.
    pub(crate) fn complain(&mut self, e: &ReadError) {
        if let ReadError::Unreadable { path, .. } = e {
            self.tell(path.clone());
        }
    }

    fn tell(&mut self, source: String) {
        if self.unread.len() < UNREAD_CAP && !self.unread.contains(&source) {
            self.unread.push(source);
        }
    }
}

/// The folder above `bin` of a program.
fn prefix(path: &str) -> Option<String> {
    let folder = path.rsplit_once('/')?.0;
    folder.strip_suffix("/bin").map(str::to_owned)
}
