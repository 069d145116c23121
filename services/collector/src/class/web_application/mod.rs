//! Web applications below the roots of sites: told by a file that only they have, which also holds their version.

mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use super::web_site::{Site, joined};
use super::{Class, ClassSnapshot, ITEM_CAP, Item, Outcome, WebServiceKind};
use crate::text::Fields;
use crate::{Host, Root};
use table::{Application, PluginRule};

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4_096;
const SHORT_CAP: usize = 1_024;
/// The most plugins of one application that are reported.
const PLUGINS_CAP: usize = 500;
/// The most folders that are looked into on one host, and below one root.
const FOLDERS_CAP: usize = 5_000;
const SUBFOLDERS_CAP: usize = 500;
/// The most folders of all sites together, those that several sites have counted for each.
const VISITS_CAP: usize = 500_000;
/// What the plugins that are reported may cost in memory, those of each application counted.
const PLUGINS_COST_CAP: usize = 64 << 20;
const TOO_MANY: &str = "the sites have too many folders";
/// So much of a file is looked at.
const HEAD_CAP: usize = 256 << 10;
const PLUGIN_HEAD_CAP: usize = 8 << 10;

/// A plugin of a web application. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebPlugin {
    /// The name.
    pub name: String,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A web application. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebApplication {
    /// The name.
    pub name: String,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The root folder.
    pub root_path: String,
    /// The web server that serves it.
    pub service: WebServiceKind,
    /// The domain; empty for the default site.
    pub domain: String,
    /// The path below the domain.
    pub virtual_path: String,
    /// The first 500 plugins.
    pub plugins: Vec<WebPlugin>,
    /// How many plugins there are.
    pub plugin_count: u32,
    /// The owner of the root folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The container that its server runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// What tells one application from another: container, name, root, domain and virtual path.
type Key = (Option<String>, String, String, String, String);

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = host.snapshot_of_running(Class::WebApplication);
    if !snapshot.is_read() {
        return snapshot;
    }
    snapshot.unread_sources.extend(host.sites().unread.iter().cloned());
    let rules = Rules::new();
    let mut seen: HashMap<(Root, String), Option<WebApplication>> = HashMap::new();
    let mut found: BTreeMap<Key, WebApplication> = BTreeMap::new();
    let mut shared = HashMap::new();
    let (mut visits, mut rest, mut listings, mut left) = (0_usize, 0_usize, FOLDERS_CAP, PLUGINS_COST_CAP);
    for site in &host.sites().all {
        // Sites of one server may have all their paths from it.
        let key = (Rc::as_ptr(&site.paths), site.root.clone());
        let folders = shared.entry(key).or_insert_with(|| folders(site, &mut listings));
        for (virtual_path, folder) in folders.iter() {
            let key = (site.view.clone(), folder.clone());
            visits += 1;
            if visits > VISITS_CAP || (seen.len() >= FOLDERS_CAP && !seen.contains_key(&key)) {
                snapshot.skip(folder, 0, TOO_MANY);
                continue;
            }
            let application = seen.entry(key).or_insert_with(|| rules.application(host, site, folder));
            let Some(application) = application else { continue };
            for (at, domain) in site.domains.iter().enumerate() {
                if found.len() > ITEM_CAP {
                    rest += site.domains.len() - at;
                    break;
                }
                left = left.saturating_sub(application.plugins.iter().map(WebPlugin::cost).sum());
                if left == 0 && !application.plugins.is_empty() {
                    application.plugins.clear();
                    application.truncated.push("plugins".to_owned());
                }
                let mut item = application.clone();
                let mut fields = Fields { escaped: item.escaped, truncated: std::mem::take(&mut item.truncated) };
                item.domain = fields.text("domain", domain.as_bytes(), TEXT_CAP);
                item.virtual_path = fields.text("virtual_path", virtual_path.as_bytes(), SHORT_CAP);
                item.service = site.service;
                item.container_id.clone_from(&site.container_id);
                (item.escaped, item.truncated) = (fields.escaped, fields.truncated);
                let (root_path, virtual_path) = (item.root_path.clone(), item.virtual_path.clone());
                let key = (item.container_id.clone(), item.name.clone(), root_path, item.domain.clone(), virtual_path);
                found.entry(key).or_insert(item);
            }
        }
    }
    let total = found.len() + rest;
    snapshot.fill(found.into_values().map(|item| Item::WebApplication(Box::new(item))).collect());
    if rest > 0 {
        snapshot.outcome = Outcome::Truncated { total };
    }
    snapshot
}

impl WebPlugin {
    /// What it takes in memory.
    fn cost(&self) -> usize {
        let texts = [Some(&self.name), self.version.as_ref(), self.description.as_ref(), self.link.as_ref()];
        texts.into_iter().flatten().map(|text| text.len() + 64).sum()
    }
}

/// The folders of a site in which an application may be: its root, those of its paths, and one level below where still
/// so many may be listed.
fn folders(site: &Site, listings: &mut usize) -> Vec<(String, String)> {
    let mut tops: Vec<(String, String)> = site.root.iter().map(|root| ("/".to_owned(), root.to_string())).collect();
    tops.extend(site.paths.iter().filter(|(path, _)| path.starts_with('/')).filter_map(|(path, folder)| {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        Some((path.to_owned(), folder.clone()?))
    }));
    let mut folders = Vec::new();
    let mut seen = HashSet::new();
    for (virtual_path, folder) in tops {
        if !seen.insert((virtual_path.clone(), folder.clone())) {
            continue;
        }
        let names = if *listings > 0 { site.view.list(&folder).unwrap_or_default() } else { Vec::new() };
        *listings = listings.saturating_sub(1);
        for name in names.iter().filter(|name| !name.starts_with('.')).take(SUBFOLDERS_CAP) {
            let below = joined(&folder, name);
            if site.view.metadata(&below).is_ok_and(|metadata| metadata.is_dir()) {
                folders.push((joined(&virtual_path, name), below));
            }
        }
        folders.push((virtual_path, folder));
    }
    // What an alias serves stands before what merely lies in the root's folder of that name.
    let mut taken = HashSet::new();
    folders.retain(|entry| taken.insert(entry.clone()));
    folders
}

/// The table with its patterns compiled.
struct Rules(Vec<(&'static Application, Vec<Regex>)>);

impl Rules {
    fn new() -> Self {
        let compiled = |application: &'static Application| {
            (application, application.version.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect())
        };
        Rules(table::APPLICATIONS.iter().map(compiled).collect())
    }

    fn application(&self, host: &Host<'_>, site: &Site, folder: &str) -> Option<WebApplication> {
        let names: HashSet<String> = site.view.list(folder).ok()?.into_iter().collect();
        for (rule, patterns) in &self.0 {
            if !rule.file.split('/').next().is_some_and(|first| names.contains(first)) {
                continue;
            }
            let Ok((head, _)) = site.view.read_head(&joined(folder, rule.file), HEAD_CAP) else { continue };
            if !rule.mark.is_empty() && !contains(&head, rule.mark.as_bytes()) {
                continue;
            }
            // Versions that stand in parts are put together.
            let parts: Vec<String> = patterns.iter().filter_map(|pattern| group(pattern, &head)).collect();
            let version = (!parts.is_empty()).then(|| parts.join("."));
            let mut fields = Fields::default();
            let (plugins, plugin_count) = plugins(&site.view, folder, rule.plugins, &mut fields);
            let server = host.processes().ok().and_then(|processes| processes.get(site.pid));
            let owner = site.view.metadata(folder).ok();
            let owner = server.zip(owner).map(|(server, owner)| host.person(server).user(owner.uid()));
            return Some(WebApplication {
                name: rule.name.to_owned(),
                version: fields.optional("version", version.as_deref(), TEXT_CAP),
                root_path: fields.text("root_path", folder.as_bytes(), PATH_CAP),
                service: site.service,
                domain: String::new(),
                virtual_path: String::new(),
                plugins,
                plugin_count,
                user: owner,
                container_id: None,
                escaped: fields.escaped,
                truncated: fields.truncated,
            });
        }
        None
    }
}

/// Plugins lie in folders of their own, each with a file that describes it.
fn plugins(view: &Root, folder: &str, rules: &[PluginRule], fields: &mut Fields) -> (Vec<WebPlugin>, u32) {
    let (mut plugins, mut count) = (Vec::new(), 0);
    for rule in rules {
        let pattern = |pattern: &str| Regex::new(pattern).ok();
        let Some(name) = pattern(rule.name) else { continue };
        let (version, description, link) = (pattern(rule.version), pattern(rule.description), pattern(rule.link));
        let base = joined(folder, rule.folder);
        for plugin in view.list(&base).unwrap_or_default().iter().take(FOLDERS_CAP) {
            let Some(head) = description_of(view, &joined(&base, plugin), rule.suffix, &name) else { continue };
            count += 1;
            if plugins.len() >= PLUGINS_CAP {
                continue;
            }
            let mut text = |pattern: &Option<Regex>| {
                let found = group(pattern.as_ref()?, &head)?;
                fields.optional("plugins", Some(found.trim()), SHORT_CAP)
            };
            plugins.push(WebPlugin {
                name: text(&Some(name.clone())).unwrap_or_else(|| plugin.clone()),
                version: text(&version),
                description: text(&description),
                link: text(&link),
            });
        }
    }
    fields.truncated.dedup();
    (plugins, count)
}

/// The head of the file of a plugin's folder that says what it is.
fn description_of(view: &Root, folder: &str, suffix: &str, name: &Regex) -> Option<Vec<u8>> {
    let files = view.list(folder).ok()?;
    let mut files = files.iter().filter(|file| file.ends_with(suffix)).take(50);
    files.find_map(|file| {
        let (head, _) = view.read_head(&joined(folder, file), PLUGIN_HEAD_CAP).ok()?;
        name.is_match(&head).then_some(head)
    })
}

fn group(pattern: &Regex, bytes: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(pattern.captures(bytes)?.get(1)?.as_bytes()).into_owned())
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}
