//! Which known products run on the host: processes of one product that descend from each other are one instance.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use super::known::{Known, loaded};
use super::{Options, Product, version};
use crate::class::system_package::Owners;
use crate::process::{Process, Processes};
use crate::text::Fields;
use crate::{Host, Root, redact};

/// The most bytes of a path or an argument that are looked at.
const TEXT_CAP: usize = 32 << 10;
/// So many ancestors are followed.
const ANCESTORS_CAP: usize = 64;
/// MySQL's word for reading no configuration at all.
const NO_CONFIG: &str = "--no-defaults";
/// A working process' title that stands in place of its arguments begins with the program's name and one of these.
const TITLES: [&str; 2] = [": master process ", ": master "];

/// A known product on the host: processes that descend from each other, or an executable that does not run.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) product: &'static Product,
    /// The process that all others of the instance descend from; 0 when it does not run.
    pub(crate) pid: u32,
    /// All processes of the instance, sorted.
    pub(crate) pids: Vec<u32>,
    pub(crate) uid: Option<u32>,
    /// The file tree that the process sees: the host's, or a container's.
    pub(crate) view: Root,
    /// True when that tree is not the host's.
    pub(crate) is_foreign: bool,
    pub(crate) container_id: Option<String>,
    pub(crate) options: Options,
    /// The command line without secrets.
    pub(crate) command_line: String,
    /// The path of the executable, as the process sees it.
    pub(crate) exe: Option<String>,
    pub(crate) cwd: Option<String>,
    /// The folder in which it is installed.
    pub(crate) home: Option<String>,
    /// The configuration file that it reads.
    pub(crate) config: Option<String>,
    /// True when an option names that file, false when it is the usual one.
    pub(crate) is_config_named: bool,
    pub(crate) version: Option<String>,
    /// The package of the executable.
    pub(crate) package: Option<String>,
    /// What that package is, in one line.
    pub(crate) description: Option<String>,
    /// True when a text held bytes that are no UTF-8.
    pub(crate) escaped: bool,
}

impl Instance {
    pub(crate) fn is_running(&self) -> bool {
        !self.pids.is_empty()
    }
}

/// All known products on a host, ordered by product and process; those that do not run come first.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    all: Vec<Instance>,
}

impl Programs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.all.iter()
    }

    /// Those of a product.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Instance> {
        self.iter().filter(move |instance| instance.product.name == name)
    }

    /// Finds them; without processes only those that are installed.
    pub(crate) fn find(host: &Host<'_>) -> Self {
        let (root, processes, owners) = (host.root(), host.processes().ok(), host.owners());
        let trees = processes.map(|processes| trees(&Known::new(), processes)).unwrap_or_default();
        let mut installed = host.installed().clone();
        let mut all = Vec::new();
        let mut finder = version::Finder::default();
        for (product, pid, pids) in trees {
            let Some(process) = processes.and_then(|processes| processes.get(pid)) else { continue };
            let instance = Instance::running(root, process, product, pids, owners, &mut finder);
            if let Some(exe) = instance.exe.as_ref().filter(|_| !instance.is_foreign) {
                installed.remove(exe);
            }
            all.push(instance);
        }
        all.extend(
            installed.into_iter().map(|(path, product)| Instance::installed(root, path, product, owners, &mut finder)),
        );
        all.sort_by(|a, b| (a.product.name, a.pid, &a.exe).cmp(&(b.product.name, b.pid, &b.exe)));
        Programs { all }
    }
}

/// The processes of known products: of each tree of them the first, and all.
fn trees(known: &Known, processes: &Processes) -> Vec<(&'static Product, u32, Vec<u32>)> {
    let mut products: BTreeMap<u32, &'static Product> = BTreeMap::new();
    for process in processes.iter().filter(|process| !process.is_kernel) {
        if let Some(product) = known.recognise(process) {
            products.insert(process.pid, product);
        }
    }
    let mut trees: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&pid, product) in &products {
        let mut top = pid;
        for _ in 0..ANCESTORS_CAP {
            let Some(process) = processes.get(top) else { break };
            let parent = process.ppid;
            // What a container runs is not of the program that started it.
            let is_inside = processes.get(parent).is_some_and(|parent| parent.container == process.container);
            if !products.get(&parent).is_some_and(|other| std::ptr::eq(*other, *product)) || parent == top || !is_inside
            {
                break;
            }
            top = parent;
        }
        trees.entry(top).or_default().push(pid);
    }
    trees.into_iter().filter_map(|(pid, pids)| Some((*products.get(&pid)?, pid, pids))).collect()
}

impl Instance {
    fn running(
        root: &Root,
        process: &Process,
        product: &'static Product,
        pids: Vec<u32>,
        owners: &Owners,
        finder: &mut version::Finder,
    ) -> Self {
        let mut fields = Fields::default();
        let mut shown = |bytes: &[u8]| fields.text("", bytes, TEXT_CAP);
        let args: Vec<String> = process.args().map(&mut shown).collect();
        // Where the executable may not be seen, the process says what it is.
        let said = args.first().filter(|arg| arg.starts_with('/')).and_then(|arg| arg.split([' ', ':']).next());
        let loaded = loaded(process).map(&mut shown);
        let exe = loaded.clone().or_else(|| process.exe.as_deref().map(&mut shown)).or_else(|| said.map(str::to_owned));
        let cwd = process.cwd.as_deref().map(&mut shown);
        let command_line = redact::arguments(process.args(), &mut fields, "", TEXT_CAP).trim_end().to_owned();
        let options = Options::new(arguments(args));
        let foreign = view(root, process.pid);
        let is_foreign = foreign.is_some();
        let view = foreign.unwrap_or_else(|| root.clone());
        let marker = Known::marker(product, options.all());
        let named_home = options.value(product.home_options).or_else(|| marker.and_then(parent));
        let home = named_home
            .map(|home| absolute(home, cwd.as_deref()))
            .or_else(|| exe.as_deref().and_then(installed_in).map(str::to_owned));
        let (config, is_config_named) = config(product, &view, &options, home.as_deref(), cwd.as_deref());
        let is_own = !is_foreign && marker.is_none() && !process.exe_deleted;
        let owner = process.exe.as_deref().filter(|_| is_own && loaded.is_none()).and_then(|exe| owners.of(exe));
        let version = owner.and_then(|owner| owner.version.as_deref()).map(|whole| version::upstream(whole).to_owned());
        let version = version.or_else(|| {
            // The running program itself, also where its file was replaced since; of a container by its own root, as
            // the link would be followed in the host's. In another tree the link cannot be followed.
            let running = format!("/proc/{}/exe", process.pid);
            let binary = match (&loaded, &exe) {
                (Some(path), _) => (&view, path),
                (None, Some(path)) if is_foreign || !(root.is_host() || process.exe_deleted) => (&view, path),
                _ => (root, &running),
            };
            let place = version::Place {
                binary: (binary.0, binary.1),
                exe: exe.as_deref(),
                view: &view,
                home: home.as_deref(),
                args: options.all(),
            };
            finder.find(product.version, &place)
        });
        Instance {
            product,
            pid: process.pid,
            pids,
            uid: process.uid,
            view,
            is_foreign,
            container_id: process.container.as_ref().map(|container| container.id.clone()),
            options,
            command_line,
            exe,
            cwd,
            home,
            config,
            is_config_named,
            version,
            package: owner.map(|owner| owner.name.clone()),
            description: owner.and_then(|owner| owner.description.clone()),
            escaped: fields.escaped,
        }
    }

    fn installed(
        root: &Root,
        path: String,
        product: &'static Product,
        owners: &Owners,
        finder: &mut version::Finder,
    ) -> Self {
        let owner = owners.of(path.as_bytes());
        let home = installed_in(&path).map(str::to_owned);
        let version = owner.and_then(|owner| owner.version.as_deref()).map(|whole| version::upstream(whole).to_owned());
        let version = version.or_else(|| {
            let place = version::Place {
                binary: (root, &path),
                exe: Some(&path),
                view: root,
                home: home.as_deref(),
                args: &[],
            };
            finder.find(product.version, &place)
        });
        let (config, _) = config(product, root, &Options::default(), home.as_deref(), None);
        Instance {
            product,
            pid: 0,
            pids: Vec::new(),
            uid: None,
            view: root.clone(),
            is_foreign: false,
            container_id: None,
            options: Options::default(),
            command_line: String::new(),
            exe: Some(path),
            cwd: None,
            home,
            config,
            is_config_named: false,
            version,
            package: owner.map(|owner| owner.name.clone()),
            description: owner.and_then(|owner| owner.description.clone()),
            escaped: false,
        }
    }
}

/// The file tree of a process where it is another than the host's. A service whose temporary folder alone is private
/// has the host's.
pub(crate) fn view(root: &Root, pid: u32) -> Option<Root> {
    let own = root.resolve(&format!("/proc/{pid}")).ok()?.join("root");
    let (theirs, ours) = (std::fs::metadata(own.join(".")).ok()?, root.metadata("/").ok()?);
    (theirs.is_dir() && (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino())).then(|| Root::of_process(own))
}

/// The arguments; those of a process that put a title in their place are taken out of it.
fn arguments(args: Vec<String>) -> Vec<String> {
    let title = args.first().and_then(|first| TITLES.iter().find_map(|mark| first.split_once(mark)));
    match title {
        Some((_, command)) => command.split_ascii_whitespace().map(str::to_owned).collect(),
        None => args,
    }
}

/// The configuration file: the one that an option names, else the first of the usual ones that exists.
fn config(
    product: &Product,
    view: &Root,
    options: &Options,
    home: Option<&str>,
    cwd: Option<&str>,
) -> (Option<String>, bool) {
    let exists = |path: &str| view.metadata(path).is_ok_and(|metadata| metadata.is_file());
    if options.all().iter().any(|arg| arg == NO_CONFIG) {
        return (None, true);
    }
    let bases: Vec<&str> = [home, cwd].into_iter().flatten().collect();
    let below = |path: &str| -> Vec<String> {
        if path.starts_with('/') {
            return vec![path.to_owned()];
        }
        bases.iter().map(|base| version::below(base, path)).collect()
    };
    let named = options.value(product.config_options).or_else(|| {
        let first = options.all().get(1).filter(|_| product.config_options.contains(&super::FIRST_ARGUMENT))?;
        // A title in place of the arguments, such as Redis', names no file.
        below(first).into_iter().any(|path| exists(&path)).then_some(first)
    });
    match named {
        // As it is written where nothing can be seen of it.
        Some(path) => (below(path).into_iter().find(|path| exists(path)).or_else(|| absolute_only(path)), true),
        None => {
            let usual = product.config_paths.iter().flat_map(|path| match (path.strip_prefix("./"), cwd) {
                (Some(path), Some(cwd)) => vec![version::below(cwd, path)],
                (Some(_), None) => Vec::new(),
                (None, _) => below(path),
            });
            (usual.into_iter().find(|path| exists(path)), false)
        }
    }
}

fn absolute_only(path: &str) -> Option<String> {
    path.starts_with('/').then(|| path.to_owned())
}

fn absolute(path: &str, cwd: Option<&str>) -> String {
    version::below(cwd.unwrap_or("/"), path).trim_end_matches('/').to_owned()
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

/// The folder of an installation apart: `/opt/x` of `/opt/x/bin/x`. Those of the system hold everything and are none.
fn installed_in(exe: &str) -> Option<&str> {
    let folder = parent(exe)?;
    let home = match folder.rsplit_once('/') {
        Some((home, "bin" | "sbin")) => home,
        _ => folder,
    };
    (!["", "/", "/usr", "/usr/local", "/usr/lib", "/usr/libexec"].contains(&home)).then_some(home)
}
