//! Network interfaces out of the kernel's own tables: names from `dev`, addresses and routes from `fib_trie`, `route`,
//! `if_inet6` and `ipv6_route`, the rest from `/sys/class/net`.
//!
//! The kernel prints IPv4 addresses without their interface: each belongs to the interface whose route to a network of
//! its own holds it most closely. One that no such route holds is the only active interface's, if there is only one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Resource, ResourceKind, TEXT_CAP, host_table};
use crate::class::ClassSnapshot;
use crate::machine::address;
use crate::text::{self, Fields};
use crate::{ReadError, Root};

const ADDRESS_CAP: usize = 64;
const SERVER_CAP: usize = 16;
const SMALL: usize = 4_096;
const IFF_UP: u32 = 1;

/// What the tables say of an interface.
#[derive(Debug, Default)]
struct Interface {
    addresses: BTreeSet<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
}

/// A line of `route`.
#[derive(Debug)]
struct Route {
    interface: String,
    destination: Ipv4Addr,
    gateway: Ipv4Addr,
    mask: u32,
}

pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Vec<Resource>, ReadError> {
    let (table, bytes) = host_table(root, "net/dev")?;
    let mut interfaces: BTreeMap<Vec<u8>, Interface> = BTreeMap::new();
    for (number, line) in text::lines(&bytes).skip(2).filter(|(_, line)| !line.trim_ascii().is_empty()) {
        // A name may hold colons (aliases); the counters do not.
        match line.iter().rposition(|&byte| byte == b':') {
            Some(at) => _ = interfaces.entry(line[..at].trim_ascii().to_vec()).or_default(),
            None => snapshot.skip(&table, number, "malformed"),
        }
    }
    let mut optional = |name: &str| match host_table(root, name) {
        Ok((_, bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => {
            // A kernel without IPv6 has no such table.
            if !e.is_missing() {
                snapshot.unread_sources.push(format!("/proc/net/{name}"));
            }
            String::new()
        }
    };
    let routes: Vec<Route> = optional("net/route").lines().filter_map(route).collect();
    let trie = optional("net/fib_trie");
    for (name, address, prefix) in optional("net/if_inet6").lines().filter_map(address_v6) {
        if let Some(interface) = interfaces.get_mut(name.as_bytes()) {
            interface.addresses.insert((address.into(), prefix));
        }
    }
    for (name, gateway) in optional("net/ipv6_route").lines().filter_map(gateway_v6) {
        if let Some(interface) = interfaces.get_mut(name.as_bytes()) {
            interface.gateway.get_or_insert(gateway.into());
        }
    }
    for route in routes.iter().filter(|route| route.mask == 0 && !route.gateway.is_unspecified()) {
        if let Some(interface) = interfaces.get_mut(route.interface.as_bytes()) {
            // The first has the lowest metric; IPv4's is shown where both are there.
            if !matches!(interface.gateway, Some(IpAddr::V4(_))) {
                interface.gateway = Some(route.gateway.into());
            }
        }
    }
    interfaces.retain(|name, _| !is_loopback(root, name));
    assign_v4(root, &mut interfaces, &routes, &trie);
    let servers = name_servers(root);
    Ok(interfaces.into_iter().map(|(name, interface)| resource(root, &name, interface, &servers)).collect())
}

fn assign_v4(root: &Root, interfaces: &mut BTreeMap<Vec<u8>, Interface>, routes: &[Route], trie: &str) {
    let up: Vec<Vec<u8>> = interfaces.keys().filter(|name| is_up(root, name) == Some(true)).cloned().collect();
    for address in address::local_v4(trie) {
        let of = |route: &&Route| {
            route.gateway.is_unspecified()
                && route.mask != 0
                && address.to_bits() & route.mask == route.destination.to_bits()
                && interfaces.contains_key(route.interface.as_bytes())
        };
        let holder = routes.iter().filter(of).max_by_key(|route| route.mask.count_ones());
        let (name, prefix) = match (holder, up.as_slice()) {
            (Some(route), _) => (route.interface.clone().into_bytes(), route.mask.count_ones()),
            (None, [only]) => (only.clone(), 32),
            (None, _) => continue,
        };
        if let Some(interface) = interfaces.get_mut(&name) {
            interface.addresses.insert((address.into(), u8::try_from(prefix).unwrap_or(32)));
        }
    }
}

fn resource(root: &Root, name: &[u8], interface: Interface, servers: &[IpAddr]) -> Resource {
    let mut fields = Fields::default();
    if interface.addresses.len() > ADDRESS_CAP {
        fields.truncated.push("ip_addresses".to_owned());
    }
    let addresses = interface.addresses.iter().take(ADDRESS_CAP);
    Resource {
        kind: ResourceKind::NetworkInterface,
        name: fields.text("name", name, TEXT_CAP),
        mac_address: attribute(root, name, "address")
            .filter(|mac| mac.bytes().any(|byte| !matches!(byte, b'0' | b':'))),
        ip_addresses: addresses.map(|(address, prefix)| format!("{address}/{prefix}")).collect(),
        dns_servers: if interface.gateway.is_some() { servers.to_vec() } else { Vec::new() },
        gateway: interface.gateway,
        is_up: is_up(root, name),
        escaped: fields.escaped,
        truncated: fields.truncated,
        ..Resource::default()
    }
}

/// An attribute of an interface; none for a name that is no single part of a path.
fn attribute(root: &Root, name: &[u8], attribute: &str) -> Option<String> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('/') && !name.starts_with('.'))?;
    let (bytes, _) = root.read_head(&format!("/sys/class/net/{name}/{attribute}"), SMALL).ok()?;
    let text = Fields::default().text(attribute, bytes.trim_ascii(), 63);
    (!text.is_empty()).then_some(text)
}

fn flags(root: &Root, name: &[u8]) -> Option<u32> {
    u32::from_str_radix(attribute(root, name, "flags")?.trim_start_matches("0x"), 16).ok()
}

fn is_loopback(root: &Root, name: &[u8]) -> bool {
    name == b"lo" || flags(root, name).is_some_and(|flags| flags & 8 != 0)
}

/// Drivers that do not tell their state are up when they are switched on.
fn is_up(root: &Root, name: &[u8]) -> Option<bool> {
    match attribute(root, name, "operstate")?.as_str() {
        "up" => Some(true),
        "unknown" => flags(root, name).map(|flags| flags & IFF_UP != 0),
        _ => Some(false),
    }
}

/// A line is interface, destination, gateway, flags, counters, metric, mask, …; the numbers are the machine's own
/// integers over bytes in network order.
fn route(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let bits = u32::from_str_radix(words.get(at)?, 16).ok()?;
        Some(Ipv4Addr::from(bits.to_ne_bytes()))
    };
    Some(Route {
        interface: (*words.first()?).to_owned(),
        destination: address(1)?,
        gateway: address(2)?,
        mask: address(7)?.to_bits(),
    })
}

/// A line is address, interface number, prefix length, scope, flags, name.
fn address_v6(line: &str) -> Option<(&str, Ipv6Addr, u8)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = Ipv6Addr::from_bits(u128::from_str_radix(words.first()?, 16).ok()?);
    Some((words.get(5)?, address, u8::from_str_radix(words.get(2)?, 16).ok()?))
}

/// A line is destination, its length, source, its length, next hop, metric, counters, flags, name.
fn gateway_v6(line: &str) -> Option<(&str, Ipv6Addr)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_default = words.first()?.bytes().all(|byte| byte == b'0') && *words.get(1)? == "00";
    let hop = Ipv6Addr::from_bits(u128::from_str_radix(words.get(4)?, 16).ok()?);
    (is_default && !hop.is_unspecified()).then_some(())?;
    Some((words.get(9)?, hop))
}

/// Where systemd's own resolver stands in between, the servers that it asks.
fn name_servers(root: &Root) -> Vec<IpAddr> {
    let servers = |path: &str| -> Vec<IpAddr> {
        let (bytes, _) = root.read_head(path, 64 << 10).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let server = |line: &str| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            // A link-local address carries its interface: `fe80::1%eth0`.
            words.next()?.split('%').next()?.parse().ok()
        };
        text.lines().filter_map(server).take(SERVER_CAP).collect()
    };
    let asked = servers("/etc/resolv.conf");
    if asked.iter().all(IpAddr::is_loopback) {
        let behind = servers("/run/systemd/resolve/resolv.conf");
        if !behind.is_empty() {
            return behind;
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let route = route("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0").unwrap();
        assert_eq!((route.destination.to_string(), route.mask.count_ones()), ("192.0.2.0".to_owned(), 24));
        let line = "fd000000000000000000000000000002 04 40 00 82     eth0";
        assert_eq!(address_v6(line), Some(("eth0", "fd00::2".parse().unwrap(), 64)));
        let zeros = "0".repeat(32);
        let line = format!("{zeros} 00 {zeros} 00 fd{}01 00000400 00000002 00000000 00000003     eth0", "0".repeat(28));
        assert_eq!(gateway_v6(&line), Some(("eth0", "fd00::1".parse().unwrap())));
        for torn in ["", "eth0", "x y z", "Iface Destination Gateway"] {
            assert!(super::route(torn).is_none() && address_v6(torn).is_none() && gateway_v6(torn).is_none());
        }
    }
}
