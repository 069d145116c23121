//! Packages of the system's package manager. So far dpkg; another manager is one more file here.

mod dpkg;
mod owner;
mod purl;
mod stanza;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Outcome};
use crate::{ReadError, Root};
pub(crate) use owner::{Owner, owners};

/// The package manager that a package belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageKind {
    /// Debian's and its descendants'.
    Dpkg,
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
    match dpkg::read(root) {
        Ok(snapshot) => snapshot,
        Err(e @ ReadError::Missing { .. }) => {
            ClassSnapshot::failed(Class::SystemPackage, Outcome::NotPresent { reason: e.to_string() })
        }
        Err(e) => ClassSnapshot::failed(Class::SystemPackage, Outcome::Unreadable { reason: e.to_string() }),
    }
}
