//! Web servers that run or are installed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item};
use crate::Host;
use crate::product::Instance;
use crate::text::Fields;

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;

/// The product of a web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum WebServiceKind {
    Tomcat,
    Apache,
    Nginx,
    Weblogic,
    Websphere,
    Jboss,
    Wildfly,
    Jetty,
    Ihs,
    Tengine,
    Caddy,
    Lighttpd,
    Haproxy,
    Envoy,
    Openresty,
    Gunicorn,
    Uwsgi,
    Other,
}

/// The products that are web servers.
const SERVICES: [(&str, WebServiceKind); 22] = [
    ("Tomcat", WebServiceKind::Tomcat),
    ("Apache HTTP Server", WebServiceKind::Apache),
    ("nginx", WebServiceKind::Nginx),
    ("WebLogic", WebServiceKind::Weblogic),
    ("WebSphere", WebServiceKind::Websphere),
    ("JBoss", WebServiceKind::Jboss),
    ("WildFly", WebServiceKind::Wildfly),
    ("Jetty", WebServiceKind::Jetty),
    ("IBM HTTP Server", WebServiceKind::Ihs),
    ("Tengine", WebServiceKind::Tengine),
    ("Caddy", WebServiceKind::Caddy),
    ("lighttpd", WebServiceKind::Lighttpd),
    ("HAProxy", WebServiceKind::Haproxy),
    ("Envoy", WebServiceKind::Envoy),
    ("OpenResty", WebServiceKind::Openresty),
    ("Gunicorn", WebServiceKind::Gunicorn),
    ("uWSGI", WebServiceKind::Uwsgi),
    ("GlassFish", WebServiceKind::Other),
    ("Resin", WebServiceKind::Other),
    ("Traefik", WebServiceKind::Other),
    ("Uvicorn", WebServiceKind::Other),
    ("PHP-FPM", WebServiceKind::Other),
];

impl WebServiceKind {
    /// The web server that an instance is, if it is one.
    pub(super) fn of(instance: &Instance) -> Option<WebServiceKind> {
        SERVICES.iter().find(|(product, _)| *product == instance.product.name).map(|(_, kind)| *kind)
    }
}

/// A web server. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebService {
    /// The product.
    pub kind: WebServiceKind,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_path: Option<String>,
    /// The folder in which it is installed, where it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_path: Option<String>,
    /// The path of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// The user that its first process runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How many processes it has; 0 when it is only installed.
    pub process_count: u32,
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

/// What tells one server from another: container, product, executable and configuration.
type Key = (Option<String>, WebServiceKind, Option<String>, Option<String>);

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::WebService);
    if !snapshot.is_read() {
        return snapshot;
    }
    snapshot.unread_sources.extend_from_slice(host.owners().unread());
    let mut found: BTreeMap<Key, WebService> = BTreeMap::new();
    for instance in host.programs().iter() {
        let Some(kind) = WebServiceKind::of(instance) else { continue };
        let mut fields = Fields { escaped: instance.escaped, truncated: Vec::new() };
        let item = WebService {
            kind,
            version: fields.optional("version", instance.version.as_deref(), TEXT_CAP),
            bin_path: fields.optional("bin_path", instance.exe.as_deref(), PATH_CAP),
            install_path: fields.optional("install_path", instance.home.as_deref(), PATH_CAP),
            config_path: fields.optional("config_path", instance.config.as_deref(), PATH_CAP),
            user: fields.optional("user", host.user_of(instance).as_deref(), TEXT_CAP),
            process_count: u32::try_from(instance.pids.len()).unwrap_or(u32::MAX),
            package: fields.optional("package", instance.package.as_deref(), TEXT_CAP),
            container_id: instance.container_id.clone(),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        let key = (item.container_id.clone(), kind, item.bin_path.clone(), item.config_path.clone());
        found.entry(key).and_modify(|one| one.process_count += item.process_count).or_insert(item);
    }
    snapshot.fill(found.into_values().map(Item::WebService).collect());
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::{PRODUCTS, Product, SoftwareKind};

    #[test]
    fn every_web_server_is_a_known_product_and_every_product_of_the_web_is_here() {
        for (product, _) in SERVICES {
            assert!(Product::named(product).is_some(), "{product}");
        }
        let here = |product: &&Product| SERVICES.iter().any(|(name, _)| *name == product.name);
        let others = PRODUCTS.iter().filter(|product| product.kind == SoftwareKind::Web && !here(product));
        // Caches in front of web servers.
        assert_eq!(others.map(|product| product.name).collect::<Vec<_>>(), ["Varnish", "Squid"]);
    }
}
