//! Resources: the hardware (one row), mounted partitions, network interfaces.
//!
//! All three sources are the kernel's own and always there together; one that cannot be read makes the class
//! unreadable, as its rows would be taken for gone.

pub(crate) mod disk;
mod hardware;
mod network;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::{ReadError, Root};

const TEXT_CAP: usize = 255;

/// What kind of resource it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// Processor and memory.
    #[default]
    Hardware,
    /// A mounted file system that holds files.
    DiskPartition,
    /// A network interface other than the loopback.
    NetworkInterface,
}

/// A resource. What does not belong to its kind, and what is unknown, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its kind.
    pub kind: ResourceKind,
    /// The device or interface; empty for the hardware.
    pub name: String,
    /// Where it is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Size of the partition or of the memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What of it is in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// The interface's hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// The interface's addresses with their prefix length.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ip_addresses: Vec<String>,
    /// The default gateway behind the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The host's name servers, on the interface with the default gateway.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub dns_servers: Vec<IpAddr>,
    /// Whether the interface is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_up: Option<bool>,
    /// The processor's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// How many logical processors there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_count: Option<u32>,
    /// How many partitions are mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_count: Option<u32>,
    /// Size of the swap space in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<u64>,
    /// Who made the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// The machine's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    /// The machine's serial number, which only root may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(root: &Root) -> ClassSnapshot {
    let mut snapshot = ClassSnapshot::new(Class::Resource);
    let hardware = hardware::read(root);
    let disks = disk::read(root, &mut snapshot);
    let interfaces = network::read(root, &mut snapshot);
    match (hardware, disks, interfaces) {
        (Ok(hardware), Ok(disks), Ok(interfaces)) => {
            let mut all = vec![hardware];
            all.extend(disks);
            all.extend(interfaces);
            all.sort_by(|a, b| key(a).cmp(&key(b)));
            all.dedup_by(|a, b| key(a) == key(b));
            let partitions = all.iter().filter(|one| one.kind == ResourceKind::DiskPartition).count();
            for hardware in all.iter_mut().filter(|one| one.kind == ResourceKind::Hardware) {
                hardware.partition_count = u32::try_from(partitions).ok();
            }
            snapshot.fill(all.into_iter().map(|resource| Item::Resource(Box::new(resource))).collect());
            snapshot
        }
        (Err(a), Err(b), Err(c)) if a.is_missing() && b.is_missing() && c.is_missing() => {
            ClassSnapshot::failed(Class::Resource, Outcome::NotPresent { reason: a.to_string() })
        }
        (Err(e), ..) | (_, Err(e), _) | (_, _, Err(e)) => {
            ClassSnapshot::failed(Class::Resource, Outcome::Unreadable { reason: e.to_string() })
        }
    }
}

/// A size that every store can hold; a larger one is a fault of what tells it.
fn plausible(bytes: u64) -> Option<u64> {
    i64::try_from(bytes).is_ok().then_some(bytes)
}

fn key(resource: &Resource) -> (ResourceKind, &str, Option<&str>, Option<&str>) {
    (resource.kind, &resource.name, resource.mount_path.as_deref(), resource.mac_address.as_deref())
}

/// Reads a table of the first process, which lives in the host's namespaces where the collector may live in its pod's;
/// else the collector's own.
fn host_table(root: &Root, name: &str) -> Result<(String, Vec<u8>), ReadError> {
    let own = if root.is_host() { format!("/proc/self/{name}") } else { format!("/proc/{name}") };
    let path = format!("/proc/1/{name}");
    match root.read(&path) {
        Ok(bytes) if !bytes.is_empty() => Ok((path, bytes)),
        first => match (root.read(&own), first) {
            (Ok(bytes), _) => Ok((own, bytes)),
            (Err(e), Ok(_)) => Err(e),
            (Err(_), Err(e)) => Err(e),
        },
    }
}
