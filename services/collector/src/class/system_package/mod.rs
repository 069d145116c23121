//! Packages of the system's package managers, dpkg and rpm, and distributions of Python. Another manager is one more file
//! here.

mod dpkg;
mod owner;
mod pypi;
mod rpm;
mod stanza;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::{Host, ReadError, Root};
pub(crate) use owner::{Owner, Owners};

const TEXT_CAP: usize = 255;
const ARCHITECTURE_CAP: usize = 63;
const PURL_CAP: usize = 1024;

/// The package manager that a package belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    /// Debian's and its descendants'.
    Dpkg,
    /// Red Hat's, SUSE's and their descendants'.
    Rpm,
    /// Python's: what pip and the like install.
    Pypi,
}

/// A package whose files are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemPackage {
    /// Its package manager.
    pub kind: PackageKind,
    /// The name; of Python as PyPI normalises it.
    pub name: String,
    /// The whole version, with epoch and revision.
    pub version: String,
    /// The architecture, such as `amd64` or `all`; empty for Python.
    pub architecture: String,
    /// The name of the source package, which vulnerability databases go by.
    pub source: String,
    /// The version of the source package.
    pub source_version: String,
    /// Who maintains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintainer: Option<String>,
    /// What it is, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was last installed or upgraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_time: Option<DateTime<Utc>>,
    /// The manager's own word for its state: `installed`, or a state in which the files are there but their
    /// set-up is not finished (`unpacked`, `half-configured`, `triggers-awaited`, `triggers-pending`).
    pub status: String,
    /// The folder that it is installed in; of Python alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The package URL.
    pub purl: String,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    match packages(host) {
        Ok(snapshot) => snapshot,
        Err(e @ ReadError::Missing { .. }) => {
            ClassSnapshot::failed(Class::SystemPackage, Outcome::NotPresent { reason: e.to_string() })
        }
        Err(e) => ClassSnapshot::failed(Class::SystemPackage, Outcome::Unreadable { reason: e.to_string() }),
    }
}

fn packages(host: &Host<'_>) -> Result<ClassSnapshot, ReadError> {
    let mut snapshot = ClassSnapshot::new(Class::SystemPackage);
    let managed = match managed(host.root(), &mut snapshot) {
        Err(e @ ReadError::Missing { .. }) => Err(e),
        other => Ok(other?),
    };
    let python = pypi::read(host, managed.as_deref().ok(), &mut snapshot);
    let mut packages = managed.or_else(|e| {
        // Another manager's packages are not read, which is told beside what is there of Python.
        snapshot.unread_sources.push(e.to_string());
        if python.is_empty() { Err(e) } else { Ok(Vec::new()) }
    })?;
    packages.extend(python);
    snapshot.fill(packages.into_iter().map(Item::SystemPackage).collect());
    Ok(snapshot)
}

/// A host has one manager as a rule; one with both has the packages of both.
fn managed(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Vec<SystemPackage>, ReadError> {
    let dpkg = match dpkg::read(root, snapshot) {
        Err(e @ ReadError::Missing { .. }) => Err(e),
        other => Ok(other?),
    };
    let rpm = rpm::read(root, snapshot)?;
    Ok(match (dpkg, rpm) {
        (Err(missing), rpm::Found::Nothing) => return Err(missing),
        // The database of a host never is empty; that of a tool beside another manager is.
        (Err(_), rpm::Found::Packages(rpm)) if rpm.is_empty() => {
            let nothing = std::io::Error::new(std::io::ErrorKind::InvalidData, "the database holds no package");
            return Err(ReadError::of("rpm", nothing));
        }
        (Err(_), rpm::Found::Packages(rpm)) => rpm,
        (Ok(dpkg), rpm::Found::Nothing) => dpkg,
        (Ok(mut dpkg), rpm::Found::Packages(rpm)) => {
            dpkg.extend(rpm);
            dpkg
        }
    })
}
