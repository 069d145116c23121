//! What was read, as messages of the contracts.

use chrono::{DateTime, Utc};
use cwpp_contracts::incidents::v1 as incidents;
use cwpp_contracts::inventory::v1 as inventory;

use crate::Snapshot;
use crate::authlog::{AuthEvent, Method, Outcome, Service};
use crate::class::{Account, Class, Item, LoginType, PackageKind, PasswordStatus, SystemPackage};
use crate::text;

/// Stands for a user's name of no letters, which sshd admits and the contract does not.
const NO_NAME: &str = "(empty)";

pub(super) fn time(time: DateTime<Utc>) -> prost_types::Timestamp {
    // Microseconds are what the services keep.
    let nanos = i32::try_from(time.timestamp_subsec_micros().min(999_999) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

pub(super) fn class(class: Class) -> inventory::AssetClass {
    match class {
        Class::Account => inventory::AssetClass::Account,
        Class::SystemPackage => inventory::AssetClass::SystemPackage,
    }
}

/// The facts of the machine, and its last login out of the accounts.
pub(super) fn facts(snapshot: &Snapshot) -> inventory::MachineFacts {
    let machine = &snapshot.machine;
    let accounts = snapshot.class(Class::Account).into_iter().flat_map(|class| &class.items);
    let last_login = accounts.filter_map(|item| match item {
        Item::Account(account) => account.last_login_time,
        Item::SystemPackage(_) => None,
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
        Item::Account(account) => Wire::Account(self::account(account)),
        Item::SystemPackage(package) => Wire::SystemPackage(self::package(package)),
    };
    inventory::AssetItem { item: Some(item) }
}

fn account(account: &Account) -> inventory::Account {
    let login_type = match account.login_type {
        None => inventory::LoginType::Unspecified,
        Some(LoginType::None) => inventory::LoginType::None,
        Some(LoginType::Key) => inventory::LoginType::Key,
        Some(LoginType::Password) => inventory::LoginType::Password,
        Some(LoginType::Both) => inventory::LoginType::Both,
    };
    let password_status = match account.password_status {
        None => inventory::PasswordStatus::Unspecified,
        Some(PasswordStatus::Normal) => inventory::PasswordStatus::Normal,
        Some(PasswordStatus::Expiring) => inventory::PasswordStatus::Expiring,
        Some(PasswordStatus::Expired) => inventory::PasswordStatus::Expired,
        Some(PasswordStatus::Locked) => inventory::PasswordStatus::Locked,
    };
    inventory::Account {
        name: account.name.clone(),
        uid: account.uid,
        gid: account.gid,
        group_name: account.group.clone().unwrap_or_default(),
        groups: account.groups.clone(),
        home: account.home.clone(),
        shell: account.shell.clone(),
        comment: account.comment.clone(),
        enabled: account.is_enabled,
        sudo: account.is_sudo,
        interactive: account.is_interactive,
        login_type: login_type.into(),
        password_change_time: account.password_changed_time.map(time),
        password_expire_time: account.password_expire_time.map(time),
        password_status: password_status.into(),
        last_login_time: account.last_login_time.map(time),
        last_login_source: account.last_login_address.clone().unwrap_or_default(),
        last_login_terminal: account.last_login_terminal.clone().unwrap_or_default(),
        escaped: account.escaped,
    }
}

fn package(package: &SystemPackage) -> inventory::SystemPackage {
    let kind = match package.kind {
        PackageKind::Dpkg => inventory::PackageKind::Dpkg,
    };
    let unless = |value: &String, own: &String| if value == own { String::new() } else { value.clone() };
    inventory::SystemPackage {
        kind: kind.into(),
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        source_name: unless(&package.source, &package.name),
        source_version: unless(&package.source_version, &package.version),
        install_time: package.install_time.map(time),
        purl: package.purl.clone(),
        escaped: package.escaped,
    }
}

pub(super) fn event(event: &AuthEvent) -> incidents::AuthEvent {
    let outcome = match event.outcome {
        Outcome::Failed => incidents::AuthOutcome::Failed,
        Outcome::FailedUnknownAccount => incidents::AuthOutcome::FailedUnknownAccount,
        Outcome::Accepted => incidents::AuthOutcome::Accepted,
    };
    let method = match event.method {
        None => "",
        Some(Method::Password) => "password",
        Some(Method::PublicKey) => "publickey",
        Some(Method::KeyboardInteractive) => "keyboard-interactive",
        Some(Method::HostBased) => "hostbased",
        Some(Method::Gssapi) => "gssapi",
        Some(Method::Other) => "other",
    };
    let service = match event.service {
        Service::Ssh => "ssh",
    };
    incidents::AuthEvent {
        event_time: Some(time(event.time)),
        account: if event.account.is_empty() { NO_NAME.to_owned() } else { event.account.clone() },
        source_address: event.source_address.to_string(),
        source_port: event.source_port.map_or(0, u32::from),
        service: service.to_owned(),
        outcome: outcome.into(),
        method: method.to_owned(),
        count: event.count,
        escaped: event.escaped,
    }
}
