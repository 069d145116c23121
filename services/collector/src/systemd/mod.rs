//! systemd's units, as its own tools see them on a host that does not run: where units lie, which file counts, what is
//! enabled, and what starts with the machine. Startup services and scheduled tasks are made of it.

mod file;
mod reach;
mod state;
mod users;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::{ReadError, Root};

pub(crate) use file::Settings;
pub(crate) use users::{UserUnits, Whose};

/// Where units lie, the one that counts first.
const SEARCH_PATH: [(&str, Place); 13] = [
    ("/etc/systemd/system.control", Place::Other),
    ("/run/systemd/system.control", Place::Runtime),
    ("/run/systemd/transient", Place::Transient),
    ("/run/systemd/generator.early", Place::Generated),
    ("/etc/systemd/system", Place::Configuration),
    ("/etc/systemd/system.attached", Place::Other),
    ("/run/systemd/system", Place::Runtime),
    ("/run/systemd/system.attached", Place::Runtime),
    ("/run/systemd/generator", Place::Generated),
    ("/usr/local/lib/systemd/system", Place::Other),
    ("/lib/systemd/system", Place::Other),
    ("/usr/lib/systemd/system", Place::Other),
    ("/run/systemd/generator.late", Place::Generated),
];

/// What a name may end in to be a unit's.
const TYPES: [&str; 11] =
    ["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"];

/// Unit files are small; what is longer is no unit.
const UNIT_CAP: usize = 1 << 20;
/// Of each folder so many entries are looked at, the first by name; of the folders in one so many times that together, and
/// so many times that are listed to find the first.
const ENTRY_CAP: usize = 50_000;
const INNER: usize = 5;
const LISTED: usize = 100;
/// What opening a file costs as bytes, however short it is.
const OPEN_COST: usize = 1 << 10;

/// What a folder of the search path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The administrator's.
    Configuration,
    /// Gone with the next start.
    Runtime,
    /// Made by a running systemd for one run.
    Transient,
    /// Made at the start out of other files.
    Generated,
    /// The distribution's, and all else.
    Other,
}

impl Place {
    fn is_runtime(self) -> bool {
        matches!(self, Place::Runtime | Place::Transient | Place::Generated)
    }
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    File,
    /// With its target as it is written.
    Link(String),
}

/// A folder of the search path.
#[derive(Debug)]
struct Folder {
    path: String,
    place: Place,
    units: BTreeMap<String, Entry>,
    /// `X.wants` and `X.requires`: the name, and the names of the links in it.
    pulls: Vec<(String, Vec<String>)>,
    /// `X.d`: the names of the drop-ins in it, sorted.
    drop_ins: BTreeMap<String, Vec<String>>,
    /// Whether it, or a folder in it, holds more than was looked at.
    is_cut: bool,
}

/// A unit file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitFile {
    /// Its name.
    pub(crate) name: String,
    /// Its path, as seen from the root.
    pub(crate) path: String,
    /// Its state, in systemd's words.
    pub(crate) state: &'static str,
}

/// All units of one manager: the system's, or a user's.
#[derive(Debug)]
pub(crate) struct Units<'a> {
    root: &'a Root,
    folders: Vec<Rc<Folder>>,
    /// So many of the folders are its own, the first; those behind them are shared with other managers.
    own: usize,
    is_system: bool,
    /// How many bytes of unit files may still be read: of its own, and of all managers' that share it.
    left: Cell<usize>,
    all_left: Rc<Cell<usize>>,
    /// What was read of drop-ins, as several units have them.
    texts: RefCell<BTreeMap<String, Option<Rc<[u8]>>>>,
}

impl<'a> Units<'a> {
    /// Lists the units below a root; none when there is no folder of units.
    pub(crate) fn read(root: &'a Root) -> Result<Option<Self>, ReadError> {
        let mut folders: Vec<Rc<Folder>> = Vec::new();
        let mut seen = BTreeSet::new();
        for (path, place) in SEARCH_PATH {
            let real = root.resolve(path).and_then(std::fs::canonicalize);
            // `/lib` is `/usr/lib` on most hosts: the later name is the one that their tools print.
            let is_later = path == "/lib/systemd/system"
                && real.as_ref().ok()
                    == root.resolve("/usr/lib/systemd/system").and_then(std::fs::canonicalize).ok().as_ref();
            if is_later || real.is_ok_and(|real| !seen.insert(real)) {
                continue;
            }
            match Folder::read(root, path.to_owned(), place, ENTRY_CAP) {
                Ok(folder) => folders.push(Rc::new(folder)),
                Err(ReadError::Missing { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let (own, left) = (folders.len(), Cell::new(usize::MAX));
        let has_units = folders.iter().any(|folder| !folder.units.is_empty());
        let all_left = Rc::new(left.clone());
        Ok(has_units.then_some(Units {
            root,
            folders,
            own,
            is_system: true,
            left,
            all_left,
            texts: RefCell::default(),
        }))
    }

    /// The unit files that count, by name, and the instances of templates that are enabled. Of files that are shared with
    /// other managers only those that this one enables, each by the link that does so.
    pub(crate) fn files(&self) -> Vec<UnitFile> {
        let own = &self.folders[..self.own];
        let names: BTreeSet<&String> = own.iter().flat_map(|folder| folder.units.keys()).collect();
        let mut files: Vec<UnitFile> = names.iter().filter_map(|name| self.file(name)).collect();
        let mut pulled: BTreeMap<&String, String> = BTreeMap::new();
        for folder in own {
            for (owner, links) in &folder.pulls {
                for link in links.iter().filter(|link| !names.contains(link)) {
                    pulled.entry(link).or_insert_with(|| format!("{}/{owner}/{link}", folder.path));
                }
            }
        }
        for (name, link) in pulled {
            let Some((path, at)) = self.find(name) else { continue };
            let path = if at < self.own { path } else { link };
            files.push(UnitFile { name: name.clone(), path, state: "enabled" });
        }
        files
    }

    /// The file that counts for a name, its own or its template's, and the folder it lies in.
    fn find(&self, name: &str) -> Option<(String, usize)> {
        let own = |name: &str| {
            let at = self.folders.iter().position(|folder| folder.units.contains_key(name))?;
            Some((format!("{}/{name}", self.folders[at].path), at))
        };
        own(name).or_else(|| own(&template(name)?))
    }

    /// The settings of a unit: its file's and its drop-ins'. None where they cannot be read.
    pub(crate) fn settings(&self, name: &str) -> Option<Settings> {
        let (path, _) = self.find(name)?;
        let mut settings = Settings::parse(&self.text(&path)?);
        for path in self.drop_ins(name) {
            if let Some(bytes) = self.drop_in(path) {
                settings.add(&bytes);
            }
        }
        Some(settings)
    }

    fn text(&self, path: &str) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let cap = self.left.get().min(self.all_left.get()).min(UNIT_CAP);
        (cap > 0).then(|| self.spend(OPEN_COST))?;
        let mut bytes = Vec::new();
        self.root.open(path).ok()?.take(cap as u64).read_to_end(&mut bytes).ok()?;
        self.spend(bytes.len());
        Some(bytes)
    }

    fn spend(&self, bytes: usize) {
        [&self.left, &*self.all_left].into_iter().for_each(|left| left.set(left.get().saturating_sub(bytes)));
    }

    /// The text of a drop-in; each use of it counts as read.
    fn drop_in(&self, path: String) -> Option<Rc<[u8]>> {
        if let Some(known) = self.texts.borrow().get(&path) {
            self.spend(known.as_ref().map_or(0, |bytes| bytes.len()));
            return known.clone().filter(|_| self.left.get().min(self.all_left.get()) > 0);
        }
        let bytes = self.text(&path).map(Rc::from);
        self.texts.borrow_mut().insert(path, bytes.clone());
        bytes
    }

    /// The drop-ins of a unit in the order in which they count: by file name, whatever folder they lie in; of one name
    /// the first in the search path, and the unit's own before those of its template, its prefix and its type.
    fn drop_ins(&self, name: &str) -> Vec<String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for owner in owners(name) {
            let directory = format!("{owner}.d");
            for folder in &self.folders {
                for file in folder.drop_ins.get(&directory).into_iter().flatten() {
                    found.entry(file.clone()).or_insert_with(|| format!("{}/{directory}/{file}", folder.path));
                }
            }
        }
        found.into_values().collect()
    }

    /// The unit that a name stands for, after its aliases.
    pub(crate) fn real_name(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..8 {
            let entry = self.folders.iter().find_map(|folder| folder.units.get(&name));
            match entry {
                Some(Entry::Link(target)) if base(target) != name && is_unit(base(target)) => {
                    let target = base(target).to_owned();
                    // An alias of an instance to a template is the template's instance of the same name.
                    name = match (instance(&name), template_mark(&target)) {
                        (Some(instance), true) => target.replacen("@.", &format!("@{instance}."), 1),
                        _ => target,
                    };
                }
                _ => break,
            }
        }
        name
    }
}

impl Folder {
    /// Reads a folder, of it and of each in it at most so many entries, and of those in it a few times that together.
    fn read(root: &Root, path: String, place: Place, cap: usize) -> Result<Self, ReadError> {
        let (entries_of_it, is_cut) = entries(root, &path, cap)?;
        let (units, drop_ins) = (BTreeMap::new(), BTreeMap::new());
        let mut left = INNER * cap;
        let mut folder = Folder { path, place, units, pulls: Vec::new(), drop_ins, is_cut };
        for (name, entry) in entries_of_it {
            if let Some(entry) = entry {
                if is_unit(&name) {
                    folder.units.insert(name, entry);
                }
                continue;
            }
            let pulls = name.ends_with(".wants") || name.ends_with(".requires");
            if !pulls && !name.ends_with(".d") {
                continue;
            }
            let inner = entries(root, &format!("{}/{name}", folder.path), cap.min(left));
            let (inner, is_cut) = inner.unwrap_or_default();
            folder.is_cut |= is_cut;
            left -= inner.len();
            if pulls {
                let links =
                    inner.into_iter().filter(|(link, entry)| matches!(entry, Some(Entry::Link(_))) && is_unit(link));
                folder.pulls.push((name, links.map(|(link, _)| link).collect()));
            } else {
                let files = inner.into_iter().filter(|(file, entry)| entry.is_some() && file.ends_with(".conf"));
                folder.drop_ins.insert(name, files.map(|(file, _)| file).collect());
            }
        }
        Ok(folder)
    }
}

type Entries = Vec<(String, Option<Entry>)>;

/// The first entries of a folder by name, links not followed, and whether it has more than so many; a folder in it has no
/// entry. Hidden names and copies are left out.
fn entries(root: &Root, path: &str, cap: usize) -> Result<(Entries, bool), ReadError> {
    let read = || {
        let (mut found, mut first, mut is_cut) = (Vec::new(), BTreeMap::new(), false);
        let mut folder = std::fs::read_dir(root.resolve(path)?)?;
        for entry in folder.by_ref().take(cap.saturating_mul(LISTED)) {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            first.insert(name, entry);
            if first.len() > cap {
                first.pop_last();
                is_cut = true;
            }
        }
        for (name, entry) in first {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                found.push((name, None));
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path())?;
                found.push((name, Some(Entry::Link(target.to_string_lossy().into_owned()))));
            } else if kind.is_file() {
                found.push((name, Some(Entry::File)));
            }
        }
        Ok((found, is_cut || folder.next().is_some()))
    };
    read().map_err(|e| ReadError::of(path, e))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// True for the name of a unit.
fn is_unit(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    !stem.is_empty() && !stem.starts_with('@') && name.len() <= 255 && TYPES.contains(&kind) && stem.chars().all(valid)
}

/// `getty@.service` of `getty@tty1.service`; none for a name that is no instance.
pub(crate) fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

/// The instance in a name.
pub(crate) fn instance(name: &str) -> Option<&str> {
    let (instance, _) = name.split_once('@')?.1.rsplit_once('.')?;
    (!instance.is_empty()).then_some(instance)
}

/// True for the name of a template.
pub(crate) fn template_mark(name: &str) -> bool {
    name.contains("@.")
}

/// Whose drop-ins a unit takes, its own first: its template's, those of its prefixes (`a-b-.service` of
/// `a-b-c.service`), those of its type.
fn owners(name: &str) -> Vec<String> {
    let mut owners = vec![name.to_owned()];
    owners.extend(template(name));
    if let Some((stem, kind)) = name.rsplit_once('.') {
        let prefix = stem.split_once('@').map_or(stem, |(prefix, _)| prefix);
        let dashes = prefix.char_indices().filter(|&(at, c)| c == '-' && at + 1 < prefix.len());
        let mut prefixes: Vec<String> = dashes.map(|(at, _)| format!("{}.{kind}", &prefix[..=at])).collect();
        prefixes.reverse();
        owners.extend(prefixes);
        owners.push(kind.to_owned());
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_templates_and_instances_are_told_apart() {
        assert!(is_unit("a-b@c\\x2d.service") && is_unit("-.mount"));
        assert!(!is_unit("README") && !is_unit("a.wants") && !is_unit(".service") && !is_unit("a b.service"));
        assert_eq!(template("getty@tty1.service").as_deref(), Some("getty@.service"));
        assert_eq!((template("getty@.service"), template("a.service")), (None, None));
        assert_eq!(
            owners("a-b-c@x.service"),
            ["a-b-c@x.service", "a-b-c@.service", "a-b-.service", "a-.service", "service"]
        );
    }
}
