//! nginx's server blocks.

use std::rc::Rc;

use super::{Binding, Described, Paths, WebProtocol, joined, split_address};
use crate::config::Reader;
use crate::config::nginx::{self, Event};
use crate::product::Instance;

/// What one block says and hands down.
#[derive(Debug, Clone, Default)]
struct Block {
    name: String,
    root: Option<String>,
    is_tls: bool,
    /// Of a location: its path, `alias`, and whether something else answers.
    path: String,
    alias: Option<String>,
    is_passed_on: bool,
}

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let mut sites: Vec<Described> = Vec::new();
    let mut blocks = vec![Block { name: "main".to_owned(), ..Block::default() }];
    // The server whose block is open, its locations and its listening directives.
    let mut server: Option<(Described, Vec<Block>, Vec<Vec<String>>)> = None;
    for event in nginx::read(reader, config) {
        match event {
            Event::Open(words) => {
                let outer = blocks.last().cloned().unwrap_or_default();
                let name = words.first().cloned().unwrap_or_default();
                if name == "server" && server.is_none() && outer.name == "http" {
                    let described =
                        Described { bindings: Vec::new(), domains: Vec::new(), root: None, paths: Paths::default() };
                    server = Some((described, Vec::new(), Vec::new()));
                }
                let path = if name == "location" { words[1..].join(" ") } else { String::new() };
                // What a server says counts for its locations wherever in its block it stands: that is seen at its end.
                let root = outer.root.filter(|_| name == "server" || outer.name != "server");
                blocks.push(Block { name, path, root, is_tls: outer.is_tls, ..Block::default() });
            }
            Event::Simple(words) => {
                let Some(block) = blocks.last_mut() else { continue };
                match (words[0].as_str(), words.get(1)) {
                    ("root", Some(path)) => block.root = Some(absolute(path, instance)),
                    ("alias", Some(path)) => block.alias = Some(absolute(path, instance)),
                    ("ssl", Some(on)) => block.is_tls = on == "on",
                    ("listen", Some(_)) if block.name == "server" => {
                        server.iter_mut().for_each(|(_, _, listens)| listens.push(words[1..].to_vec()));
                    }
                    ("server_name", Some(_)) if block.name == "server" => {
                        let names = words[1..].iter().map(|name| domain(name));
                        server.iter_mut().for_each(|(site, _, _)| site.domains.extend(names.clone()));
                    }
                    (name, Some(_)) if name.ends_with("_pass") => block.is_passed_on = true,
                    _ => {}
                }
            }
            Event::Close => {
                let Some(block) = blocks.pop().filter(|_| !blocks.is_empty()) else {
                    blocks.push(Block::default());
                    continue;
                };
                if block.name == "location" {
                    server.iter_mut().for_each(|(_, locations, _)| locations.push(block.clone()));
                }
                let is_server = block.name == "server" && blocks.last().is_some_and(|outer| outer.name == "http");
                if is_server && let Some((mut site, locations, listens)) = server.take() {
                    let paths = locations.iter().filter_map(|one| location(one, block.root.as_deref()));
                    site.paths = Rc::new(paths.collect());
                    site.root = block.root.map(Rc::from);
                    site.bindings = bindings(&listens, block.is_tls);
                    site.domains.sort();
                    site.domains.dedup();
                    if site.domains.is_empty() {
                        site.domains.push(String::new());
                    }
                    sites.push(site);
                }
            }
        }
    }
    sites
}

fn absolute(path: &str, instance: &Instance) -> String {
    if path.starts_with('/') { joined(path, "") } else { joined(instance.home.as_deref().unwrap_or("/"), path) }
}

/// The name of a server; those that match nothing stand for the default one.
fn domain(name: &str) -> String {
    if name == "_" { String::new() } else { name.to_ascii_lowercase() }
}

fn location(block: &Block, inherited: Option<&str>) -> Option<(String, Option<String>)> {
    // Named locations have no path.
    let path = block.path.strip_prefix("= ").or_else(|| block.path.strip_prefix("^~ ")).unwrap_or(&block.path);
    if path.starts_with('@') {
        return None;
    }
    let is_pattern = path.starts_with('~');
    let folder = match (&block.alias, block.root.as_deref().or(inherited)) {
        _ if block.is_passed_on => None,
        (Some(alias), _) => Some(alias.clone()),
        (None, Some(root)) if !is_pattern => Some(joined(root, path)),
        _ => None,
    };
    Some((path.to_owned(), folder))
}

fn bindings(listens: &[Vec<String>], is_tls: bool) -> Vec<Binding> {
    let usual = [vec!["80".to_owned()]];
    let mut bindings = Vec::new();
    for words in if listens.is_empty() { &usual } else { listens } {
        let Some(first) = words.first().filter(|first| !first.starts_with("unix:")) else { continue };
        let (address, port) = split_address(first);
        let Ok(port) = port.unwrap_or("80").parse() else { continue };
        let tls = is_tls || words[1..].iter().any(|word| word == "ssl" || word == "quic");
        bindings.push(Binding {
            protocol: if tls { WebProtocol::Https } else { WebProtocol::Http },
            address: if address == "*" { String::new() } else { address.to_owned() },
            port,
        });
    }
    bindings.sort();
    bindings.dedup();
    bindings
}
