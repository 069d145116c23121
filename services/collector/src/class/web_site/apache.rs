//! Apache's virtual hosts, and the main server beside them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Binding, Described, WebProtocol, joined, split_address};
use crate::config::Reader;
use crate::config::apache::{self, Event};
use crate::product::Instance;
use crate::text::lines;

/// Sections that only hold directives together.
const TRANSPARENT: [&str; 9] =
    ["ifmodule", "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection", "if", "else", "requireall"];

/// A virtual host, or the main server.
#[derive(Debug, Default)]
struct Server {
    addresses: Vec<String>,
    domains: Vec<String>,
    root: Option<String>,
    is_tls: bool,
    paths: Vec<(String, Option<String>)>,
}

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let folder = config.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let base = instance.home.as_deref().unwrap_or(folder);
    let names = environment(instance, folder);
    let mut base = base.to_owned();
    let mut listens: Vec<(String, u16, bool)> = Vec::new();
    let mut main = Server::default();
    let mut hosts: Vec<Server> = Vec::new();
    let mut sections: Vec<String> = Vec::new();
    for event in apache::read(reader, config, &base.clone(), names) {
        match event {
            Event::Open(name, arguments) => {
                if name == "virtualhost" {
                    hosts.push(Server { addresses: arguments, ..Server::default() });
                }
                sections.push(name);
            }
            Event::Close => _ = sections.pop(),
            Event::Simple(name, arguments) => {
                let inner = sections.iter().rev().find(|name| !TRANSPARENT.contains(&name.as_str()));
                let server = match inner.map(String::as_str) {
                    None => &mut main,
                    Some("virtualhost") => match hosts.last_mut() {
                        Some(host) => host,
                        None => continue,
                    },
                    // Folders, files and locations say nothing of the site.
                    Some(_) => continue,
                };
                match (name.as_str(), arguments.as_slice()) {
                    ("serverroot", [path]) => base.clone_from(path),
                    ("listen", [address, rest @ ..]) => listens.extend(listen(address, rest)),
                    ("documentroot", [path, ..]) => server.root = Some(absolute(path, &base)),
                    ("servername", [name, ..]) => server.domains.insert(0, domain(name)),
                    ("serveralias", names) => server.domains.extend(names.iter().map(|name| domain(name))),
                    ("sslengine", [on, ..]) => server.is_tls = on.eq_ignore_ascii_case("on"),
                    ("alias" | "scriptalias", [path, folder]) => {
                        server.paths.push((path.clone(), Some(absolute(folder, &base))));
                    }
                    ("aliasmatch" | "scriptaliasmatch", [path, ..]) => server.paths.push((format!("~ {path}"), None)),
                    ("proxypass", [path, ..]) => server.paths.push((path.clone(), None)),
                    _ => {}
                }
            }
        }
    }
    described(main, hosts, &listens)
}

fn described(main: Server, hosts: Vec<Server>, listens: &[(String, u16, bool)]) -> Vec<Described> {
    let mut sites = Vec::new();
    let mut taken: Vec<u16> = Vec::new();
    for host in hosts {
        let mut bindings = Vec::new();
        for address in &host.addresses {
            let (address, port) = split_address(address);
            let address = if matches!(address, "*" | "_default_") { "" } else { address };
            let ports: Vec<(u16, bool)> = match port {
                Some("*") | None => listens.iter().map(|(_, port, tls)| (*port, *tls)).collect(),
                Some(port) => port.parse().map(|port| (port, false)).into_iter().collect(),
            };
            for (port, tls) in ports {
                taken.push(port);
                bindings.push(binding(address, port, tls || host.is_tls));
            }
        }
        sites.push(site(host, bindings));
    }
    // What no virtual host takes is the main server's.
    let rest = listens.iter().filter(|(_, port, _)| !taken.contains(port));
    let rest: Vec<Binding> = rest.map(|(address, port, tls)| binding(address, *port, *tls || main.is_tls)).collect();
    if !rest.is_empty() && main.root.is_some() {
        sites.push(site(main, rest));
    }
    sites
}

fn binding(address: &str, port: u16, is_tls: bool) -> Binding {
    let protocol = if is_tls || port == 443 { WebProtocol::Https } else { WebProtocol::Http };
    Binding { protocol, address: address.to_owned(), port }
}

fn site(server: Server, mut bindings: Vec<Binding>) -> Described {
    let mut domains = server.domains;
    domains.sort();
    domains.dedup();
    if domains.is_empty() {
        domains.push(String::new());
    }
    bindings.sort();
    bindings.dedup();
    Described { bindings, domains, root: server.root.map(Rc::from), paths: Rc::new(server.paths) }
}

/// `Listen [address:]port [protocol]`.
fn listen(address: &str, rest: &[String]) -> Option<(String, u16, bool)> {
    let (address, port) = split_address(address);
    let address = if address == "*" { "" } else { address };
    Some((address.to_owned(), port?.parse().ok()?, rest.first().is_some_and(|p| p.eq_ignore_ascii_case("https"))))
}

/// A server's name without scheme and port.
fn domain(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    split_address(name).0.to_ascii_lowercase()
}

fn absolute(path: &str, base: &str) -> String {
    if path.starts_with('/') { joined(path, "") } else { joined(base, path) }
}

/// Debian's `envvars` beside the configuration: what its scripts put into the environment.
fn environment(instance: &Instance, folder: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let bytes = instance.view.read(&format!("{folder}/envvars")).unwrap_or_default();
    for (_, line) in lines(&bytes).take(1_000) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Some((name, value)) = line.trim().strip_prefix("export ").and_then(|rest| rest.split_once('=')) else {
            continue;
        };
        // `$SUFFIX` is empty but for further instances.
        let value = value.trim_matches(['"', '\'']).replace("$SUFFIX", "");
        if !value.contains(['$', '`']) {
            names.insert(name.to_owned(), value);
        }
    }
    names
}
