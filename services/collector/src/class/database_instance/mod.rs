//! Database servers that run: instances by their process, never what is in them.

mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item};
use crate::config::{Reader, keyed};
use crate::product::Instance;
use crate::text::Fields;
use crate::{Host, socket};
use table::{Database, Setting};

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;
const ADDRESS_CAP: usize = 63;

/// The product of a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum DatabaseKind {
    Mysql,
    Redis,
    Oracle,
    Mongodb,
    Memcached,
    Postgresql,
    Hbase,
    Db2,
    Sybase,
    Tidb,
    Mariadb,
    Elasticsearch,
    Clickhouse,
    Etcd,
    Cassandra,
    Valkey,
    Influxdb,
    Couchdb,
    Neo4j,
    Other,
}

/// A database server. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInstance {
    /// The product.
    pub kind: DatabaseKind,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The address that it listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_address: Option<String>,
    /// The port; absent when it listens on none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_path: Option<String>,
    /// The path of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// The folder of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_path: Option<String>,
    /// The permission bits of that folder in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_permission: Option<String>,
    /// The path of its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_path: Option<String>,
    /// The path of its log of errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_log_path: Option<String>,
    /// The folder of its plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_path: Option<String>,
    /// Its command line, without secrets.
    pub command_line: String,
    /// Its process.
    pub pid: u32,
    /// The package that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The container that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// What tells one instance from another: container, product, address and port; without a port the executable and the data.
type Key = (Option<String>, DatabaseKind, Option<String>, Option<u16>, Option<(String, String)>);

impl DatabaseInstance {
    fn key(&self) -> Key {
        let without_port = self
            .port
            .is_none()
            .then(|| (self.bin_path.clone().unwrap_or_default(), self.data_path.clone().unwrap_or_default()));
        (self.container_id.clone(), self.kind, self.bind_address.clone(), self.port, without_port)
    }
}

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::DatabaseInstance);
    if !snapshot.is_read() {
        return snapshot;
    }
    snapshot.unread_sources.extend_from_slice(host.owners().unread());
    let mut found: BTreeMap<Key, DatabaseInstance> = BTreeMap::new();
    for database in table::DATABASES {
        for instance in host.programs().of(database.product).filter(|instance| instance.is_running()) {
            let item = database_of(host, database, instance, &mut snapshot);
            match found.entry(item.key()) {
                std::collections::btree_map::Entry::Vacant(entry) => _ = entry.insert(item),
                std::collections::btree_map::Entry::Occupied(_) => {
                    snapshot.skip("/proc", 0, "another instance has the same container, kind, address and port");
                }
            }
        }
    }
    snapshot.fill(found.into_values().map(|item| Item::DatabaseInstance(Box::new(item))).collect());
    snapshot
}

fn database_of(
    host: &Host<'_>,
    database: &Database,
    instance: &Instance,
    snapshot: &mut ClassSnapshot,
) -> DatabaseInstance {
    let sockets = socket::listening(host.root(), instance.pid);
    let mut config = instance.config.clone();
    let mut settings = keyed::Settings::new();
    if let (Some(path), Some(format)) = (&config, database.format) {
        let mut reader = Reader::new(&instance.view);
        settings = keyed::read(&mut reader, path, format);
        reader.complaints().into_iter().for_each(|c| snapshot.skip(&c.path, c.line, c.reason));
    }
    let written = database.port.of(instance, &settings).and_then(|port| port.parse::<u16>().ok());
    let listens = |port: u16| sockets.as_ref().is_some_and(|all| all.iter().any(|(_, other)| *other == port));
    if !instance.is_config_named
        && let (Some(port), Some(all)) = (written, &sockets)
        && !all.is_empty()
        && !listens(port)
    {
        // The usual file is there, but is not the one that this instance reads.
        (config, settings) = (None, keyed::Settings::new());
    }
    let expected = written.or_else(|| database.port.default.parse().ok()).filter(|port| *port != 0);
    let (bind_address, port) = match &sockets {
        Some(all) => {
            let port = expected.filter(|port| listens(*port)).or_else(|| all.iter().map(|(_, port)| *port).min());
            let bound = all.iter().filter(|(_, other)| Some(*other) == port).map(|(address, _)| *address);
            (bound.min_by_key(preference).map(|address| address.to_string()), port)
        }
        // Of several addresses that are written the first stands for them.
        None => {
            let written = database.bind.or_default(instance, &settings);
            let first = written.and_then(|all| all.split([',', ' ']).find(|one| !one.is_empty()).map(str::to_owned));
            (first, expected)
        }
    };
    let path = |setting: &Setting| {
        let value = setting.or_default(instance, &settings)?;
        let value = if value == "." { instance.cwd.clone()? } else { value };
        let base = instance.cwd.as_deref().unwrap_or("/");
        let path = if value.starts_with('/') { value } else { format!("{}/{value}", base.trim_end_matches('/')) };
        Some(if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path })
    };
    let data_path = path(&database.data);
    let data = data_path.as_deref().and_then(|path| instance.view.metadata(path).ok());
    let mut fields = Fields { escaped: instance.escaped, truncated: Vec::new() };
    let mut cut = |name: &str, value: Option<String>, limit: usize| fields.optional(name, value.as_deref(), limit);
    DatabaseInstance {
        kind: database.kind,
        version: cut("version", instance.version.clone(), TEXT_CAP),
        bind_address: cut("bind_address", bind_address, ADDRESS_CAP),
        port,
        user: cut("user", host.user_of(instance), TEXT_CAP),
        bin_path: cut("bin_path", instance.exe.clone(), PATH_CAP),
        config_path: cut("config_path", config, PATH_CAP),
        data_path: cut("data_path", data_path, PATH_CAP),
        data_permission: data.map(|data| format!("{:04o}", data.permissions().mode() & 0o7777)),
        log_path: cut("log_path", path(&database.log), PATH_CAP),
        error_log_path: cut("error_log_path", path(&database.error_log), PATH_CAP),
        plugin_path: cut("plugin_path", path(&database.plugins), PATH_CAP),
        command_line: cut("command_line", Some(instance.command_line.clone()), PATH_CAP).unwrap_or_default(),
        pid: instance.pid,
        package: cut("package", instance.package.clone(), TEXT_CAP),
        container_id: instance.container_id.clone(),
        escaped: fields.escaped,
        truncated: fields.truncated,
    }
}

/// Of several addresses with the same port the one that tells most: every one, then IPv4.
fn preference(address: &IpAddr) -> (bool, bool, IpAddr) {
    (!address.is_unspecified(), address.is_ipv6(), *address)
}
