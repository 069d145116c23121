//! Who a process runs as: the names that its own file tree gives to its user and its group.
//!
//! A container has accounts of its own, and perhaps numbers of its own (a user namespace). What is chrooted on the host
//! without accounts of its own has the host's; inside a container it has those of the container.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::class::Names;
use crate::process::Process;
use crate::{Host, Root};

const ACCOUNTS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// So much is read of a file of accounts that is not the host's, and of all of them together.
const FILE_CAP: usize = 256 << 10;
const BUDGET: usize = 8 << 20;

/// A file tree that processes see: its root folder in its mount namespace.
type Tree = (u64, u64, Option<PathBuf>);

/// The names of all file trees that processes see, each read once.
#[derive(Debug)]
pub(crate) struct People {
    trees: RefCell<HashMap<Tree, Option<Rc<Names>>>>,
    containers: RefCell<HashMap<String, Option<Rc<Names>>>>,
    left: Cell<usize>,
    are_read: Cell<bool>,
    is_short: Cell<bool>,
}

impl Default for People {
    fn default() -> Self {
        People {
            trees: RefCell::default(),
            containers: RefCell::default(),
            left: Cell::new(BUDGET),
            are_read: Cell::new(false),
            is_short: Cell::new(false),
        }
    }
}

/// What names the user and the group of a process.
#[derive(Debug)]
pub(crate) struct Person {
    /// None where nothing can be read: numbers have no names.
    names: Option<Rc<Names>>,
    users: Numbers,
    groups: Numbers,
}

impl People {
    /// Who a process runs as.
    pub(crate) fn of(&self, host: &Host<'_>, process: &Process) -> Person {
        let hosts_own =
            || Person { names: Some(Rc::clone(host.names())), users: Numbers::same(), groups: Numbers::same() };
        let tree = tree(host.root(), process.pid);
        if !matches!(tree, Some((_, None))) && !self.are_read.replace(true) {
            self.read_all(host);
        }
        let own = match &tree {
            Some((_, None)) => return hosts_own(),
            Some((tree, Some(view))) => self.of_tree(tree, view),
            None => None,
        };
        let names = match (own, &process.container) {
            (None, None) => return hosts_own(),
            (None, Some(container)) => self.of_container(host, &container.id),
            (own, _) => own,
        };
        let numbers = |kind: &str| Numbers::read(host.root(), &format!("/proc/{}/{kind}_map", process.pid));
        Person { names, users: numbers("uid"), groups: numbers("gid") }
    }

    /// What of all names was not read, as far as they were asked for.
    pub(crate) fn unread(&self) -> Option<String> {
        self.is_short.get().then(|| "names of accounts of containers (too many)".to_owned())
    }

    /// Reads the names of all trees, those of containers first and by their ids: who gets a name goes by no number of a
    /// process, and what runs beside the containers takes them from none.
    fn read_all(&self, host: &Host<'_>) {
        let Ok(processes) = host.processes() else { return };
        let mut all: Vec<&Process> = processes.iter().filter(|process| !process.is_kernel).collect();
        all.sort_by_key(|process| {
            let container = process.container.as_ref().map(|container| &container.id);
            (container.is_none(), container, process.pid)
        });
        for process in all {
            if let Some((tree, Some(view))) = tree(host.root(), process.pid) {
                self.of_tree(&tree, &view);
            }
        }
    }

    /// The names of a tree; none where it has no accounts.
    fn of_tree(&self, tree: &Tree, view: &Root) -> Option<Rc<Names>> {
        if let Some(known) = self.trees.borrow().get(tree) {
            return known.clone();
        }
        let size = view.metadata(ACCOUNTS).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
        let names = size.and_then(|_| {
            let cap = FILE_CAP.min(self.left.get() / 2);
            let is_cut = |path: &str| view.metadata(path).is_ok_and(|file| file.len() > cap as u64);
            self.is_short.set(self.is_short.get() || (cap < FILE_CAP && (is_cut(ACCOUNTS) || is_cut(GROUPS))));
            let (names, read) = Names::read_head(view, cap);
            self.left.set(self.left.get().saturating_sub(read));
            (read > 0).then(|| Rc::new(names))
        });
        self.trees.borrow_mut().insert(tree.clone(), names.clone());
        names
    }

    /// The names of the first process of a container that sees some.
    fn of_container(&self, host: &Host<'_>, id: &str) -> Option<Rc<Names>> {
        if let Some(known) = self.containers.borrow().get(id) {
            return known.clone();
        }
        let is_inside = |process: &&Process| process.container.as_ref().is_some_and(|container| container.id == id);
        let mut inside = host.processes().into_iter().flat_map(|all| all.iter()).filter(is_inside);
        let names = inside.find_map(|process| match tree(host.root(), process.pid)? {
            (tree, Some(view)) => self.of_tree(&tree, &view),
            (_, None) => Some(Rc::clone(host.names())),
        });
        self.containers.borrow_mut().insert(id.to_owned(), names.clone());
        names
    }
}

impl Person {
    /// The name of a user; where it has none, its number on the host.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.name(uid, &self.users, Names::user_name)
    }

    /// The name of a group; where it has none, its number on the host.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.name(gid, &self.groups, Names::group_name)
    }

    fn name(&self, id: u32, numbers: &Numbers, name: impl Fn(&Names, u32) -> Option<&str>) -> String {
        let named = self.names.as_ref().zip(numbers.inside(id)).and_then(|(names, id)| name(names, id));
        named.map_or_else(|| id.to_string(), str::to_owned)
    }
}

/// The file tree of a process, and the way to it where it is not the host's; none where it may not be seen.
fn tree(root: &Root, pid: u32) -> Option<(Tree, Option<Root>)> {
    let process = root.resolve(&format!("/proc/{pid}")).ok()?;
    let own = process.join("root");
    let (theirs, ours) = (std::fs::metadata(own.join(".")).ok()?, root.metadata("/").ok()?);
    if !theirs.is_dir() {
        return None;
    }
    let folder = (theirs.dev(), theirs.ino());
    if folder == (ours.dev(), ours.ino()) {
        return Some(((folder.0, folder.1, None), None));
    }
    let namespace = std::fs::read_link(process.join("ns/mnt")).ok();
    Some(((folder.0, folder.1, namespace), Some(Root::of_process(own))))
}

/// Which numbers of a user namespace stand for which of the host: first inside, first outside, how many.
#[derive(Debug)]
struct Numbers(Vec<(u32, u32, u32)>);

impl Numbers {
    fn same() -> Self {
        Numbers(vec![(0, 0, u32::MAX)])
    }

    /// Reads `uid_map` or `gid_map`; without one the numbers are the same.
    fn read(root: &Root, path: &str) -> Self {
        match root.read(path) {
            Ok(bytes) => Numbers(String::from_utf8_lossy(&bytes).lines().filter_map(range).collect()),
            Err(_) => Numbers::same(),
        }
    }

    /// The number inside; none where it has none there.
    fn inside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|&(inside, outside, count)| {
            let nth = id.checked_sub(outside).filter(|&nth| nth < count)?;
            inside.checked_add(nth)
        })
    }
}

fn range(line: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_user_namespace_are_told_inside() {
        let numbers = Numbers(
            "         0       1000          1\n         1     100000      65536\ntorn\n"
                .lines()
                .filter_map(range)
                .collect(),
        );
        assert_eq!([1000, 100_000, 100_998].map(|id| numbers.inside(id)), [Some(0), Some(1), Some(999)]);
        assert_eq!([0, 999, 1001, 165_536].map(|id| numbers.inside(id)), [None; 4]);
        assert_eq!(Numbers::same().inside(7), Some(7));
    }
}
