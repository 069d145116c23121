//! Known programs that run or are installed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::Host;
use crate::product::SoftwareKind;
use crate::text::Fields;

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;

/// A known program. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftwareApplication {
    /// What it is for.
    pub kind: SoftwareKind,
    /// The name that people know.
    pub name: String,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_path: Option<String>,
    /// The path of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// How many processes it has; 0 when it is only installed.
    pub process_count: u32,
    /// The package that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The container that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// What it is, in one line of its package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// What tells one program from another: container, name, executable and configuration.
type Key = (Option<String>, String, Option<String>, Option<String>);

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = ClassSnapshot::new(Class::SoftwareApplication);
    let programs = host.programs();
    if let Err(e) = host.processes() {
        // What is installed can be seen on a disk on which nothing runs; nothing at all is no answer.
        if programs.iter().next().is_none() {
            let reason = e.to_string();
            let outcome = if e.is_missing() { Outcome::NotPresent { reason } } else { Outcome::Unreadable { reason } };
            return ClassSnapshot::failed(Class::SoftwareApplication, outcome);
        }
    }
    snapshot.unread_sources.extend(host.unseen());
    snapshot.unread_sources.extend_from_slice(host.owners().unread());
    let mut found: BTreeMap<Key, SoftwareApplication> = BTreeMap::new();
    for instance in programs.iter() {
        let mut fields = Fields { escaped: instance.escaped, truncated: Vec::new() };
        let item = SoftwareApplication {
            kind: instance.product.kind,
            name: instance.product.name.to_owned(),
            version: fields.optional("version", instance.version.as_deref(), TEXT_CAP),
            bin_path: fields.optional("bin_path", instance.exe.as_deref(), PATH_CAP),
            config_path: fields.optional("config_path", instance.config.as_deref(), PATH_CAP),
            process_count: u32::try_from(instance.pids.len()).unwrap_or(u32::MAX),
            package: fields.optional("package", instance.package.as_deref(), TEXT_CAP),
            container_id: instance.container_id.clone(),
            description: fields.optional("description", instance.description.as_deref(), TEXT_CAP),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        let key = (item.container_id.clone(), item.name.clone(), item.bin_path.clone(), item.config_path.clone());
        // Instances that differ in nothing that tells them apart are one.
        found.entry(key).and_modify(|one| one.process_count += item.process_count).or_insert(item);
    }
    snapshot.fill(found.into_values().map(Item::SoftwareApplication).collect());
    snapshot
}
