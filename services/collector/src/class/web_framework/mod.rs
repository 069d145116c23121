//! Web frameworks of the programs that run: in the library folders of Python and Node.js, in the lock files of Ruby and
//! PHP, and by the archives that Java's processes name, with what is inside those that they run.

mod libraries;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, WebServiceKind};
use crate::Host;
use crate::text::Fields;
use table::Framework;

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;

/// The language of a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ProgrammingLanguage {
    Java,
    Python,
    Php,
    Node,
    Ruby,
}

/// A web framework. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebFramework {
    /// The name.
    pub name: String,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The language.
    pub language: ProgrammingLanguage,
    /// The web server that it runs in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<WebServiceKind>,
    /// Where it lies.
    pub path: String,
    /// How many archives of it lie at that place; 0 outside of Java.
    pub jar_count: u32,
    /// A process that uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The container that that process runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// A framework as it was found.
struct Found {
    framework: &'static Framework,
    version: String,
    path: String,
    service: Option<WebServiceKind>,
    pid: u32,
    jars: u32,
}

/// What tells one framework from another: container, name, version and path.
type Key = (Option<String>, String, Option<String>, String);

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::WebFramework);
    if !snapshot.is_read() {
        return snapshot;
    }
    let mut items: BTreeMap<Key, WebFramework> = BTreeMap::new();
    let (all, unread) = libraries::find(host);
    for (path, reason) in unread {
        snapshot.skip(&path, 0, &reason);
    }
    for found in all {
        let process = host.processes().ok().and_then(|processes| processes.get(found.pid));
        let container = process.and_then(|process| process.container.as_ref());
        let mut fields = Fields::default();
        let item = WebFramework {
            name: found.framework.name.to_owned(),
            version: fields.optional("version", Some(&found.version), TEXT_CAP),
            language: found.framework.language,
            service: found.service,
            path: fields.text("path", found.path.as_bytes(), PATH_CAP),
            jar_count: found.jars,
            pid: Some(found.pid),
            container_id: container.map(|container| container.id.clone()),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        // Several processes of one program use the same; the oldest stands for them.
        let key = (item.container_id.clone(), item.name.clone(), item.version.clone(), item.path.clone());
        items.entry(key).and_modify(|one| one.jar_count = one.jar_count.max(item.jar_count)).or_insert(item);
    }
    snapshot.fill(items.into_values().map(Item::WebFramework).collect());
    snapshot
}
