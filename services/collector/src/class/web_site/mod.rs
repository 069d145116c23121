//! Sites of the web servers that run: nginx's server blocks, Apache's virtual hosts, Tomcat's hosts, Caddy's sites,
//! lighttpd's sockets and hosts.

mod apache;
mod caddy;
mod lighttpd;
mod nginx;
mod tomcat;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, ITEM_CAP, Item, Outcome, WebServiceKind};
use crate::config::{Complaint, Reader};
use crate::product::Instance;
use crate::text::Fields;
use crate::{Host, Root};

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;
const SHORT_CAP: usize = 1_024;
const ADDRESS_CAP: usize = 63;
/// The most paths of one site that are reported.
const PATHS_CAP: usize = 500;
/// The most sites of one server; beyond what a report takes they are of no use.
const SITES_CAP: usize = 100_000;
/// What the paths that are reported may cost in memory, those of each site counted; and what one costs beside its bytes.
const PATHS_COST_CAP: usize = 64 << 20;
const PATH_COST: usize = 192;
/// Answers what another server passes on, and has no sites of its own.
const SITELESS: &str = "PHP-FPM";

/// The protocol of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum WebProtocol {
    Http,
    Https,
}

/// A path of a site. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSitePath {
    /// The path in the URL, or a pattern as the server writes it.
    pub virtual_path: String,
    /// The folder; absent where something else answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_path: Option<String>,
    /// The owner of the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group of the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The permission bits in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}

/// A site. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSite {
    /// The protocol.
    pub protocol: WebProtocol,
    /// The domain, or a pattern as the server writes it; empty for the default site.
    pub domain: String,
    /// The port.
    pub port: u16,
    /// The address that it is bound to; empty means every one.
    pub bind_address: String,
    /// The web server.
    pub service: WebServiceKind,
    /// The root folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_path: Option<String>,
    /// The owner of the root folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_owner: Option<String>,
    /// The permission bits of the root folder in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_permission: Option<String>,
    /// The user that the server runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The path of the server's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// The command line of the server, without secrets.
    pub command_line: String,
    /// The container that its server runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The first 500 paths.
    pub paths: Vec<WebSitePath>,
    /// How many paths there are.
    pub path_count: u32,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// A site as a configuration describes it, for all classes that start from it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) service: WebServiceKind,
    /// The process of its server.
    pub(crate) pid: u32,
    pub(crate) container_id: Option<String>,
    pub(crate) view: Root,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) domains: Vec<String>,
    pub(crate) root: Option<Rc<str>>,
    pub(crate) paths: Paths,
}

/// Paths in the URL with their folders, shared by the sites that have the same.
pub(crate) type Paths = Rc<Vec<(String, Option<String>)>>;

/// Where a site listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    pub(crate) protocol: WebProtocol,
    /// Empty for every address.
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// What the reader of a server's configuration says.
struct Described {
    bindings: Vec<Binding>,
    domains: Vec<String>,
    root: Option<Rc<str>>,
    paths: Paths,
}

/// All sites of a host, with what was left out of their configurations.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    pub(crate) all: Vec<Site>,
    complaints: Vec<Complaint>,
    /// Servers whose sites are not known, each with the reason.
    pub(crate) unread: BTreeSet<String>,
}

impl Sites {
    pub(crate) fn find(host: &Host<'_>) -> Self {
        let mut sites = Sites::default();
        for instance in host.programs().iter().filter(|instance| instance.is_running()) {
            let Some(service) = WebServiceKind::of(instance).filter(|_| instance.product.name != SITELESS) else {
                continue;
            };
            let Some(read) = describer(service, instance) else {
                sites.leave_out(instance, "its configuration is not understood");
                continue;
            };
            let Some(config) = &instance.config else {
                sites.leave_out(instance, "its configuration was not found");
                continue;
            };
            let mut reader = Reader::new(&instance.view);
            let mut described = read(&mut reader, config, instance);
            described.truncate(SITES_CAP.saturating_sub(sites.all.len()));
            sites.complaints.extend(reader.complaints());
            sites.all.extend(described.into_iter().map(|described| Site {
                service,
                pid: instance.pid,
                container_id: instance.container_id.clone(),
                view: instance.view.clone(),
                bindings: described.bindings,
                domains: described.domains,
                root: described.root,
                paths: described.paths,
            }));
        }
        sites
    }

    fn leave_out(&mut self, instance: &Instance, reason: &str) {
        self.unread.insert(format!("sites of {}: {reason}", instance.product.name));
    }
}

type Describer = fn(&mut Reader<'_>, &str, &Instance) -> Vec<Described>;

/// What reads the configuration of a server; none where nothing does.
fn describer(service: WebServiceKind, instance: &Instance) -> Option<Describer> {
    match service {
        WebServiceKind::Nginx | WebServiceKind::Tengine | WebServiceKind::Openresty => Some(nginx::sites),
        WebServiceKind::Apache | WebServiceKind::Ihs => Some(apache::sites),
        WebServiceKind::Tomcat => Some(tomcat::sites),
        WebServiceKind::Lighttpd => Some(lighttpd::sites),
        WebServiceKind::Caddy if caddy::is_understood(instance) => Some(caddy::sites),
        _ => None,
    }
}

/// What tells one site from another: container, protocol, domain, port and address.
type Key = (Option<String>, WebProtocol, String, u16, String);

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::WebSite);
    if !snapshot.is_read() {
        return snapshot;
    }
    let sites = host.sites();
    snapshot.unread_sources.extend(sites.unread.iter().cloned());
    for complaint in &sites.complaints {
        snapshot.skip(&complaint.path, complaint.line, complaint.reason);
    }
    let mut found: BTreeMap<Key, WebSite> = BTreeMap::new();
    // How many were looked at, how many were only counted, and what the paths of further ones may cost.
    let (mut seen, mut rest, mut left) = (0_usize, 0_usize, PATHS_COST_CAP);
    for site in &sites.all {
        let count = site.bindings.len().saturating_mul(site.domains.len());
        let room = if found.len() > ITEM_CAP { 0 } else { SITES_CAP.saturating_sub(seen) };
        if room == 0 {
            rest = rest.saturating_add(count);
            continue;
        }
        let Some(instance) = host.programs().iter().find(|instance| instance.pid == site.pid) else { continue };
        let mut template = template(host, site, instance, &mut left);
        let (paths, cost) = (std::mem::take(&mut template.paths), cost(site));
        let pairs = site.bindings.iter().flat_map(|binding| site.domains.iter().map(move |domain| (binding, domain)));
        let mut done = 0;
        for (binding, domain) in pairs.take(room) {
            if found.len() > ITEM_CAP {
                break;
            }
            done += 1;
            let mut item = WebSite { protocol: binding.protocol, port: binding.port, ..template.clone() };
            let mut fields = Fields { escaped: item.escaped, truncated: std::mem::take(&mut item.truncated) };
            item.domain = fields.text("domain", domain.as_bytes(), TEXT_CAP);
            item.bind_address = fields.text("bind_address", binding.address.as_bytes(), ADDRESS_CAP);
            let container = item.container_id.clone();
            match found.entry((container, item.protocol, item.domain.clone(), item.port, item.bind_address.clone())) {
                Entry::Vacant(entry) => {
                    left = left.saturating_sub(cost);
                    if left > 0 {
                        item.paths.clone_from(&paths);
                    } else if !paths.is_empty() {
                        fields.truncated.push("paths".to_owned());
                        fields.truncated.dedup();
                    }
                    (item.escaped, item.truncated) = (fields.escaped, fields.truncated);
                    entry.insert(item);
                }
                // The server itself ignores the later one.
                Entry::Occupied(_) => {
                    let source = instance.config.as_deref().unwrap_or_default();
                    snapshot.skip(source, 0, "another site has the same container, protocol, domain, port and address");
                }
            }
        }
        seen += done;
        rest = rest.saturating_add(count - done);
    }
    let total = found.len().saturating_add(rest);
    snapshot.fill(found.into_values().map(|item| Item::WebSite(Box::new(item))).collect());
    if rest > 0 {
        snapshot.outcome = Outcome::Truncated { total };
    }
    snapshot
}

/// What the paths of a site cost where they are reported.
fn cost(site: &Site) -> usize {
    let one = |(path, folder): &(String, Option<String>)| {
        path.len().min(SHORT_CAP) + folder.as_ref().map_or(0, |folder| folder.len().min(SHORT_CAP)) + PATH_COST
    };
    site.paths.iter().take(PATHS_CAP).map(one).sum()
}

/// A site without its domain and where it listens; without its paths where they cost too much.
fn template(host: &Host<'_>, site: &Site, instance: &Instance, left: &mut usize) -> WebSite {
    let server = host.processes().ok().and_then(|processes| processes.get(site.pid)).map(|one| host.person(one));
    let mut fields = Fields { escaped: instance.escaped, truncated: Vec::new() };
    let facts = |path: &str| {
        let metadata = site.view.metadata(path).ok()?;
        let permission = format!("{:04o}", metadata.permissions().mode() & 0o7777);
        let server = server.as_ref()?;
        Some((server.user(metadata.uid()), server.group(metadata.gid()), permission))
    };
    let root = site.root.as_deref().and_then(facts);
    let mut paths = Vec::new();
    *left = left.saturating_sub(cost(site));
    if *left == 0 && !site.paths.is_empty() {
        fields.truncated.push("paths".to_owned());
    }
    for (virtual_path, real_path) in site.paths.iter().take(if *left > 0 { PATHS_CAP } else { 0 }) {
        let found = real_path.as_deref().and_then(facts);
        let (owner, group, permission) = match found {
            Some((owner, group, permission)) => (Some(owner), Some(group), Some(permission)),
            None => (None, None, None),
        };
        paths.push(WebSitePath {
            virtual_path: fields.text("paths", virtual_path.as_bytes(), SHORT_CAP),
            real_path: fields.optional("paths", real_path.as_deref(), SHORT_CAP),
            owner,
            group,
            permission,
        });
    }
    fields.truncated.dedup();
    WebSite {
        protocol: WebProtocol::Http,
        domain: String::new(),
        port: 0,
        bind_address: String::new(),
        service: site.service,
        root_path: fields.optional("root_path", site.root.as_deref(), PATH_CAP),
        root_owner: root.as_ref().map(|(owner, _, _)| owner.clone()),
        root_permission: root.map(|(_, _, permission)| permission),
        user: fields.optional("user", host.user_of(instance).as_deref(), TEXT_CAP),
        config_path: fields.optional("config_path", instance.config.as_deref(), PATH_CAP),
        command_line: fields.text("command_line", instance.command_line.as_bytes(), PATH_CAP),
        container_id: site.container_id.clone(),
        path_count: u32::try_from(site.paths.len()).unwrap_or(u32::MAX),
        paths,
        escaped: fields.escaped,
        truncated: fields.truncated,
    }
}

/// Splits `address:port`; either may be missing, and IPv6 stands in brackets.
fn split_address(text: &str) -> (&str, Option<&str>) {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').unwrap_or((rest, ""));
        return (address, after.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((address, port)) => (address, Some(port)),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => ("", Some(text)),
        None => (text, None),
    }
}

/// A folder with another below it.
pub(super) fn joined(folder: &str, path: &str) -> String {
    let whole = format!("{}/{}", folder.trim_end_matches('/'), path.trim_start_matches('/'));
    if whole.len() > 1 { whole.trim_end_matches('/').to_owned() } else { whole }
}
