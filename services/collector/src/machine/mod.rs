//! The facts of the machine: names, ids, operating system, addresses, start.

pub(crate) mod address;
mod cloud_init;
mod dmi;
mod load;
mod os;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use dmi::{Cloud, Dmi};
pub(crate) use load::percent;
pub use load::{Load, LoadSampler};
pub use os::OperatingSystem;

use crate::Root;
use crate::class::last_login;

/// The facts of a machine. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The host name.
    pub hostname: Option<String>,
    /// A keyed hash (BLAKE3, 64 hex digits) of `/etc/machine-id`, which itself never leaves the host. Where there is
    /// none (containers, images), of the board's serial id, else of the host name; renaming makes such a host another.
    pub host_id_hash: Option<String>,
    /// The kernel's id of this start (UUID).
    pub boot_id: Option<String>,
    /// When the machine was started.
    pub boot_time: Option<DateTime<Utc>>,
    /// The last login of all accounts.
    pub last_login_time: Option<DateTime<Utc>>,
    /// The operating system.
    pub os: OperatingSystem,
    /// The kernel's release, such as `6.1.0-18-amd64`.
    pub kernel: Option<String>,
    /// The machine's architecture as `uname -m` names it.
    pub architecture: String,
    /// What the firmware tells of it; what it does not of a machine in a cloud, cloud-init does.
    #[serde(default)]
    pub dmi: Dmi,
    /// The region of the cloud.
    #[serde(default)]
    pub region: Option<String>,
    /// The address by which its cloud lets it be reached from outside, where no interface has it.
    #[serde(default)]
    pub public_address: Option<IpAddr>,
    /// The addresses of its interfaces, without loopback and link-local; the one towards the default route first.
    pub addresses: Vec<IpAddr>,
}

impl Machine {
    /// Reads the facts below a root. Never fails: what cannot be read is absent.
    pub fn read(root: &Root) -> Self {
        let hostname = root
            .read_trimmed("/proc/sys/kernel/hostname")
            .filter(|_| root.is_host())
            .or_else(|| root.read_trimmed("/etc/hostname"));
        let (mut dmi, mut told) = (Dmi::read(root), cloud_init::Instance::read(root));
        dmi.cloud = dmi.cloud.or(told.provider.take().map(|provider| Cloud { provider, bare_metal: false }));
        // Machines outside of clouds have ids that somebody made up.
        let told = Some(told).filter(|_| dmi.cloud.is_some()).unwrap_or_default();
        dmi.instance_id = dmi.instance_id.or(told.id);
        let addresses = address::read(root);
        Machine {
            host_id_hash: host_id_hash(root, hostname.as_deref()),
            hostname,
            boot_id: root.read_trimmed("/proc/sys/kernel/random/boot_id"),
            boot_time: boot_time(root),
            last_login_time: last_login(root),
            os: Machine::operating_system(root),
            kernel: root.read_trimmed("/proc/sys/kernel/osrelease"),
            architecture: std::env::consts::ARCH.to_owned(),
            dmi,
            region: told.region,
            public_address: told.public_address.filter(|address| !addresses.contains(address)),
            addresses,
        }
    }
}

impl Machine {
    /// The operating system alone.
    pub(crate) fn operating_system(root: &Root) -> OperatingSystem {
        OperatingSystem::read(root)
    }
}

fn host_id_hash(root: &Root, hostname: Option<&str>) -> Option<String> {
    let hash = |context: &str, id: &str| hex::encode(blake3::derive_key(context, id.to_ascii_lowercase().as_bytes()));
    let machine_id = root.read_trimmed("/etc/machine-id").or_else(|| root.read_trimmed("/var/lib/dbus/machine-id"));
    // "uninitialized" stands there in images that were never started.
    if let Some(id) = machine_id.filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Some(hash("cwpp host id v1", &id));
    }
    match root.read_trimmed("/sys/class/dmi/id/product_uuid") {
        Some(id) => Some(hash("cwpp host id v1 of a board", &id)),
        None => hostname.map(|name| hash("cwpp host id v1 of a name", name)),
    }
}

pub(crate) fn boot_time(root: &Root) -> Option<DateTime<Utc>> {
    let stat = root.read_trimmed("/proc/stat")?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    DateTime::from_timestamp(seconds.trim().parse().ok()?, 0)
}
