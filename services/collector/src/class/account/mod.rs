//! Local accounts: `passwd`, `group`, `shadow`, the last logins, `sudoers`, sshd's configuration, authorized keys.
//!
//! As an ordinary user the shadow file, other people's keys and the sudo rules cannot be read: what comes from
//! them is then absent, not false. Accounts that the host takes from elsewhere (`nsswitch.conf`) are told as not read.

mod authorized_keys;
mod group;
mod lastlog;
mod lastlog2;
mod login;
mod names;
mod nsswitch;
mod passwd;
mod shadow;
mod sshd;
mod sudoers;
mod wtmp;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use authorized_keys::AuthorizedKey;

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::{ReadError, Root};
pub(crate) use names::Names;

const PASSWD: &str = "/etc/passwd";
/// The most groups of one account that are reported.
const GROUP_CAP: usize = 256;
/// Groups whose members may become root by convention, whatever the sudo rules say.
const ADMIN_GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];

/// By what an account can be logged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginType {
    /// By nothing.
    None,
    /// By a key.
    Key,
    /// By a password.
    Password,
    /// By a key and by a password.
    Both,
}

/// The state of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordStatus {
    /// It can be used.
    Normal,
    /// It expires within its warning time.
    Expiring,
    /// It must be changed before the next login.
    Expired,
    /// It is locked, or there never was one.
    Locked,
}

/// A local account. Optional fields are absent when their source could not be read or has no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name, unique on the host.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the primary group.
    pub gid: u32,
    /// The name of the primary group, when the group exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The other groups, sorted.
    pub groups: Vec<String>,
    /// The home directory.
    pub home: String,
    /// The login shell; empty means `/bin/sh`.
    pub shell: String,
    /// The comment field (GECOS).
    pub comment: String,
    /// True when the number is 0.
    pub is_root: bool,
    /// True when a sudo rule or an admin group names the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_sudo: Option<bool>,
    /// True when the shell is one that can be worked in.
    pub is_interactive: bool,
    /// False when the account has expired or neither a password nor a key opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// True when sshd lets it in by a key or password that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_ssh_login: Option<bool>,
    /// By what it can be logged into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_type: Option<LoginType>,
    /// How many keys are authorized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized_keys: Option<u32>,
    /// Those keys, as far as they can be made out; at most 200.
    pub keys: Vec<AuthorizedKey>,
    /// The state of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_status: Option<PasswordStatus>,
    /// The day on which the password was last changed (midnight UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_changed_time: Option<DateTime<Utc>>,
    /// The day on which the password expires (midnight UTC); absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_expire_time: Option<DateTime<Utc>>,
    /// How many days before that the account is warned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_warn_days: Option<u32>,
    /// How many days after that a login may still change it; absent when that never ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_lock_days: Option<u32>,
    /// The day on which the account expires (midnight UTC); absent when never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_expire_time: Option<DateTime<Utc>>,
    /// The last login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_login_time: Option<DateTime<Utc>>,
    /// Where the last login came from: an address or a name; absent for a local one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_login_address: Option<String>,
    /// The terminal of the last login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_login_terminal: Option<String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(root: &Root, now: DateTime<Utc>) -> ClassSnapshot {
    let bytes = match root.read(PASSWD) {
        Ok(bytes) => bytes,
        Err(e @ ReadError::Missing { .. }) => {
            return ClassSnapshot::failed(Class::Account, Outcome::NotPresent { reason: e.to_string() });
        }
        Err(e) => return ClassSnapshot::failed(Class::Account, Outcome::Unreadable { reason: e.to_string() }),
    };
    let mut snapshot = ClassSnapshot::new(Class::Account);
    let users = passwd::parse(&bytes, |line, reason| snapshot.skip(PASSWD, line, reason));
    if users.is_empty() {
        // A torn write leaves an empty file; a host without any account does not exist.
        snapshot.outcome = Outcome::Unreadable { reason: format!("{PASSWD} holds no account") };
        return snapshot;
    }
    let mut sources = Sources::read(root, &mut snapshot);
    let logins = login::Logins::read(root, &users, &mut snapshot);
    let items = users.into_iter().map(|user| {
        let login = logins.of(&user);
        Item::Account(sources.account(root, user, login, now))
    });
    let items = items.collect();
    snapshot.fill(items);
    snapshot
}

/// The last login of all accounts; none where there never was one, or it cannot be seen.
pub(crate) fn last_login(root: &Root) -> Option<DateTime<Utc>> {
    let users = passwd::parse(&root.read(PASSWD).ok()?, |_, _| {});
    let mut snapshot = ClassSnapshot::new(Class::Account);
    let logins = login::Logins::read(root, &users, &mut snapshot);
    users.iter().filter_map(|user| Some(logins.of(user)?.time)).max()
}

/// The accounts' names and homes, by name; none where the file cannot be read, which the class itself tells.
pub(super) fn homes(root: &Root) -> Vec<(String, String)> {
    let users = passwd::parse(&root.read(PASSWD).unwrap_or_default(), |_, _| {});
    users.into_iter().map(|user| (user.name, user.home)).filter(|(_, home)| home.starts_with('/')).collect()
}

/// The secondary files, read once.
struct Sources {
    groups: group::Groups,
    shadow: Option<HashMap<Vec<u8>, shadow::Shadow>>,
    sudo: sudoers::Rules,
    sshd: sshd::Sshd,
}

impl Sources {
    fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Self {
        snapshot.unread_sources.extend(nsswitch::unread(root));
        let mut unread = |path: &str, e: &ReadError| {
            if !e.is_missing() {
                snapshot.unread_sources.push(path.to_owned());
            }
        };
        let groups = root.read("/etc/group").inspect_err(|e| unread("/etc/group", e)).unwrap_or_default();
        let shadow = root.read("/etc/shadow").inspect_err(|e| unread("/etc/shadow", e)).ok();
        let sudo = sudoers::Rules::read(root);
        if !sudo.is_complete() {
            snapshot.unread_sources.push(sudoers::PATH.to_owned());
        }
        Sources {
            groups: group::Groups::parse(&groups),
            shadow: shadow.map(|bytes| shadow::parse(&bytes)),
            sudo,
            sshd: sshd::Sshd::read(root, snapshot),
        }
    }

    fn account(&mut self, root: &Root, user: passwd::User, login: Option<login::Login>, now: DateTime<Utc>) -> Account {
        let mut user = user;
        let mut groups = self.groups.of(&user.raw_name, user.gid);
        let group = self.groups.name(user.gid);
        let mut all: BTreeSet<String> = groups.iter().cloned().collect();
        all.extend(group.clone());

        let is_sudo = if all.iter().any(|name| ADMIN_GROUPS.contains(&name.as_str())) {
            Some(true)
        } else {
            self.sudo.grants(&user.name, user.uid, &all, |gid| self.groups.is_member(&user.raw_name, user.gid, gid))
        };
        if groups.len() > GROUP_CAP {
            groups.truncate(GROUP_CAP);
            user.fields.truncated.push("groups".to_owned());
        }
        let shadow = shadow::of(&user, self.shadow.as_ref());
        let subject = sshd::Subject { name: &user.name, groups: &all, is_root: user.uid == 0 };
        let found =
            authorized_keys::keys(root, &self.sshd.key_files(subject), &user.name, &user.home, &mut user.fields);
        let keys = found.as_ref().map(|found| found.count);
        let password = shadow.as_ref().map(|shadow| shadow.has_password());
        let login_type = match (keys.map(|n| n > 0), password) {
            (Some(true), Some(true)) => Some(LoginType::Both),
            (Some(true), Some(false)) => Some(LoginType::Key),
            (Some(false), Some(true)) => Some(LoginType::Password),
            (Some(false), Some(false)) => Some(LoginType::None),
            _ => None,
        };
        let opens = match (keys.map(|n| n > 0), password) {
            (Some(true), Some(_)) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        let expired = shadow.as_ref().map(|shadow| shadow.is_expired(now));
        let is_enabled = if expired == Some(true) { Some(false) } else { opens };
        let means = sshd::Means {
            key: keys.map(|n| n > 0),
            password,
            is_empty: shadow.is_some_and(|shadow| shadow.is_empty()),
            is_barred: shadow.is_some_and(|shadow| shadow.is_barred()),
            is_expired: expired,
        };
        let is_ssh_login = self.sshd.admits(subject, means);
        Account {
            is_root: user.uid == 0,
            is_sudo,
            is_interactive: passwd::is_interactive(&user.shell),
            is_enabled,
            is_ssh_login,
            login_type,
            authorized_keys: keys,
            keys: found.map(|found| found.keys).unwrap_or_default(),
            password_status: shadow.as_ref().map(|shadow| shadow.status(now)),
            password_changed_time: shadow.as_ref().and_then(shadow::Shadow::changed),
            password_expire_time: shadow.as_ref().and_then(shadow::Shadow::password_expires),
            password_warn_days: shadow.as_ref().and_then(shadow::Shadow::warn_days),
            password_lock_days: shadow.as_ref().and_then(shadow::Shadow::lock_days),
            account_expire_time: shadow.as_ref().and_then(shadow::Shadow::account_expires),
            last_login_time: login.as_ref().map(|login| login.time),
            last_login_address: login.as_ref().and_then(|login| login.address.clone()),
            last_login_terminal: login.and_then(|login| login.terminal),
            group,
            groups,
            uid: user.uid,
            gid: user.gid,
            name: user.name,
            home: user.home,
            shell: user.shell,
            comment: user.comment,
            escaped: user.fields.escaped,
            truncated: user.fields.truncated,
        }
    }
}
