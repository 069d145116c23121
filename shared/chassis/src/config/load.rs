//! Reads the layers of the configuration into settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use config::{Config, Environment, File, FileFormat, Map, Value, ValueKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{inlined, is_secret, known_keys, object_of};
use super::{Chassis, default_ports};

/// A service's whole configuration.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Settings<C> {
    /// The chassis' sections.
    #[serde(flatten)]
    pub chassis: Chassis,
    /// The service's own sections.
    #[serde(flatten)]
    pub service: C,
}

/// Where the configuration comes from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// TOML files; later ones win.
    pub files: Vec<PathBuf>,
    /// `key.path=value` pairs that win over everything.
    pub sets: Vec<String>,
    /// Variables to read instead of the process' own; for tests.
    pub environment: Option<std::collections::HashMap<String, String>>,
}

impl<C> Settings<C>
where
    C: DeserializeOwned + Serialize + JsonSchema + Default + Clone,
{
    /// Reads every source. `insecure` tells whether a configuration lets anybody in: it then listens on loopback only.
    pub fn load(service: &str, sources: &Sources, insecure: impl Fn(&C) -> bool) -> anyhow::Result<Self> {
        let mut builder = Config::builder();
        for file in &sources.files {
            builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Toml));
        }
        // Two underscores also after the prefix: Kubernetes sets `INVENTORY_PORT=tcp://…` for a Service of that name.
        // No `try_parsing`: it would make a number of the password 00123.
        let environment = Environment::with_prefix(&format!("CWPP__{}", service.to_uppercase()))
            .prefix_separator("__")
            .separator("__")
            .source(sources.environment.clone());
        builder = builder.add_source(environment);
        for set in &sources.sets {
            let (key, value) = set.split_once('=').with_context(|| format!("--set {set}: write section.key=value"))?;
            builder = builder.set_override(key.trim(), value).with_context(|| format!("--set {set}"))?;
        }
        let merged = builder.build().context("the configuration cannot be read")?;
        let ValueKind::Table(table) = merged.cache.kind.clone() else { bail!("the configuration is no table") };

        let (chassis_keys, own_keys) = (known_keys::<Chassis>(), known_keys::<C>());
        if let Some(key) = table.keys().find(|key| !chassis_keys.contains(key) && !own_keys.contains(key)) {
            let mut known: Vec<_> = chassis_keys.iter().chain(&own_keys).map(String::as_str).collect();
            known.sort_unstable();
            bail!("unknown section `{key}`; {service} knows {}", known.join(", "));
        }
        let own: C = part(&merged, &table, &own_keys, inlined::<C>().as_value())?;
        let insecure = insecure(&own);
        let mut chassis: Chassis = part(&merged, &table, &chassis_keys, inlined::<Chassis>().as_value())?;
        let host = IpAddr::V4(if insecure { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED });
        let (grpc, admin) = default_ports(service);
        if !is_set(&table, "grpc", "listen") {
            chassis.grpc.listen = SocketAddr::new(host, grpc);
        }
        if !is_set(&table, "admin", "listen") {
            chassis.admin.listen = SocketAddr::new(host, admin);
        }
        check_listen(&chassis, insecure)?;
        chassis.check()?;
        Ok(Self { chassis, service: own })
    }

    /// Settings for a service inside a test or the standalone process.
    pub fn local(service: C) -> Self {
        Self { chassis: Chassis::local(), service }
    }
}

impl<C: Serialize> Settings<C> {
    /// The settings as JSON, secrets hidden.
    pub fn redacted(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Refuses to let anybody in from another machine.
pub(crate) fn check_listen(chassis: &Chassis, insecure: bool) -> anyhow::Result<()> {
    if insecure {
        for (key, address) in [("grpc.listen", chassis.grpc.listen), ("admin.listen", chassis.admin.listen)] {
            ensure!(
                address.ip().is_loopback(),
                "{key} = {address}: with insecure authentication only loopback (127.0.0.1, ::1) is admitted"
            );
        }
    }
    Ok(())
}

fn is_set(table: &Map<String, Value>, section: &str, key: &str) -> bool {
    matches!(table.get(section).map(|value| &value.kind), Some(ValueKind::Table(inner)) if inner.contains_key(key))
}

/// Reads the sections of one owner out of the merged table.
fn part<T: DeserializeOwned>(
    merged: &Config,
    table: &Map<String, Value>,
    keys: &[String],
    schema: &serde_json::Value,
) -> anyhow::Result<T> {
    let mut own: Map<String, Value> =
        table.iter().filter(|(key, _)| keys.contains(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    resolve_secret_files(&mut own, schema, "")?;
    let mut config = merged.clone();
    config.cache = Value::new(None, ValueKind::Table(own));
    config.try_deserialize().context("the configuration is not valid")
}

/// Turns `password_file = "…"` into the file form of the secret `password`, and sees that the file can be read.
fn resolve_secret_files(table: &mut Map<String, Value>, schema: &serde_json::Value, path: &str) -> anyhow::Result<()> {
    let schema = object_of(schema);
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object).unwrap_or(&empty);
    for (name, property) in properties {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if is_secret(property) {
            let Some(file) = table.remove(&format!("{name}_file")) else { continue };
            ensure!(!table.contains_key(name), "`{full}` and `{full}_file` are both set; keep one");
            let file = file.into_string().with_context(|| format!("{full}_file must be a path"))?;
            if file.is_empty() {
                continue;
            }
            std::fs::read_to_string(&file).with_context(|| format!("{full}_file = {file}"))?;
            let form = Map::from_iter([("file".to_owned(), Value::from(file))]);
            table.insert(name.clone(), Value::new(None, ValueKind::Table(form)));
        } else if let Some(ValueKind::Table(inner)) = table.get_mut(name).map(|value| &mut value.kind) {
            resolve_secret_files(inner, property, &full)?;
        }
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        for (name, value) in table.iter_mut().filter(|(name, _)| !properties.contains_key(*name)) {
            if let ValueKind::Table(inner) = &mut value.kind {
                resolve_secret_files(inner, values, &format!("{path}.{name}"))?;
            }
        }
    }
    Ok(())
}
