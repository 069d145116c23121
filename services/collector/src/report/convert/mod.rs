//! What was read, as messages of the contracts: one file per class, one for the machine, one for the events.

mod account;
mod database_instance;
mod environment_variable;
mod event;
mod jar_package;
mod kernel_module;
mod listening_port;
mod machine;
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

use crate::class::{Class, Item};

pub(super) use event::event;
pub(super) use machine::facts;

pub(super) fn time(time: DateTime<Utc>) -> prost_types::Timestamp {
    // Microseconds are what the services keep.
    let nanos = i32::try_from(time.timestamp_subsec_micros().min(999_999) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

fn sum(digits: Option<&str>) -> Vec<u8> {
    digits.and_then(|digits| hex::decode(digits).ok()).unwrap_or_default()
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
