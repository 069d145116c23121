//! The facts of the machine.

use chrono::{DateTime, Utc};
use cwpp_contracts::inventory::v1 as inventory;

use super::time;
use crate::Snapshot;
use crate::machine::Dmi;
use crate::report::{MachineType, Placement};
use crate::text;

/// The facts of the machine.
pub(in crate::report) fn facts(
    snapshot: &Snapshot,
    placement: &Placement,
    installed_at: Option<DateTime<Utc>>,
    components: Vec<inventory::AgentComponent>,
) -> inventory::MachineFacts {
    let machine = &snapshot.machine;
    let Dmi { vendor, product, serial, cloud, instance_id } = &machine.dmi;
    let provider = cloud.as_ref().map(|cloud| cloud.provider.clone());
    let provider = placed(&placement.provider, &provider).to_lowercase();
    let machine_type = match (placement.machine_type, cloud) {
        (Some(told), _) => machine_type(told),
        (None, Some(cloud)) if cloud.bare_metal => inventory::MachineType::BareMetal,
        (None, Some(_)) => inventory::MachineType::CloudVm,
        // Somebody who names a cloud does not mean a hall of their own.
        (None, None) if !provider.is_empty() => inventory::MachineType::CloudVm,
        (None, None) => inventory::MachineType::Other,
    };
    let made: Vec<&str> = vendor.iter().chain(product).map(String::as_str).collect();
    let os = &machine.os;
    inventory::MachineFacts {
        name: short(machine.hostname.as_deref().unwrap_or("localhost"), 255),
        ip_addresses: machine.addresses.iter().map(ToString::to_string).collect(),
        public_ip_address: placement
            .public_address
            .or(machine.public_address)
            .map(|a| a.to_string())
            .unwrap_or_default(),
        machine_type: machine_type.into(),
        os_type: inventory::OsType::Linux.into(),
        os_name: short(os.pretty_name.as_ref().or(os.name.as_ref()).map_or("Linux", String::as_str), 255),
        kernel_version: short(machine.kernel.as_deref().unwrap_or_default(), 255),
        architecture: short(&machine.architecture, 63),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_install_time: installed_at.map(time),
        boot_time: machine.boot_time.map(time),
        last_user_login_time: machine.last_login_time.map(time),
        provider: short(&provider, 63),
        instance_id: short(placed(&placement.instance_id, instance_id), 63),
        // As cloud-init knows it: the firmware does not tell it, and nothing is asked over the network.
        region: short(placed(&placement.region, &machine.region), 63),
        serial_number: serial.clone().unwrap_or_default(),
        product_name: short(&made.join(" "), 255),
        components,
    }
}

fn machine_type(told: MachineType) -> inventory::MachineType {
    match told {
        MachineType::Vm => inventory::MachineType::CloudVm,
        MachineType::BareMetal => inventory::MachineType::BareMetal,
        MachineType::Edge => inventory::MachineType::Edge,
        MachineType::Lighthouse => inventory::MachineType::Lighthouse,
        MachineType::Other => inventory::MachineType::Other,
    }
}

/// What is told of a place, else what was found.
fn placed<'a>(told: &'a Option<String>, found: &'a Option<String>) -> &'a str {
    told.as_deref().filter(|told| !told.is_empty()).or(found.as_deref()).unwrap_or_default()
}

fn short(text: &str, cap: usize) -> String {
    let mut text = text.to_owned();
    text::cap(&mut text, cap);
    text
}
