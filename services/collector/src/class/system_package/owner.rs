//! Which package a file belongs to, by dpkg's lists of files and those in rpm's database.

use std::collections::{BTreeSet, HashMap};

use super::rpm;
use crate::Root;
use crate::class::Item;

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
}

/// Finds the packages of the paths wanted; a path of no package is not in the answer. Every list is read once.
pub(crate) fn owners(root: &Root, wanted: &BTreeSet<&[u8]>) -> HashMap<Vec<u8>, Owner> {
    let spellings = spellings(root, wanted);
    let mut found: HashMap<Vec<u8>, String> = HashMap::new();
    if spellings.is_empty() {
        return HashMap::new();
    }
    for file in root.list(INFO).unwrap_or_default() {
        let Some(package) = file.strip_suffix(".list") else { continue };
        let Ok(list) = root.read(&format!("{INFO}/{file}")) else { continue };
        for line in list.split(|&byte| byte == b'\n') {
            if let Some(path) = spellings.get(line) {
                found.entry(path.to_vec()).or_insert_with(|| package.to_owned());
            }
        }
    }
    let mut path = Vec::new();
    rpm::files(root, |package, [folder, name]| {
        path.clear();
        path.extend_from_slice(folder);
        path.extend_from_slice(name);
        if let Some(path) = spellings.get(&path) {
            let [name, architecture] = package.map(|text| crate::text::decode(text).0);
            let package = format!("{name}:{architecture}");
            found.entry(path.to_vec()).or_insert(package);
        }
    });
    if found.is_empty() {
        return HashMap::new();
    }
    let versions = versions(root);
    let owner = |package: String| {
        let name = package.split(':').next().unwrap_or(&package).to_owned();
        Owner { version: versions.get(&package).cloned(), name }
    };
    found.into_iter().map(|(path, package)| (path, owner(package))).collect()
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

/// Versions by `name` and by `name:architecture`, as the lists are named.
fn versions(root: &Root) -> HashMap<String, String> {
    let mut versions = HashMap::new();
    for item in super::read(root).items {
        if let Item::SystemPackage(package) = item {
            versions.insert(format!("{}:{}", package.name, package.architecture), package.version.clone());
            versions.entry(package.name).or_insert(package.version);
        }
    }
    versions
}
