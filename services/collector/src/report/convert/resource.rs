use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{Resource, ResourceKind};

pub(super) fn message(resource: &Resource) -> inventory::Resource {
    let kind = match resource.kind {
        ResourceKind::Hardware => inventory::ResourceKind::Hardware,
        ResourceKind::DiskPartition => inventory::ResourceKind::DiskPartition,
        ResourceKind::NetworkInterface => inventory::ResourceKind::NetworkInterface,
    };
    inventory::Resource {
        kind: kind.into(),
        name: resource.name.clone(),
        mount_path: resource.mount_path.clone().unwrap_or_default(),
        filesystem: resource.filesystem.clone().unwrap_or_default(),
        size_bytes: resource.size_bytes,
        used_bytes: resource.used_bytes,
        mac_address: resource.mac_address.clone().unwrap_or_default(),
        ip_addresses: resource.ip_addresses.clone(),
        gateway: resource.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        dns_servers: resource.dns_servers.iter().map(ToString::to_string).collect(),
        up: resource.is_up,
        cpu_model: resource.cpu_model.clone().unwrap_or_default(),
        cpu_count: resource.cpu_count,
        swap_bytes: resource.swap_bytes,
        manufacturer: resource.manufacturer.clone().unwrap_or_default(),
        product_name: resource.product_name.clone().unwrap_or_default(),
        serial_number: resource.serial_number.clone().unwrap_or_default(),
        escaped: resource.escaped,
        partition_count: resource.partition_count.unwrap_or(0),
    }
}
