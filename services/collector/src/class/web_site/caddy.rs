//! Caddy's sites, as a Caddyfile describes them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Binding, Described, Paths, SITES_CAP, WebProtocol, joined, split_address};
use crate::config::Reader;
use crate::config::caddy;
use crate::config::nginx::Event;
use crate::product::Instance;

/// Commands that take everything from their options.
const WITHOUT_CONFIGURATION: [&str; 3] = ["file-server", "respond", "reverse-proxy"];

/// Whether an instance reads a Caddyfile; other forms are not understood, nor what it was told while it ran.
pub(super) fn is_understood(instance: &Instance) -> bool {
    let command = instance.options.all().get(1).map(String::as_str).unwrap_or_default();
    let is_caddyfile = instance.config.as_deref().is_none_or(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        !name.rsplit_once('.').is_some_and(|(_, kind)| matches!(kind, "json" | "json5" | "yaml" | "yml" | "toml"))
    });
    let is_adapted = instance.options.value(&["-a", "--adapter", "-adapter"]).is_some_and(|name| name != "caddyfile");
    let resumes = |arg: &String| matches!(arg.split('=').next(), Some("-r" | "--resume" | "-resume"));
    let is_other = is_adapted || instance.options.all().iter().any(resumes);
    is_caddyfile && !is_other && !WITHOUT_CONFIGURATION.contains(&command)
}

/// What counts for all sites.
struct Globals {
    http_port: u16,
    https_port: u16,
    binds: Vec<String>,
}

/// A site's block.
#[derive(Default)]
struct Server {
    addresses: Vec<String>,
    binds: Vec<String>,
    root: Option<Rc<str>>,
    is_tls: bool,
    paths: Paths,
}

/// A block in a site's: where it holds, and whether that is taken off the path. None where it says nothing of files.
type Part = Option<(Option<String>, bool)>;

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let mut globals = Globals { http_port: 80, https_port: 443, binds: Vec::new() };
    let mut servers: Vec<Server> = Vec::new();
    // The blocks that are open; of the first the kind.
    let mut parts: Vec<Part> = Vec::new();
    let mut top = Top::None;
    for event in caddy::read(reader, config) {
        match event {
            Event::Open(words) if parts.is_empty() && top != Top::Whole => {
                top = match words.first().map(String::as_str) {
                    None => Top::Globals,
                    Some(first) if first.starts_with("&(") || first.starts_with('(') => Top::Other,
                    Some(_) => Top::Site,
                };
                if top == Top::Site {
                    servers.push(Server { addresses: addresses(&words), ..Server::default() });
                }
                parts.push(Some((None, false)));
            }
            Event::Open(words) => {
                let opaque = matches!(top, Top::Globals | Top::Other) || parts.iter().any(Option::is_none);
                parts.push(part(&words).filter(|_| !opaque));
                if let Some(server) =
                    servers.last_mut().filter(|_| !opaque && words.first().is_some_and(|name| name == "tls"))
                {
                    server.is_tls = true;
                }
            }
            Event::Close => _ = parts.pop(),
            // A file of one site needs no braces.
            Event::Simple(words) if parts.is_empty() && top != Top::Whole => {
                if servers.is_empty() {
                    top = Top::Whole;
                    servers.push(Server { addresses: addresses(&words), ..Server::default() });
                }
            }
            Event::Simple(words) => match top {
                Top::Globals if parts.len() == 1 => globals.directive(&words),
                Top::Site | Top::Whole => {
                    let inner = &parts[usize::from(top == Top::Site).min(parts.len())..];
                    let inner: Option<Vec<&(Option<String>, bool)>> = inner.iter().map(Option::as_ref).collect();
                    if let (Some(server), Some(inner)) = (servers.last_mut(), inner) {
                        server.directive(&words, &inner, instance);
                    }
                }
                _ => {}
            },
        }
    }
    // Each port has its own copy of all addresses.
    let mut left = SITES_CAP;
    let sites = servers.into_iter().flat_map(|server| server.described(&globals)).take_while(|site| {
        let is_open = left > 0;
        left = left.saturating_sub(site.bindings.len());
        is_open
    });
    sites.collect()
}

/// What the block is whose directives are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Top {
    None,
    Globals,
    Site,
    /// The only site, of the whole file.
    Whole,
    Other,
}

fn addresses(words: &[String]) -> Vec<String> {
    let all = words.iter().flat_map(|word| word.split(','));
    all.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

fn part(words: &[String]) -> Part {
    let matcher = words.get(1).map(String::as_str);
    match (words.first()?.as_str(), matcher) {
        ("handle" | "route", None | Some("*")) => Some((None, false)),
        ("handle" | "route", Some(path)) if path.starts_with('/') => Some((Some(path.to_owned()), false)),
        ("handle_path", Some(path)) if path.starts_with('/') => Some((Some(path.to_owned()), true)),
        _ => None,
    }
}

impl Globals {
    fn directive(&mut self, words: &[String]) {
        match words {
            [name, port] if name == "http_port" => self.http_port = port.parse().unwrap_or(self.http_port),
            [name, port] if name == "https_port" => self.https_port = port.parse().unwrap_or(self.https_port),
            [name, addresses @ ..] if name == "default_bind" => self.binds = addresses.to_vec(),
            _ => {}
        }
    }
}

impl Server {
    fn directive(&mut self, words: &[String], inner: &[&(Option<String>, bool)], instance: &Instance) {
        match words {
            [name, addresses @ ..] if name == "bind" => self.binds.extend_from_slice(addresses),
            [name, ..] if name == "tls" => self.is_tls = true,
            [name, rest @ .., folder] if name == "root" && rest.len() < 2 => {
                let folder = absolute(folder, instance);
                let own = rest.first().map(String::as_str).filter(|matcher| *matcher != "*");
                let outer = inner.iter().rev().find_map(|(path, strips)| Some((path.as_deref()?, *strips)));
                match (own, outer) {
                    (None, None) => _ = self.root.get_or_insert(folder.into()),
                    (None, Some((path, true))) => self.path(path, folder),
                    (Some(path), None) if path.starts_with('/') => self.path(path, joined(&folder, plain(path))),
                    (None, Some((path, false))) => self.path(path, joined(&folder, plain(path))),
                    // Conditions of other kinds.
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn path(&mut self, path: &str, folder: String) {
        Rc::make_mut(&mut self.paths).push((plain(path).to_owned(), Some(folder)));
    }

    /// A site per protocol and port, each with its domains.
    fn described(self, globals: &Globals) -> impl Iterator<Item = Described> {
        let mut ports: BTreeMap<(WebProtocol, u16), Vec<String>> = BTreeMap::new();
        for address in &self.addresses {
            let (scheme, rest) =
                address.split_once("://").map_or((None, address.as_str()), |(s, rest)| (Some(s), rest));
            let (host, port) = split_address(rest.split('/').next().unwrap_or(rest));
            let host = if host == "*" { "" } else { host };
            let usual = if scheme == Some("http") { globals.http_port } else { globals.https_port };
            let Some(port) = port.map_or(Some(usual), |port| port.parse().ok()) else { continue };
            let is_tls = match scheme {
                Some(scheme) => scheme == "https",
                None if port == globals.http_port => false,
                // A name is enough for a certificate.
                None => port == globals.https_port || self.is_tls || !host.is_empty(),
            };
            let protocol = if is_tls { WebProtocol::Https } else { WebProtocol::Http };
            ports.entry((protocol, port)).or_default().push(host.to_ascii_lowercase());
        }
        let binds = if self.binds.is_empty() { &globals.binds } else { &self.binds };
        let mut binds: Vec<String> = binds.iter().map(|bind| bind.trim_matches(['[', ']']).to_owned()).collect();
        binds.retain(|bind| !bind.contains('/'));
        if binds.is_empty() {
            binds.push(String::new());
        }
        let site = move |((protocol, port), mut domains): ((WebProtocol, u16), Vec<String>)| {
            domains.sort();
            domains.dedup();
            let binding = |bind: &String| Binding { protocol, address: bind.clone(), port };
            let (bindings, root) = (binds.iter().map(binding).collect(), self.root.clone());
            Described { bindings, domains, root, paths: Rc::clone(&self.paths) }
        };
        ports.into_iter().map(site)
    }
}

/// A path without the wildcard at its end.
fn plain(path: &str) -> &str {
    path.trim_end_matches('*')
}

fn absolute(path: &str, instance: &Instance) -> String {
    if path.starts_with('/') { joined(path, "") } else { joined(instance.cwd.as_deref().unwrap_or("/"), path) }
}
