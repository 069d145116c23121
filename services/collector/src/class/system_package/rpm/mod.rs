//! rpm's database, in the forms of SQLite, of SUSE and of Berkeley DB.

mod bdb;
mod header;
mod ndb;
mod sqlite;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;

use chrono::DateTime;

use self::header::Header;
use super::{ARCHITECTURE_CAP, Owner, Owners, PURL_CAP, PackageKind, SystemPackage, TEXT_CAP};
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
    /// The packages, by name, architecture and version.
    Packages(Vec<SystemPackage>),
}

/// The database's file and its form.
struct Database {
    path: String,
    form: Form,
}

/// How a database is kept.
#[derive(Clone, Copy)]
enum Form {
    Sqlite,
    Ndb,
    Berkeley,
}

/// Reads the database, if there is one.
pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Found, ReadError> {
    match database(root)? {
        None => Ok(Found::Nothing),
        Some(database) => packages(root, &database, snapshot).map(Found::Packages),
    }
}

/// Finds the packages that files belong to; `wanted` holds each path as lists may write it, with the path asked for.
pub(super) fn owners(root: &Root, wanted: &HashMap<Vec<u8>, &[u8]>) -> Result<Owners, ReadError> {
    let Some(database) = database(root)? else { return Ok(Owners::default()) };
    let found = RefCell::new((HashMap::new(), 0_usize));
    let each = |_, bytes: Option<&[u8]>| {
        let (owners, torn) = &mut *found.borrow_mut();
        let Some((bytes, header)) = bytes.and_then(|bytes| Some((bytes, header::parse(bytes)?))) else {
            *torn += 1;
            return;
        };
        let mut path = Vec::new();
        header::files(bytes, |folder, name| {
            path.clear();
            path.extend_from_slice(folder);
            path.extend_from_slice(name);
            if let Some(asked) = wanted.get(&path) {
                owners.entry(asked.to_vec()).or_insert_with(|| owner(&header));
            }
        });
    };
    headers(root, &database, each, || *found.borrow_mut() = (HashMap::new(), 0))?;
    let (found, torn) = found.into_inner();
    let unread = (torn > 0).then(|| format!("{}: {torn} headers", database.path));
    Ok(Owners { found, unread: unread.into_iter().collect() })
}

fn owner(header: &Header<'_>) -> Owner {
    let mut fields = Fields::default();
    let version = evr(header.epoch, header.version, header.release);
    let version = (!header.version.is_empty()).then(|| fields.text("version", &version, TEXT_CAP));
    let description = (!header.summary.is_empty()).then(|| fields.text("description", header.summary, TEXT_CAP));
    Owner { name: fields.text("name", header.name, TEXT_CAP), version, description }
}

fn database(root: &Root) -> Result<Option<Database>, ReadError> {
    for folder in FOLDERS {
        let database = |name: &str| {
            let path = format!("{folder}/{name}");
            match root.metadata(&path) {
                Ok(file) => Ok(file.is_file().then_some(path)),
                Err(ReadError::Missing { .. }) => Ok(None),
                Err(e) => Err(e),
            }
        };
        for (name, form) in [(SQLITE, Form::Sqlite), (NDB, Form::Ndb), (BERKELEY, Form::Berkeley)] {
            if let Some(path) = database(name)? {
                return Ok(Some(Database { path, form }));
            }
        }
    }
    Ok(None)
}

/// Gives every header to `each`; `restart` comes first, and again whenever all are read again.
fn headers(
    root: &Root,
    database: &Database,
    each: impl FnMut(i64, Option<&[u8]>),
    mut restart: impl FnMut(),
) -> Result<(), ReadError> {
    let path = &database.path;
    let unreadable = |reason: String| ReadError::of(path, io::Error::new(io::ErrorKind::InvalidData, reason));
    let real = root.resolve(path).map_err(|e| ReadError::of(path, e))?;
    // Opened here once, so that what may not be read is told in the system's words.
    drop(root.open(path)?);
    match database.form {
        Form::Sqlite => sqlite::read(&real, each, restart).map_err(unreadable),
        Form::Ndb => {
            restart();
            ndb::read(&real, each).map_err(unreadable)
        }
        Form::Berkeley => {
            restart();
            bdb::read(&real, each).map_err(unreadable)
        }
    }
}

fn packages(root: &Root, database: &Database, snapshot: &mut ClassSnapshot) -> Result<Vec<SystemPackage>, ReadError> {
    let distribution = purl::Distribution::of(&Machine::operating_system(root));
    let found = RefCell::new((Packages::new(), Vec::new()));
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
    headers(root, database, each, || *found.borrow_mut() = (Packages::new(), Vec::new()))?;
    let (packages, skipped) = found.into_inner();
    for (line, reason) in skipped {
        snapshot.skip(&database.path, line, reason);
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
    let description = (!header.summary.is_empty()).then(|| fields.text("description", header.summary, TEXT_CAP));
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
        description,
        path: None,
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
