//! dpkg's database: `status`, the journal of a run under way in `updates`, and the `status.d` of images without dpkg.

use std::collections::BTreeMap;
use std::io;

use chrono::{DateTime, Utc};

use super::stanza::{self, Stanza};
use super::{ARCHITECTURE_CAP, PURL_CAP, PackageKind, SystemPackage, TEXT_CAP};
use crate::class::{ClassSnapshot, purl};
use crate::machine::Machine;
use crate::text::Fields;
use crate::{ReadError, Root};

const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_D: &str = "/var/lib/dpkg/status.d";
const UPDATES: &str = "/var/lib/dpkg/updates";
const INFO: &str = "/var/lib/dpkg/info";

/// States in which all files of a package are on the disk, whatever the administrator wants to happen next. Those
/// left out have none (`config-files`, `not-installed`) or an unknown part of them (`half-installed`).
const ON_DISK: [&[u8]; 5] = [b"installed", b"triggers-pending", b"triggers-awaited", b"half-configured", b"unpacked"];

type Packages = BTreeMap<(String, String), Option<SystemPackage>>;

pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Vec<SystemPackage>, ReadError> {
    let distribution = purl::Distribution::of(&Machine::operating_system(root));
    let mut packages = Packages::new();
    let mut add = |path: &str, bytes: &[u8], replace: bool| {
        for stanza in stanza::parse(bytes) {
            match package(&stanza, &distribution) {
                Err(reason) => snapshot.skip(path, stanza.line, reason),
                Ok((key, _)) if !replace && packages.contains_key(&key) => {
                    snapshot.skip(path, stanza.line, "the package stands there before");
                }
                Ok((key, package)) => {
                    packages.insert(key, package);
                }
            }
        }
    };

    let status = match root.read(STATUS) {
        Ok(bytes) => {
            add(STATUS, &bytes, false);
            Ok(bytes.len())
        }
        Err(e @ ReadError::Missing { .. }) => Err(e),
        Err(e) => return Err(e),
    };
    // Numbered files in their order; each holds stanzas that take the place of those in `status`.
    for name in list(root, UPDATES)?.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let path = format!("{UPDATES}/{name}");
        match root.read(&path) {
            Ok(bytes) => add(&path, &bytes, true),
            // Folded into `status` since the directory was listed.
            Err(ReadError::Missing { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    let parts = list(root, STATUS_D)?;
    for name in parts.iter().filter(|name| !name.ends_with(".md5sums")) {
        let path = format!("{STATUS_D}/{name}");
        add(&path, &root.read(&path)?, false);
    }

    match status {
        Err(missing) if parts.is_empty() => return Err(missing),
        // A torn write leaves an empty file or one of zeros; a database that never held a package is no database.
        Ok(_) if packages.is_empty() => {
            return Err(ReadError::of(STATUS, io::Error::new(io::ErrorKind::InvalidData, "the file holds no package")));
        }
        _ => {}
    }
    let mut items: Vec<SystemPackage> = packages.into_values().flatten().collect();
    install_times(root, &mut items);
    Ok(items)
}

/// A directory that need not be there.
fn list(root: &Root, path: &str) -> Result<Vec<String>, ReadError> {
    match root.list(path) {
        Err(ReadError::Missing { .. }) => Ok(Vec::new()),
        other => other,
    }
}

/// The key of a stanza, and its package when the files are on the disk.
fn package(
    stanza: &Stanza<'_>,
    distribution: &purl::Distribution,
) -> Result<((String, String), Option<SystemPackage>), &'static str> {
    if stanza.package.is_empty() {
        return Err("no package name");
    }
    let mut fields = Fields::default();
    let name = fields.text("name", stanza.package, TEXT_CAP);
    let architecture = fields.text("architecture", stanza.architecture, ARCHITECTURE_CAP);
    let key = (name.clone(), architecture.clone());
    // `Status: want error state`; images with a `status.d` leave the line out.
    let state = match stanza.status {
        None => &b"installed"[..],
        Some(status) => status.split(|&byte| byte == b' ').rfind(|word| !word.is_empty()).ok_or("malformed status")?,
    };
    if !ON_DISK.contains(&state) {
        return Ok((key, None));
    }
    if stanza.version.is_empty() {
        return Err("no version");
    }
    let version = fields.text("version", stanza.version, TEXT_CAP);
    let (source, source_version) = source(stanza.source);
    let source = if source.is_empty() { name.clone() } else { fields.text("source", source, TEXT_CAP) };
    let source_version = if source_version.is_empty() {
        version.clone()
    } else {
        fields.text("source_version", source_version, TEXT_CAP)
    };
    let maintainer = (!stanza.maintainer.is_empty()).then(|| fields.text("maintainer", stanza.maintainer, TEXT_CAP));
    let description =
        (!stanza.description.is_empty()).then(|| fields.text("description", stanza.description, TEXT_CAP));
    let mut purl = distribution.deb(&name, &version, &architecture);
    if crate::text::cap(&mut purl, PURL_CAP) {
        fields.truncated.push("purl".to_owned());
    }
    let package = SystemPackage {
        kind: PackageKind::Dpkg,
        purl,
        status: String::from_utf8_lossy(state).into_owned(),
        name,
        version,
        architecture,
        source,
        source_version,
        maintainer,
        description,
        path: None,
        install_time: None,
        escaped: fields.escaped,
        truncated: fields.truncated,
    };
    Ok((key, Some(package)))
}

/// `glibc (2.36-9)` is a name and a version; the version is there when it differs from the package's.
fn source(field: &[u8]) -> (&[u8], &[u8]) {
    match field.iter().position(|&byte| byte == b'(') {
        Some(at) => {
            (field[..at].trim_ascii(), field[at + 1..].strip_suffix(b")").unwrap_or(&field[at + 1..]).trim_ascii())
        }
        None => (field, &[]),
    }
}

/// dpkg keeps no time; the list of a package's files is written anew with each installation of it. Packages of
/// several architectures at once carry theirs in the file's name.
fn install_times(root: &Root, packages: &mut [SystemPackage]) {
    for package in packages {
        let names = [format!("{}:{}", package.name, package.architecture), package.name.clone()];
        let written = names.iter().find_map(|name| root.metadata(&format!("{INFO}/{name}.list")).ok()?.modified().ok());
        package.install_time = written.map(|time| {
            let time = DateTime::<Utc>::from(time);
            DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
        });
    }
}
