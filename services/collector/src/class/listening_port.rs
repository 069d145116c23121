//! Ports that are listened on: the kernel's tables of TCP sockets that listen and UDP sockets that are connected to
//! nobody, and the processes that hold them by their open files.
//!
//! Each network namespace has tables of its own: the host's are those of the first process, those of containers are read
//! by the first process that is found in each. A namespace in which no process runs has no port that one listens on. A
//! socket that several processes hold stands once for each of their
//! executables, with the process that is the oldest; as an ordinary user the processes of others keep their open files
//! to themselves, and such a port stands without a process.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::process::Process;
use crate::text;
use crate::{Host, ReadError, Root};

/// States of a socket as the kernel numbers them.
const LISTEN: u8 = 0x0a;
const UNCONNECTED: u8 = 0x07;

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that is listened on. What is unknown of its process is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningPort {
    /// The protocol.
    pub protocol: TransportProtocol,
    /// The address, unspecified for all.
    pub bind_address: IpAddr,
    /// The port.
    pub port: u16,
    /// The process that listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_name: Option<String>,
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_path: Option<String>,
    /// Its arguments as one line, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// The user whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its parent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<DateTime<Utc>>,
    /// The package that its executable belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_name: Option<String>,
    /// That package's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The container that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The SHA-256 of its executable, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// True in a network of its own, as containers have.
    pub own_network: bool,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// A socket that listens.
#[derive(Debug, Clone, Copy)]
struct Socket {
    protocol: TransportProtocol,
    address: IpAddr,
    port: u16,
    inode: u64,
    /// The place of its network among those that were found; 0 is the host's.
    network: usize,
}

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let mut snapshot = ClassSnapshot::new(Class::ListeningPort);
    let mut sockets = match of_host(host.root(), &mut snapshot) {
        Ok(sockets) => sockets,
        Err(e) if e.is_missing() => {
            return ClassSnapshot::failed(Class::ListeningPort, Outcome::NotPresent { reason: e.to_string() });
        }
        Err(e) => {
            return ClassSnapshot::failed(Class::ListeningPort, Outcome::Unreadable { reason: e.to_string() });
        }
    };
    sockets.extend(of_others(host, &mut snapshot));
    let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).filter(|&inode| inode != 0).collect();
    let holders = holders(host, &inodes, &mut snapshot);
    let described = describe(host, &holders);
    snapshot.unread_sources.extend(host.unread_names());
    let mut ports: BTreeMap<_, (usize, ListeningPort)> = BTreeMap::new();
    for socket in &sockets {
        let holding = holders.get(&socket.inode).map_or(&[][..], Vec::as_slice);
        let described = holding.iter().filter_map(|process| described.get(&process.pid));
        let mut found: Vec<ListeningPort> = described.map(|process| port(socket, process)).collect();
        if found.is_empty() {
            found.push(bare(socket));
        }
        for port in found {
            // The holders come oldest first; of one executable the first stays.
            let container = port.container_id.clone().filter(|_| port.own_network);
            // The host's own come first: no container pushes them out.
            let listens = (port.protocol, port.bind_address, port.port);
            let key = (port.own_network, listens, port.process_path.clone(), container);
            match ports.entry(key) {
                Entry::Vacant(entry) => _ = entry.insert((socket.network, port)),
                Entry::Occupied(entry) if entry.get().0 != socket.network => {
                    snapshot.skip(
                        "/proc/*/net",
                        0,
                        "the port of another network without a container stands there before",
                    );
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    snapshot.fill(ports.into_values().map(|(_, port)| Item::ListeningPort(Box::new(port))).collect());
    snapshot
}

/// Reads the tables of the host's own network. The first process lives in it, the collector perhaps in its pod's.
fn of_host(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Vec<Socket>, ReadError> {
    sockets(root, &["/proc/1/net", "/proc/net"], 0, snapshot)
}

/// Reads the tables of all other networks.
fn of_others(host: &Host<'_>, snapshot: &mut ClassSnapshot) -> Vec<Socket> {
    let network = |process: &str| host.root().read_link(&format!("/proc/{process}/ns/net")).ok();
    let host_network = network("1").or_else(|| network("self"));
    let (Ok(processes), Some(own)) = (host.processes(), host_network) else { return Vec::new() };
    let (mut seen, mut found) = (HashSet::from([own]), Vec::new());
    for process in processes.iter().filter(|process| !process.is_kernel) {
        let Some(network) = network(&process.pid.to_string()).filter(|network| !seen.contains(network)) else {
            continue;
        };
        match sockets(host.root(), &[&format!("/proc/{}/net", process.pid)], seen.len(), snapshot) {
            Ok(sockets) => found.extend(sockets),
            // Ended meanwhile: another process may be in the same one.
            Err(e) if e.is_missing() => continue,
            // Without the number, which is another each time.
            Err(_) => snapshot.unread_sources.push("/proc/*/net of networks of their own".to_owned()),
        }
        seen.insert(network);
    }
    found
}

/// Reads the four tables in the first of these folders that has them. A host without IPv6 has two of them.
fn sockets(
    root: &Root,
    folders: &[&str],
    network: usize,
    snapshot: &mut ClassSnapshot,
) -> Result<Vec<Socket>, ReadError> {
    let mut sockets = Vec::new();
    for (name, protocol, state) in [
        ("tcp", TransportProtocol::Tcp, LISTEN),
        ("tcp6", TransportProtocol::Tcp, LISTEN),
        ("udp", TransportProtocol::Udp, UNCONNECTED),
        ("udp6", TransportProtocol::Udp, UNCONNECTED),
    ] {
        let mut tables = folders.iter().map(|folder| {
            let path = format!("{folder}/{name}");
            root.read(&path).map(|bytes| (path, bytes))
        });
        let first = tables.next().unwrap_or_else(|| Ok(Default::default()));
        let (path, bytes) = match first.or_else(|e| tables.next().unwrap_or(Err(e))) {
            Ok(table) => table,
            Err(e) if e.is_missing() && name.ends_with('6') => continue,
            Err(e) => return Err(e),
        };
        for (number, line) in text::lines(&bytes).skip(1).filter(|(_, line)| !line.trim_ascii().is_empty()) {
            match socket(line, protocol) {
                None => snapshot.skip(&path, number, "malformed"),
                Some((socket, found)) if found == state => sockets.push(Socket { network, ..socket }),
                Some(_) => {}
            }
        }
    }
    Ok(sockets)
}

/// A line is number, local address, remote address, state, queues, timer, retransmits, user, timeout, inode, ….
fn socket(line: &[u8], protocol: TransportProtocol) -> Option<(Socket, u8)> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    let socket = Socket {
        protocol,
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: words.get(9)?.parse().ok()?,
        network: 0,
    };
    Some((socket, u8::from_str_radix(words.get(3)?, 16).ok()?))
}

/// One word of eight digits for IPv4, four for IPv6: the machine's own integers over bytes in network order.
fn address_of(text: &str) -> Option<IpAddr> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Finds the processes that hold the sockets, each list oldest first.
fn holders<'a>(
    host: &'a Host<'_>,
    inodes: &HashSet<u64>,
    snapshot: &mut ClassSnapshot,
) -> HashMap<u64, Vec<&'a Process>> {
    let mut holders: HashMap<u64, Vec<&Process>> = HashMap::new();
    snapshot.unread_sources.extend(host.unseen());
    snapshot.unread_sources.extend_from_slice(host.owners().unread());
    let Ok(processes) = host.processes() else {
        return holders;
    };
    let mut hidden = 0_usize;
    for process in processes.iter().filter(|process| !process.is_kernel) {
        match open_sockets(host.root(), process.pid) {
            Ok(open) => {
                for inode in open.into_iter().filter(|inode| inodes.contains(inode)) {
                    let list = holders.entry(inode).or_default();
                    if list.last().is_none_or(|last| last.pid != process.pid) {
                        list.push(process);
                    }
                }
            }
            // Ended since; its sockets went with it, or stay with others.
            Err(e)
                if e.kind() == ErrorKind::NotFound
                    || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(_) => hidden += 1,
        }
    }
    if hidden > 0 {
        snapshot.unread_sources.push("/proc/*/fd of processes of other users".to_owned());
    }
    for list in holders.values_mut() {
        list.sort_by_key(|process| (process.start_ticks, process.pid));
    }
    holders
}

/// Describes the processes that hold sockets, by their ids; those that ended since are left out.
fn describe(host: &Host<'_>, holders: &HashMap<u64, Vec<&Process>>) -> BTreeMap<u32, super::Process> {
    let Some(describer) = host.describer() else { return BTreeMap::new() };
    let distinct: BTreeMap<u32, &Process> = holders.values().flatten().map(|process| (process.pid, *process)).collect();
    let found = distinct.values().filter_map(|process| describer.describe(host, process));
    found.map(|process| (process.pid, process)).collect()
}

/// The inodes of a process's open sockets.
fn open_sockets(root: &Root, pid: u32) -> std::io::Result<Vec<u64>> {
    let mut inodes = Vec::new();
    for entry in std::fs::read_dir(root.resolve(&format!("/proc/{pid}/fd"))?)? {
        let Ok(target) = std::fs::read_link(entry?.path()) else { continue };
        let name = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(name.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Ok(inodes)
}

fn bare(socket: &Socket) -> ListeningPort {
    ListeningPort {
        protocol: socket.protocol,
        bind_address: socket.address,
        port: socket.port,
        pid: None,
        process_name: None,
        process_path: None,
        command_line: None,
        user: None,
        group: None,
        parent_pid: None,
        parent_name: None,
        start_time: None,
        package_name: None,
        package_version: None,
        container_id: None,
        sha256: None,
        terminal: None,
        own_network: socket.network > 0,
        escaped: false,
        truncated: Vec::new(),
    }
}

fn port(socket: &Socket, process: &super::Process) -> ListeningPort {
    let process = process.clone();
    ListeningPort {
        pid: Some(process.pid),
        process_name: Some(process.name),
        process_path: process.path,
        command_line: Some(process.command_line),
        user: Some(process.user),
        group: process.group,
        parent_pid: Some(process.parent_pid),
        parent_name: process.parent_name,
        start_time: process.start_time,
        package_name: process.package_name,
        package_version: process.package_version,
        container_id: process.container_id,
        sha256: process.sha256,
        terminal: process.terminal,
        escaped: process.escaped,
        truncated: process.truncated,
        ..bare(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_network_order() {
        let line = b"   1: 0100007F:5974 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 394476 1 0 100 0 0 10 0";
        let (socket, state) = socket(line, TransportProtocol::Tcp).unwrap();
        assert_eq!((socket.address.to_string(), socket.port), ("127.0.0.1".to_owned(), 0x5974));
        assert_eq!((socket.inode, state), (394_476, LISTEN));
        assert_eq!(address_of("00000000000000000000000001000000"), Some("::1".parse().unwrap()));
        assert_eq!(address_of("0000000000000000FFFF00000100007F"), Some("::ffff:127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_torn_line_is_no_socket() {
        for torn in [
            &b""[..],
            b"sl local_address",
            b"0: 0100007F 0:0 0A",
            b"0: \xff:1 0:0 0A",
            b"0: 0100007F:FFFFF 0:0 0A 0 0 0 0 0 1",
        ] {
            assert!(socket(torn, TransportProtocol::Tcp).is_none());
        }
        assert_eq!(address_of("+100007F"), None);
        assert_eq!(address_of("0100007\u{e9}"), None);
    }
}
