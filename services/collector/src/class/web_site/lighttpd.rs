//! lighttpd's sites: what it says for the sockets that it listens on, and for the hosts that are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Binding, Described, PATH_CAP, Paths, SITES_CAP, TEXT_CAP, WebProtocol, joined, split_address};
use crate::config::Reader;
use crate::config::lighttpd::{self, Event};
use crate::product::Instance;
use crate::text;

/// So many bytes of folders are kept; further paths stand without theirs.
const FOLDERS_CAP: usize = 16 << 20;

/// A socket and a host, each none where the condition does not ask for it.
type Scope = (Option<Rc<str>>, Option<Rc<str>>);

/// What is said for a scope.
#[derive(Debug, Default)]
struct Server {
    root: Option<Rc<str>>,
    is_tls: bool,
    paths: Paths,
}

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let (mut port, mut bind) = (None, String::new());
    let mut servers: BTreeMap<Scope, Server> = BTreeMap::from([((None, None), Server::default())]);
    // Of each open block what it asks for; none of a condition that says nothing of the site.
    let mut blocks: Vec<Option<Scope>> = Vec::new();
    let mut left = FOLDERS_CAP;
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
                    "server.document-root" => {
                        // No folder has a longer path.
                        server.root =
                            Some(absolute(text, instance).into()).filter(|root: &Rc<str>| root.len() <= PATH_CAP);
                    }
                    "ssl.engine" => server.is_tls = text == "enable",
                    "alias.url" => Rc::make_mut(&mut server.paths).extend(values.iter().filter_map(|(key, path)| {
                        let folder = (left > 0).then(|| absolute(path, instance));
                        left = left.saturating_sub(folder.as_ref().map_or(0, String::len));
                        Some((key.clone()?, folder))
                    })),
                    _ => {}
                }
            }
        }
    }
    let is_tls = servers.get(&(None, None)).is_some_and(|main| main.is_tls);
    let port: u16 = port.unwrap_or(if is_tls { 443 } else { 80 });
    let mut sockets: BTreeMap<Option<Rc<str>>, BTreeSet<Option<Rc<str>>>> = BTreeMap::new();
    for (socket, host) in servers.keys() {
        sockets.entry(socket.clone()).or_default().insert(host.clone());
    }
    let everywhere = sockets.get(&None).cloned().unwrap_or_default();
    let mut sites = Vec::new();
    for (socket, hosts) in sockets {
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
        for host in hosts.union(&everywhere) {
            if sites.len() >= SITES_CAP {
                return sites;
            }
            sites.push(described(&servers, &socket, host, binding.clone()));
        }
    }
    sites
}

fn described(
    servers: &BTreeMap<Scope, Server>,
    socket: &Option<Rc<str>>,
    host: &Option<Rc<str>>,
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
    // What is longer is cut in the end, and need not be kept for each site.
    let mut domain = host.as_deref().unwrap_or_default().to_owned();
    text::cap(&mut domain, 2 * TEXT_CAP);
    Described { bindings: vec![binding], domains: vec![domain], root, paths }
}

/// What a block asks for, inside another.
fn inner(outer: Option<Scope>, condition: Option<(String, &'static str, String)>) -> Option<Scope> {
    let (socket, host) = outer?;
    let Some((of, how, text)) = condition else { return Some((socket, host)) };
    match (of.as_str(), how) {
        ("SERVER.socket", "==") => Some((Some(text.into()), host)),
        ("HTTP.host", "==") => Some((socket, Some(text.to_ascii_lowercase().into()))),
        ("HTTP.host", "=~") => Some((socket, Some(format!("~{text}").into()))),
        _ => None,
    }
}

fn absolute(path: &str, instance: &Instance) -> String {
    if path.starts_with('/') { joined(path, "") } else { joined(instance.cwd.as_deref().unwrap_or("/"), path) }
}
