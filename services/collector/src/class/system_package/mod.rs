//! Packages of the system's package managers: dpkg and rpm. Another manager is one more file here.

mod dpkg;
mod owner;
mod rpm;
mod stanza;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::{ReadError, Root};
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
}

/// A package whose files are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemPackage {
    /// Its package manager.
    pub kind: PackageKind,
    /// The name.
    pub name: String,
    /// The whole version, with epoch and revision.
    pub version: String,
    /// The architecture, such as `amd64` or `all`.
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
    /// The package URL.
    pub purl: String,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(root: &Root) -> ClassSnapshot {
    match packages(root) {
        Ok(snapshot) => snapshot,
        Err(e @ ReadError::Missing { .. }) => {
            ClassSnapshot::failed(Class::SystemPackage, Outcome::NotPresent { reason: e.to_string() })
        }
        Err(e) => ClassSnapshot::failed(Class::SystemPackage, Outcome::Unreadable { reason: e.to_string() }),
    }
}

/// A host has one manager as a rule; one with both has the packages of both.
fn packages(root: &Root) -> Result<ClassSnapshot, ReadError> {
    let mut snapshot = ClassSnapshot::new(Class::SystemPackage);
    let dpkg = match dpkg::read(root, &mut snapshot) {
        Err(e @ ReadError::Missing { .. }) => Err(e),
        other => Ok(other?),
    };
    let rpm = rpm::read(root, &mut snapshot)?;
    let items = match (dpkg, rpm) {
        (Err(missing), rpm::Found::Nothing) => return Err(missing),
        (Err(_), rpm::Found::Unknown(path)) => return Err(rpm::unknown_form(&path)),
        // The database of a host never is empty; that of a tool beside another manager is.
        (Err(_), rpm::Found::Packages(rpm)) if rpm.is_empty() => {
            let nothing = std::io::Error::new(std::io::ErrorKind::InvalidData, "the database holds no package");
            return Err(ReadError::of("rpm", nothing));
        }
        (Err(_), rpm::Found::Packages(rpm)) => rpm,
        (Ok(dpkg), rpm::Found::Nothing) => dpkg,
        (Ok(dpkg), rpm::Found::Unknown(path)) => {
            snapshot.unread_sources.push(path);
            dpkg
        }
        (Ok(mut dpkg), rpm::Found::Packages(rpm)) => {
            dpkg.extend(rpm);
            dpkg
        }
    };
    snapshot.fill(items.into_iter().map(Item::SystemPackage).collect());
    Ok(snapshot)
}
