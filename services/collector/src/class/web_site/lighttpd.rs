//! lighttpd's sites: what it says for the sockets that it listens on, and for the hosts that are asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Binding, Described, SITES_CAP, WebProtocol, joined, split_address};
use crate::config::Reader;
use crate::config::lighttpd::{self, Event};
use crate::product::Instance;

/// A socket and a host, each none where the condition does not ask for it.
type Scope = (Option<String>, Option<String>);

/// What is said for a scope.
#[derive(Debug, Default)]
struct Server {
    root: Option<String>,
    is_tls: bool,
    paths: Vec<(String, Option<String>)>,
}

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let (mut port, mut bind) = (None, String::new());
    let mut servers: BTreeMap<Scope, Server> = BTreeMap::from([((None, None), Server::default())]);
    // Of each open block what it asks for; none of a condition that says nothing of the site.
    let mut blocks: Vec<Option<Scope>> = Vec::new();
    for event in lighttpd::read(reader, config) {
        let outer = blocks.last().cloned().unwrap_or(Some((None, None)));
        match event {
            Event::Open(condition) => blocks.push(inner(outer, condition)),
            Event::Close => _ = blocks.pop(),
            Event::Set(name, values) => {
                let Some(scope) = outer else { continue };
                let is_main = scope == (None, None);
                let server = servers.entry(scope).or_default();
                let text = values.first().map(|(_, text)| text.as_str()).unwrap_or_default();
                match name.as_str() {
                    "server.port" if is_main => port = text.parse().ok(),
                    "server.bind" if is_main => text.clone_into(&mut bind),
                    "server.document-root" => server.root = Some(absolute(text, instance)),
                    "ssl.engine" => server.is_tls = text == "enable",
                    "alias.url" => server.paths.extend(
                        values.iter().filter_map(|(key, path)| Some((key.clone()?, Some(absolute(path, instance))))),
                    ),
                    _ => {}
                }
            }
        }
    }
    let is_tls = servers.get(&(None, None)).is_some_and(|main| main.is_tls);
    let port: u16 = port.unwrap_or(if is_tls { 443 } else { 80 });
    let sockets: BTreeSet<Option<String>> = servers.keys().map(|(socket, _)| socket.clone()).collect();
    let mut sites = Vec::new();
    for socket in sockets {
        let is_tls = servers.get(&(socket.clone(), None)).is_some_and(|server| server.is_tls);
        let protocol = if is_tls { WebProtocol::Https } else { WebProtocol::Http };
        let (address, port) = match &socket {
            None if bind.starts_with('/') => continue,
            None => (bind.as_str(), port),
            Some(socket) => match split_address(socket) {
                (address, Some(port)) => {
                    let Ok(port) = port.parse() else { continue };
                    (address, port)
                }
                _ => continue,
            },
        };
        let address = if address == "*" { "" } else { address.trim_matches(['[', ']']) };
        let binding = Binding { protocol, address: address.to_owned(), port };
        let hosts = servers.keys().filter(|(of, _)| of.is_none() || *of == socket).map(|(_, host)| host.clone());
        for host in hosts.collect::<BTreeSet<_>>() {
            if sites.len() >= SITES_CAP {
                return sites;
            }
            sites.push(described(&servers, &socket, &host, binding.clone()));
        }
    }
    sites
}

fn described(
    servers: &BTreeMap<Scope, Server>,
    socket: &Option<String>,
    host: &Option<String>,
    binding: Binding,
) -> Described {
    // What is asked for more closely stands first.
    let scopes = [(socket, host), (&None, host), (socket, &None), (&None, &None)];
    let mut scopes: Vec<Scope> = scopes.iter().map(|(socket, host)| ((*socket).clone(), (*host).clone())).collect();
    scopes.dedup();
    let found: Vec<&Server> = scopes.iter().filter_map(|scope| servers.get(scope)).collect();
    let root = found.iter().find_map(|server| server.root.clone());
    // The last list that is set counts, as a whole.
    let paths = found.iter().map(|server| &server.paths).find(|paths| !paths.is_empty()).cloned().unwrap_or_default();
    Described { bindings: vec![binding], domains: vec![host.clone().unwrap_or_default()], root, paths }
}

/// What a block asks for, inside another.
fn inner(outer: Option<Scope>, condition: Option<(String, &'static str, String)>) -> Option<Scope> {
    let (socket, host) = outer?;
    let Some((of, how, text)) = condition else { return Some((socket, host)) };
    match (of.as_str(), how) {
        ("SERVER.socket", "==") => Some((Some(text), host)),
        ("HTTP.host", "==") => Some((socket, Some(text.to_ascii_lowercase()))),
        ("HTTP.host", "=~") => Some((socket, Some(format!("~{text}")))),
        _ => None,
    }
}

fn absolute(path: &str, instance: &Instance) -> String {
    if path.starts_with('/') { joined(path, "") } else { joined(instance.cwd.as_deref().unwrap_or("/"), path) }
}
