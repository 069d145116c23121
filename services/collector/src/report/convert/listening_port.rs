use cwpp_contracts::inventory::v1 as inventory;

use super::{sum, time};
use crate::class::{ListeningPort, TransportProtocol};

pub(super) fn message(port: &ListeningPort) -> inventory::ListeningPort {
    let protocol = match port.protocol {
        TransportProtocol::Tcp => inventory::TransportProtocol::Tcp,
        TransportProtocol::Udp => inventory::TransportProtocol::Udp,
    };
    inventory::ListeningPort {
        protocol: protocol.into(),
        bind_address: port.bind_address.to_string(),
        port: port.port.into(),
        pid: port.pid,
        process_name: port.process_name.clone().unwrap_or_default(),
        process_path: port.process_path.clone().unwrap_or_default(),
        command_line: port.command_line.clone().unwrap_or_default(),
        user: port.user.clone().unwrap_or_default(),
        group_name: port.group.clone().unwrap_or_default(),
        parent_pid: port.parent_pid,
        parent_name: port.parent_name.clone().unwrap_or_default(),
        start_time: port.start_time.map(time),
        package_name: port.package_name.clone().unwrap_or_default(),
        package_version: port.package_version.clone().unwrap_or_default(),
        container_id: port.container_id.clone().unwrap_or_default(),
        escaped: port.escaped,
        sha256: sum(port.sha256.as_deref()),
        terminal: port.terminal.clone().unwrap_or_default(),
        own_network: port.own_network,
    }
}
