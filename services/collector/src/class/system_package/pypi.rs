//! Distributions of Python: what pip and the like installed. What a package manager of the system owns is left out, since
//! it is there already, under that manager's own version.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Owners, PURL_CAP, PackageKind, SystemPackage, TEXT_CAP};
use crate::class::python::Folders;
use crate::class::{ClassSnapshot, purl};
use crate::text::{self, Fields};
use crate::{Host, ReadError, Root};

const PATH_CAP: usize = 4_096;
/// The fields that are wanted come first in a file, before its long description.
const HEAD_CAP: usize = 16 << 10;
/// Distributions that are looked at.
const COUNT_CAP: usize = 30_000;

/// Below these the system's package manager installs; what it owns is its own only where its lists of files say so.
const SYSTEMS: [&str; 2] = ["/usr/lib", "/lib"];
/// Databases of managers whose lists are not read: apk's and pacman's.
const OTHERS: [&str; 2] = ["/lib/apk/db/installed", "/var/lib/pacman/local"];
/// dpkg's lists of files.
const LISTS: &str = "/var/lib/dpkg/info";

type Packages = BTreeMap<(String, String, String), SystemPackage>;

/// The folder that holds a distribution, and the file that describes it.
struct Distribution {
    folder: String,
    metadata: String,
}

/// The fields of a description that are wanted, as bytes of the file; the first of a name counts.
#[derive(Debug, Default)]
struct Metadata<'a> {
    name: &'a [u8],
    version: &'a [u8],
    summary: &'a [u8],
}

/// Reads what there is, by name, version and folder; `managed` is what the package managers have, if there is one.
pub(super) fn read(
    host: &Host<'_>,
    managed: Option<&[SystemPackage]>,
    snapshot: &mut ClassSnapshot,
) -> Vec<SystemPackage> {
    let root = host.root();
    let mut folders = Folders::of_host(host);
    let distributions = distributions(root, &mut folders);
    let owners = Owners::find(root, &distributions.iter().map(|one| one.metadata.as_bytes()).collect::<BTreeSet<_>>());
    let are_owners_known = managed.is_some_and(|managed| are_listed(root, managed)) && owners.unread().is_empty();
    let mut left_out = BTreeSet::new();
    let mut packages = Packages::new();
    for Distribution { folder, metadata } in distributions {
        if owners.of(metadata.as_bytes()).is_some() {
            continue;
        }
        if !are_owners_known && SYSTEMS.iter().any(|system| folder.starts_with(system)) {
            left_out.insert(folder);
            continue;
        }
        match root.read_head(&metadata, HEAD_CAP) {
            Ok((head, _)) => match package(root, &folder, &metadata, &head) {
                Ok((key, _)) if packages.contains_key(&key) => {
                    snapshot.skip(&metadata, 0, "the distribution stands there before");
                }
                Ok((key, package)) => _ = packages.insert(key, package),
                Err(reason) => snapshot.skip(&metadata, 0, reason),
            },
            Err(ReadError::Missing { .. }) => snapshot.skip(&metadata, 0, "no metadata"),
            Err(e) => folders.complain(&e),
        }
    }
    let left_out = left_out.into_iter().map(|folder| format!("{folder} (perhaps the system's own packages)"));
    snapshot.unread_sources.extend(folders.unread.into_iter().chain(left_out));
    snapshot.unread_sources.extend_from_slice(owners.unread());
    packages.into_values().collect()
}

/// Whether the lists of files of all package managers are there.
fn are_listed(root: &Root, managed: &[SystemPackage]) -> bool {
    let is_there = |path: &str| root.metadata(path).is_ok();
    let has_dpkg = managed.iter().any(|package| package.kind == PackageKind::Dpkg);
    !OTHERS.iter().any(|path| is_there(path)) && (!has_dpkg || is_there(LISTS))
}

/// `name-1.dist-info` is a folder; `name-1.egg-info` a folder or, as distutils made it, a file.
fn distributions(root: &Root, folders: &mut Folders) -> Vec<Distribution> {
    let mut found = Vec::new();
    for folder in folders.found.clone() {
        for path in folders.all_in(root, &folder) {
            // What pip is about to remove begins with `~`.
            let is_left = path.rsplit('/').next().is_some_and(|name| name.starts_with(['~', '.']));
            let metadata = if is_left {
                continue;
            } else if path.ends_with(".dist-info") {
                format!("{path}/METADATA")
            } else if path.ends_with(".egg-info") {
                let is_file = root.metadata(&path).is_ok_and(|metadata| metadata.is_file());
                if is_file { path } else { format!("{path}/PKG-INFO") }
            } else {
                continue;
            };
            if found.len() >= COUNT_CAP {
                folders.unread.push(format!("{folder} (too many distributions)"));
                return found;
            }
            found.push(Distribution { folder: folder.clone(), metadata });
        }
    }
    found
}

/// The key of a distribution, and what is told of it.
fn package(
    root: &Root,
    folder: &str,
    metadata: &str,
    head: &[u8],
) -> Result<((String, String, String), SystemPackage), &'static str> {
    let Metadata { name, version, summary } = parse(head);
    let name = normalised(name).ok_or("no name, or a malformed one")?;
    if version.is_empty() {
        return Err("no version");
    }
    let mut fields = Fields::default();
    let version = fields.text("version", version, TEXT_CAP);
    let path = fields.text("path", folder.as_bytes(), PATH_CAP);
    // What older tools write where there is none.
    let description = (!summary.is_empty() && summary != b"UNKNOWN").then_some(summary);
    let description = description.map(|summary| fields.text("description", summary, TEXT_CAP));
    let mut purl = purl::pypi(&name, &version);
    if text::cap(&mut purl, PURL_CAP) {
        fields.truncated.push("purl".to_owned());
    }
    // The file is written by the installation.
    let written = root.metadata(metadata).ok().and_then(|file| file.modified().ok()).map(DateTime::<Utc>::from);
    let package = SystemPackage {
        kind: PackageKind::Pypi,
        source: name.clone(),
        source_version: version.clone(),
        architecture: String::new(),
        maintainer: None,
        description,
        install_time: written.and_then(|time| DateTime::from_timestamp(time.timestamp(), 0)),
        status: "installed".to_owned(),
        purl,
        escaped: fields.escaped,
        truncated: fields.truncated,
        name: name.clone(),
        version: version.clone(),
        path: Some(path.clone()),
    };
    Ok(((name, version, path), package))
}

/// Reads the fields before the first empty line.
fn parse(head: &[u8]) -> Metadata<'_> {
    let mut metadata = Metadata::default();
    for (_, line) in text::lines(head).take_while(|(_, line)| !line.trim_ascii().is_empty()) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let field = match key.to_ascii_lowercase().as_slice() {
            b"name" => &mut metadata.name,
            b"version" => &mut metadata.version,
            b"summary" => &mut metadata.summary,
            _ => continue,
        };
        if field.is_empty() {
            *field = value;
        }
    }
    metadata
}

/// A name in the one form in which PyPI compares names (PEP 503); none where it is no name.
fn normalised(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let has_ends = is_end(name.chars().next()) && is_end(name.chars().next_back());
    if name.len() > TEXT_CAP || !has_ends || !name.chars().all(is_inside) {
        return None;
    }
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    Some(words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for name in ["zope.interface", "Zope_Interface", "zope-.-interface", "ZOPE--INTERFACE"] {
            assert_eq!(normalised(name.as_bytes()).as_deref(), Some("zope-interface"), "{name}");
        }
        for name in [&b""[..], b"-a", b"a.", b"a b", b"a\xff", "ä".as_bytes(), &[b'a'; 256]] {
            assert_eq!(normalised(name), None, "{name:?}");
        }
    }
}
