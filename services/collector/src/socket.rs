//! The TCP sockets on which one process listens.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Root;

/// A process has at most so many open files that are looked at.
const FILES_CAP: usize = 100_000;
const LISTEN: &str = "0A";

/// Where the process listens, sorted; none when its open files may not be seen.
pub(crate) fn listening(root: &Root, pid: u32) -> Option<Vec<(IpAddr, u16)>> {
    let directory = root.resolve(&format!("/proc/{pid}")).ok()?.join("fd");
    let mut inodes = BTreeSet::new();
    for entry in std::fs::read_dir(directory).ok()?.take(FILES_CAP) {
        let target = entry.and_then(|entry| std::fs::read_link(entry.path()));
        let Some(target) = target.ok().and_then(|target| target.into_os_string().into_string().ok()) else { continue };
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    let mut found = BTreeSet::new();
    // Through the process, so that those of its own network are seen.
    for table in ["tcp", "tcp6"] {
        let bytes = root.read(&format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in String::from_utf8_lossy(&bytes).lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = fields.as_slice() else { continue };
            if inode.parse().is_ok_and(|inode: u64| inodes.contains(&inode)) {
                found.extend(address(local));
            }
        }
    }
    Some(found.into_iter().collect())
}

/// An address as the kernel writes it: words of four bytes in the machine's order, in hexadecimal.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let bytes = hex::decode(address).ok()?;
    let mut bytes: Vec<u8> = bytes.chunks_exact(4).flat_map(|word| word.iter().rev().copied()).collect();
    if cfg!(target_endian = "big") {
        bytes = hex::decode(address).ok()?;
    }
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_in_the_machines_order() {
        assert_eq!(address("0100007F:0CEA").map(|a| (a.0.to_string(), a.1)), Some(("127.0.0.1".to_owned(), 3306)));
        let v6 = address("00000000000000000000000001000000:0050").map(|a| a.0.to_string());
        assert_eq!(v6.as_deref(), Some("::1"));
        assert_eq!(address("junk"), None);
        assert_eq!(address("0100:zz"), None);
    }
}
