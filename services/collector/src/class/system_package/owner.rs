//! Which package a file belongs to, by dpkg's lists of files and those in rpm's database.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::{dpkg, rpm};
use crate::Root;
use crate::class::{Class, ClassSnapshot};

const INFO: &str = "/var/lib/dpkg/info";
/// Folders that a merged system reaches by two paths; the lists may name either.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// A package that a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name.
    pub(crate) name: String,
    /// Its version; absent when the package stands in no database.
    pub(crate) version: Option<String>,
    /// What it is, in one line.
    pub(crate) description: Option<String>,
}

/// The packages of files that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    pub(super) found: HashMap<Vec<u8>, Owner>,
    pub(super) unread: Vec<String>,
}

impl Owners {
    /// Finds the packages of the paths wanted. Every list is read once.
    pub(crate) fn find(root: &Root, wanted: &BTreeSet<&[u8]>) -> Self {
        let mut owners = Owners::default();
        if wanted.is_empty() {
            return owners;
        }
        let spellings = spellings(root, wanted);
        owners.dpkg(root, &spellings);
        match rpm::owners(root, &spellings) {
            Ok(rpm) => {
                for (path, owner) in rpm.found {
                    owners.found.entry(path).or_insert(owner);
                }
                owners.unread.extend(rpm.unread);
            }
            Err(e) => owners.unread.push(e.to_string()),
        }
        owners
    }

    /// The package of a file; none where it belongs to none, or to one whose list could not be read.
    pub(crate) fn of(&self, path: &[u8]) -> Option<&Owner> {
        self.found.get(path)
    }

    /// The lists that could not be read.
    pub(crate) fn unread(&self) -> &[String] {
        &self.unread
    }

    fn dpkg(&mut self, root: &Root, spellings: &HashMap<Vec<u8>, &[u8]>) {
        let files = root.list(INFO).unwrap_or_else(|e| {
            self.unread.extend((!e.is_missing()).then(|| e.to_string()));
            Vec::new()
        });
        let (mut packages, mut torn) = (HashMap::new(), 0_usize);
        for file in files {
            let Some(package) = file.strip_suffix(".list") else { continue };
            let list = match root.read(&format!("{INFO}/{file}")) {
                Ok(list) => list,
                Err(e) => {
                    // Removed with its package since the folder was listed.
                    torn += usize::from(!e.is_missing());
                    continue;
                }
            };
            for line in list.split(|&byte| byte == b'\n') {
                if let Some(path) = spellings.get(line)
                    && let Entry::Vacant(entry) = packages.entry(path.to_vec())
                {
                    entry.insert(package.to_owned());
                }
            }
        }
        if torn > 0 {
            self.unread.push(format!("{INFO}/*.list of {torn} packages"));
        }
        if packages.is_empty() {
            return;
        }
        let mut known = self.known(root, &packages.values().map(String::as_str).collect());
        // Of packages with many of the files the owner is made once, and copied.
        let mut owner = |package: String| {
            let owner = known.entry(package).or_insert_with_key(|package| Owner {
                name: name(package).to_owned(),
                version: None,
                description: None,
            });
            owner.clone()
        };
        self.found = packages.into_iter().map(|(path, package)| (path, owner(package))).collect();
    }

    /// The packages of these lists as dpkg's database has them, by `name` or `name:architecture`, as the lists are named.
    fn known(&mut self, root: &Root, lists: &BTreeSet<&str>) -> HashMap<String, Owner> {
        let mut known = HashMap::new();
        let packages = dpkg::read(root, &mut ClassSnapshot::new(Class::SystemPackage));
        for package in packages.unwrap_or_else(|e| {
            self.unread.push(e.to_string());
            Vec::new()
        }) {
            let owner = Owner { name: package.name, version: Some(package.version), description: package.description };
            let list = format!("{}:{}", owner.name, package.architecture);
            if lists.contains(owner.name.as_str()) {
                known.entry(owner.name.clone()).or_insert_with(|| owner.clone());
            }
            if lists.contains(list.as_str()) {
                known.insert(list, owner);
            }
        }
        known
    }
}

/// The package's name in that of its list.
fn name(list: &str) -> &str {
    list.split(':').next().unwrap_or(list)
}

/// Every path as the lists may write it, and what was asked for.
fn spellings<'a>(root: &Root, wanted: &BTreeSet<&'a [u8]>) -> HashMap<Vec<u8>, &'a [u8]> {
    let merged: Vec<String> = MERGED
        .iter()
        .filter(|name| root.read_link(&format!("/{name}")).is_ok())
        .map(|name| format!("/usr/{name}/"))
        .collect();
    let mut spellings: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    for &path in wanted {
        spellings.insert(path.to_vec(), path);
        if merged.iter().any(|folder| path.starts_with(folder.as_bytes())) {
            spellings.insert(path["/usr".len()..].to_vec(), path);
        }
    }
    spellings
}
