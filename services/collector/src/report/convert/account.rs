use cwpp_contracts::inventory::v1 as inventory;

use super::time;
use crate::class::{Account, AuthorizedKey, LoginType, PasswordStatus};

pub(super) fn message(account: &Account) -> inventory::Account {
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
        keys: account.keys.iter().map(key).collect(),
        account_expire_time: account.account_expire_time.map(time),
        password_warn_days: account.password_warn_days,
        password_lock_days: account.password_lock_days,
        ssh_login: account.is_ssh_login,
    }
}

fn key(key: &AuthorizedKey) -> inventory::AuthorizedKey {
    inventory::AuthorizedKey {
        kind: key.kind.clone(),
        fingerprint: key.fingerprint.clone(),
        comment: key.comment.clone(),
    }
}
