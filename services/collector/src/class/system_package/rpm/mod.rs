//! rpm's database, in the forms of SQLite and of SUSE; the old form of Berkeley DB is told, not read.

mod header;
mod ndb;
mod sqlite;

use std::collections::BTreeMap;
use std::io;

use chrono::DateTime;

use self::header::Header;
use super::{ARCHITECTURE_CAP, PURL_CAP, PackageKind, SystemPackage, TEXT_CAP};
use crate::class::{ClassSnapshot, purl};
use crate::machine::Machine;
use crate::text::{self, Fields};
use crate::{ReadError, Root};

const FOLDERS: [&str; 3] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm"];
const SQLITE: &str = "rpmdb.sqlite";
const NDB: &str = "Packages.db";
const BERKELEY: &str = "Packages";

/// Keys that rpm keeps as if they were packages.
const KEYS: &[u8] = b"gpg-pubkey";

type Packages = BTreeMap<(String, String, String), SystemPackage>;

/// What there is of rpm on a host.
pub(super) enum Found {
    /// No database.
    Nothing,
    /// A database in a form that is not read, and its path.
    Unknown(String),
    /// The packages, by name, architecture and version.
    Packages(Vec<SystemPackage>),
}

/// Reads the database, if there is one.
pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Found, ReadError> {
    for folder in FOLDERS {
        let database = |name: &str| {
            let path = format!("{folder}/{name}");
            match root.metadata(&path) {
                Ok(file) => Ok(file.is_file().then_some(path)),
                Err(ReadError::Missing { .. }) => Ok(None),
                Err(e) => Err(e),
            }
        };
        if let Some(path) = database(SQLITE)? {
            return packages(root, &path, snapshot, true).map(Found::Packages);
        }
        if let Some(path) = database(NDB)? {
            return packages(root, &path, snapshot, false).map(Found::Packages);
        }
        if let Some(path) = database(BERKELEY)? {
            return Ok(Found::Unknown(path));
        }
    }
    Ok(Found::Nothing)
}

fn packages(
    root: &Root,
    path: &str,
    snapshot: &mut ClassSnapshot,
    sqlite: bool,
) -> Result<Vec<SystemPackage>, ReadError> {
    let unreadable = |reason: String| ReadError::of(path, io::Error::new(io::ErrorKind::InvalidData, reason));
    let real = root.resolve(path).map_err(|e| ReadError::of(path, e))?;
    // Opened here once, so that what may not be read is told in the system's words.
    drop(root.open(path)?);
    let distribution = purl::Distribution::of(&Machine::operating_system(root));
    let found = std::cell::RefCell::new((Packages::new(), Vec::new()));
    let each = |number: i64, header: Option<&[u8]>| {
        let (packages, skipped) = &mut *found.borrow_mut();
        let line = usize::try_from(number).unwrap_or(0);
        let Some(bytes) = header else { return skipped.push((line, "a header that is too large or torn")) };
        let Some(header) = header::parse(bytes) else { return skipped.push((line, "a malformed header")) };
        if header.name == KEYS {
            return;
        }
        if header.version.is_empty() {
            return skipped.push((line, "no version"));
        }
        let package = package(&header, &distribution);
        let key = (package.name.clone(), package.architecture.clone(), package.version.clone());
        if packages.contains_key(&key) {
            return skipped.push((line, "the package stands there before"));
        }
        packages.insert(key, package);
    };
    if sqlite {
        sqlite::read(&real, each, || *found.borrow_mut() = (Packages::new(), Vec::new())).map_err(unreadable)?;
    } else {
        ndb::read(&real, each).map_err(unreadable)?;
    }
    let (packages, skipped) = found.into_inner();
    for (line, reason) in skipped {
        snapshot.skip(path, line, reason);
    }
    Ok(packages.into_values().collect())
}

fn package(header: &Header<'_>, distribution: &purl::Distribution) -> SystemPackage {
    let mut fields = Fields::default();
    let name = fields.text("name", header.name, TEXT_CAP);
    let version = evr(header.epoch, header.version, header.release);
    let version = fields.text("version", &version, TEXT_CAP);
    let architecture = fields.text("architecture", header.architecture, ARCHITECTURE_CAP);
    let (source, source_version) = source(header.source);
    let source = if source.is_empty() { name.clone() } else { fields.text("source", source, TEXT_CAP) };
    let source_version = match source_version {
        [] => version.clone(),
        // The epoch is not in the file's name; a source and its packages share it.
        plain => fields.text("source_version", &evr(header.epoch, plain, b""), TEXT_CAP),
    };
    let maintainer = [header.packager, header.vendor].into_iter().find(|text| !text.is_empty());
    let maintainer = maintainer.map(|text| fields.text("maintainer", text, TEXT_CAP));
    let mut purl = distribution.rpm(&name, &version, &architecture);
    if text::cap(&mut purl, PURL_CAP) {
        fields.truncated.push("purl".to_owned());
    }
    SystemPackage {
        kind: PackageKind::Rpm,
        name,
        version,
        architecture,
        source,
        source_version,
        maintainer,
        install_time: header.install_time.and_then(|time| DateTime::from_timestamp(i64::from(time), 0)),
        status: "installed".to_owned(),
        purl,
        escaped: fields.escaped,
        truncated: fields.truncated,
    }
}

/// `epoch:version-release`, without an epoch of 0 or a release where there is none.
fn evr(epoch: Option<u32>, version: &[u8], release: &[u8]) -> Vec<u8> {
    let mut evr = match epoch {
        Some(epoch) if epoch > 0 => format!("{epoch}:").into_bytes(),
        _ => Vec::new(),
    };
    evr.extend_from_slice(version);
    if !release.is_empty() {
        evr.push(b'-');
        evr.extend_from_slice(release);
    }
    evr
}

/// `glibc-2.34-60.el9.src.rpm` is a name and a version.
fn source(file: &[u8]) -> (&[u8], &[u8]) {
    let Some(stem) = file.strip_suffix(b".src.rpm").or_else(|| file.strip_suffix(b".nosrc.rpm")) else {
        return (b"", b"");
    };
    let mut dashes = stem.iter().enumerate().rev().filter(|(_, byte)| **byte == b'-').map(|(at, _)| at);
    match dashes.nth(1) {
        Some(at) => (&stem[..at], &stem[at + 1..]),
        None => (stem, b""),
    }
}
