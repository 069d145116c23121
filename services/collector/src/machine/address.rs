//! The machine's addresses out of `/proc`, where the kernel prints its own tables: `fib_trie` (IPv4) and `if_inet6`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Root;

/// The most addresses that are reported.
const ADDRESS_CAP: usize = 64;

pub(crate) fn read(root: &Root) -> Vec<IpAddr> {
    // The first process lives in the host's network namespace, the collector perhaps in its pod's.
    let table = |name: &str| {
        root.read_trimmed(&format!("/proc/1/net/{name}")).or_else(|| root.read_trimmed(&format!("/proc/net/{name}")))
    };
    let v4 = table("fib_trie").map(|trie| local_v4(&trie)).unwrap_or_default();
    let v6 = table("if_inet6").map(|list| global_v6(&list)).unwrap_or_default();
    let gateway = table("route").and_then(|routes| default_gateway(&routes));
    order(v4, v6, gateway)
}

fn order(v4: BTreeSet<Ipv4Addr>, v6: BTreeSet<Ipv6Addr>, gateway: Option<Ipv4Addr>) -> Vec<IpAddr> {
    let mut v4: Vec<Ipv4Addr> = v4.into_iter().collect();
    if let Some(gateway) = gateway {
        // The neighbour of the gateway first: the longest common prefix.
        v4.sort_by_key(|address| (address.to_bits() ^ gateway.to_bits(), *address));
    }
    v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)).take(ADDRESS_CAP).collect()
}

/// A leaf is printed as `|-- 192.0.2.2` and below it `/32 host LOCAL`.
pub(crate) fn local_v4(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut found = BTreeSet::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim().parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    found
}

/// A line is address, interface, prefix, scope, flags, name, all but the name in hex; scope 0 is global.
fn global_v6(list: &str) -> BTreeSet<Ipv6Addr> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let bits = u128::from_str_radix(words.next()?, 16).ok()?;
            (words.nth(2)? == "00").then(|| Ipv6Addr::from_bits(bits))
        })
        .collect()
}

fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (destination, gateway, mask) = (words.get(1)?, words.get(2)?, words.get(7)?);
        let bits = u32::from_str_radix(gateway, 16).ok()?;
        // Printed as the machine's own integer over bytes in network order.
        (*destination == "00000000" && *mask == "00000000" && bits != 0).then(|| Ipv4Addr::from(bits.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  |-- 127.0.0.1\n    /32 host LOCAL\n  |-- 10.0.0.9\n    /32 host LOCAL\n  |-- 192.0.2.0\n    /24 link UNICAST\n  |-- 192.0.2.2\n    /32 host LOCAL\n";

    #[test]
    fn the_address_beside_the_gateway_comes_first() {
        let addresses = order(local_v4(TRIE), BTreeSet::new(), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(addresses, ["192.0.2.2".parse::<IpAddr>().unwrap(), "10.0.0.9".parse().unwrap()]);
    }

    #[test]
    fn only_global_ipv6_addresses_count() {
        let list = "fd000000000000000000000000000002 04 40 00 82 eth0\n00000000000000000000000000000001 01 80 10 80 lo\nfe800000000000000000000000000001 04 40 20 80 eth0\n";
        assert_eq!(global_v6(list), BTreeSet::from(["fd00::2".parse().unwrap()]));
    }
}
