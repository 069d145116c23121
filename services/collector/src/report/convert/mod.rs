//! What was read, as messages of the contracts: one file per class, and one for the events.

mod account;
mod database_instance;
mod environment_variable;
mod event;
mod jar_package;
mod kernel_module;
mod listening_port;
mod process;
mod resource;
mod scheduled_task;
mod software_application;
mod startup_service;
mod system_package;
mod web_application;
mod web_framework;
mod web_service;
mod web_site;

use chrono::{DateTime, Utc};
use cwpp_contracts::inventory::v1 as inventory;

use crate::Snapshot;
use crate::class::{Class, Item};
use crate::text;

pub(super) use event::event;

pub(super) fn time(time: DateTime<Utc>) -> prost_types::Timestamp {
    // Microseconds are what the services keep.
    let nanos = i32::try_from(time.timestamp_subsec_micros().min(999_999) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

pub(super) fn class(class: Class) -> inventory::AssetClass {
    match class {
        Class::Resource => inventory::AssetClass::Resource,
        Class::Account => inventory::AssetClass::Account,
        Class::ListeningPort => inventory::AssetClass::ListeningPort,
        Class::Process => inventory::AssetClass::Process,
        Class::EnvironmentVariable => inventory::AssetClass::EnvironmentVariable,
        Class::KernelModule => inventory::AssetClass::KernelModule,
        Class::SoftwareApplication => inventory::AssetClass::SoftwareApplication,
        Class::DatabaseInstance => inventory::AssetClass::DatabaseInstance,
        Class::WebApplication => inventory::AssetClass::WebApplication,
        Class::WebService => inventory::AssetClass::WebService,
        Class::WebFramework => inventory::AssetClass::WebFramework,
        Class::WebSite => inventory::AssetClass::WebSite,
        Class::JarPackage => inventory::AssetClass::JarPackage,
        Class::StartupService => inventory::AssetClass::StartupService,
        Class::ScheduledTask => inventory::AssetClass::ScheduledTask,
        Class::SystemPackage => inventory::AssetClass::SystemPackage,
    }
}

/// The facts of the machine, and its last login out of the accounts.
pub(super) fn facts(snapshot: &Snapshot) -> inventory::MachineFacts {
    let machine = &snapshot.machine;
    let accounts = snapshot.class(Class::Account).into_iter().flat_map(|class| &class.items);
    let last_login = accounts.filter_map(|item| match item {
        Item::Account(account) => account.last_login_time,
        _ => None,
    });
    let os = &machine.os;
    inventory::MachineFacts {
        name: short(machine.hostname.as_deref().unwrap_or("localhost"), 255),
        ip_addresses: machine.addresses.iter().map(ToString::to_string).collect(),
        machine_type: inventory::MachineType::Other.into(),
        os_type: inventory::OsType::Linux.into(),
        os_name: short(os.pretty_name.as_ref().or(os.name.as_ref()).map_or("Linux", String::as_str), 255),
        kernel_version: short(machine.kernel.as_deref().unwrap_or_default(), 255),
        architecture: short(&machine.architecture, 63),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_install_time: None,
        boot_time: machine.boot_time.map(time),
        last_user_login_time: last_login.max().map(time),
    }
}

fn short(text: &str, cap: usize) -> String {
    let mut text = text.to_owned();
    text::cap(&mut text, cap);
    text
}

pub(super) fn item(item: &Item) -> inventory::AssetItem {
    use inventory::asset_item::Item as Wire;
    let item = match item {
        Item::Resource(resource) => Wire::Resource(resource::message(resource)),
        Item::Account(account) => Wire::Account(account::message(account)),
        Item::StartupService(service) => Wire::StartupService(startup_service::message(service)),
        Item::ScheduledTask(task) => Wire::ScheduledTask(scheduled_task::message(task)),
        Item::JarPackage(jar) => Wire::JarPackage(jar_package::message(jar)),
        Item::SoftwareApplication(application) => Wire::SoftwareApplication(software_application::message(application)),
        Item::DatabaseInstance(database) => Wire::DatabaseInstance(database_instance::message(database)),
        Item::WebApplication(application) => Wire::WebApplication(web_application::message(application)),
        Item::WebService(service) => Wire::WebService(web_service::message(service)),
        Item::WebFramework(framework) => Wire::WebFramework(web_framework::message(framework)),
        Item::WebSite(site) => Wire::WebSite(web_site::message(site)),
        Item::ListeningPort(port) => Wire::ListeningPort(listening_port::message(port)),
        Item::Process(process) => Wire::Process(process::message(process)),
        Item::EnvironmentVariable(variable) => Wire::EnvironmentVariable(environment_variable::message(variable)),
        Item::KernelModule(module) => Wire::KernelModule(kernel_module::message(module)),
        Item::SystemPackage(package) => Wire::SystemPackage(system_package::message(package)),
    };
    inventory::AssetItem { item: Some(item) }
}
