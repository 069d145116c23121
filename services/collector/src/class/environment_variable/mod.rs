//! Environment variables that files set, for everybody or for one user: their names and a salted hash, never a value.
//!
//! Read are the files that set variables at login or for services: `/etc/environment`, `environment.d`, pam's
//! `pam_env.conf`, the locale, `profile` and `profile.d`, the shells' own start files, and in each account's home the
//! like. Files for a shell are programs; what they would do is not worked out: each plain assignment of a variable that
//! the file exports counts, also one inside a condition, and of several in one file the last. The environment of running
//! processes is not looked at: it is full of what concerns one program only.
//!
//! The hash is keyed by the machine's id, which never leaves the host, and covers file, user and name besides the value
//! as it is written: it tells that a value changed, not that two are equal, and cannot be tried out elsewhere.

mod parse;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::text::{self, Fields};
use crate::{ReadError, Root};
use parse::Syntax;

const NAME_CAP: usize = 255;
const PATH_CAP: usize = 4_096;
/// No file that sets variables is read beyond this; people's homes hold anything.
const FILE_CAP: usize = 1 << 20;
/// The most variables of one file: an account's file must not crowd out the others.
const VARIABLE_CAP: usize = 1_000;
/// Names of a folder that are looked at.
const NAMES_CAP: usize = 20_000;
const DIRECTORY_CAP: usize = 1_000;
const HASH_LENGTH: usize = 16;

/// For whom a variable is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableScope {
    /// For one user.
    User,
    /// For everybody.
    System,
}

/// A variable that a file sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    /// For whom it is set.
    pub scope: VariableScope,
    /// The user; absent for the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The name.
    pub name: String,
    /// The hash in hex; absent on a machine without an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_hash: Option<String>,
    /// How many bytes the value has, as it is written.
    pub value_length: u32,
    /// The file that sets it.
    pub config_path: String,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// A file, or a folder of files with an ending, of the system.
const SYSTEM: [(&str, Option<&str>, Syntax); 14] = [
    ("/etc/environment", None, Syntax::Pam),
    ("/etc/security/pam_env.conf", None, Syntax::PamEnv),
    ("/etc/default/locale", None, Syntax::Pam),
    ("/etc/locale.conf", None, Syntax::Plain),
    ("/etc/environment.d", Some(".conf"), Syntax::Plain),
    ("/usr/lib/environment.d", Some(".conf"), Syntax::Plain),
    ("/etc/profile", None, Syntax::Shell),
    ("/etc/profile.d", Some(".sh"), Syntax::Shell),
    ("/etc/bash.bashrc", None, Syntax::Shell),
    ("/etc/bashrc", None, Syntax::Shell),
    ("/etc/zsh/zshenv", None, Syntax::Shell),
    ("/etc/zsh/zprofile", None, Syntax::Shell),
    ("/etc/zshenv", None, Syntax::Shell),
    ("/etc/zprofile", None, Syntax::Shell),
];

/// The same of a home.
const USER: [(&str, Option<&str>, Syntax); 10] = [
    (".pam_environment", None, Syntax::PamEnv),
    (".ssh/environment", None, Syntax::Plain),
    (".config/environment.d", Some(".conf"), Syntax::Plain),
    (".profile", None, Syntax::Shell),
    (".bash_profile", None, Syntax::Shell),
    (".bash_login", None, Syntax::Shell),
    (".bashrc", None, Syntax::Shell),
    (".zshenv", None, Syntax::Shell),
    (".zprofile", None, Syntax::Shell),
    (".zshrc", None, Syntax::Shell),
];

type Variables = BTreeMap<(VariableScope, Option<String>, String, String), EnvironmentVariable>;

pub(super) fn read(root: &Root) -> ClassSnapshot {
    let failed = |outcome| ClassSnapshot::failed(Class::EnvironmentVariable, outcome);
    match root.list("/etc") {
        Ok(_) => {}
        Err(e @ ReadError::Missing { .. }) => return failed(Outcome::NotPresent { reason: e.to_string() }),
        Err(e) => return failed(Outcome::Unreadable { reason: e.to_string() }),
    }
    let mut reader = Reader {
        root,
        key: key(root),
        variables: Variables::new(),
        snapshot: ClassSnapshot::new(Class::EnvironmentVariable),
    };
    for (path, ending, syntax) in SYSTEM {
        // What is set for everybody would be taken for gone.
        if let Err(e) = reader.source(None, path, ending, syntax) {
            return failed(Outcome::Unreadable { reason: e.to_string() });
        }
    }
    for (user, home) in super::account::homes(root) {
        for (path, ending, syntax) in USER {
            let path = format!("{}/{path}", home.trim_end_matches('/'));
            if let Err(ReadError::Unreadable { path, .. }) = reader.source(Some(&user), &path, ending, syntax) {
                reader.snapshot.unread_sources.push(path);
            }
        }
    }
    let Reader { variables, mut snapshot, .. } = reader;
    snapshot.unread_sources.sort_unstable();
    snapshot.unread_sources.dedup();
    snapshot.fill(variables.into_values().map(Item::EnvironmentVariable).collect());
    snapshot
}

struct Reader<'a> {
    root: &'a Root,
    key: Option<[u8; 32]>,
    variables: Variables,
    snapshot: ClassSnapshot,
}

impl Reader<'_> {
    /// Reads a file, or the files of a folder; one that is not there sets nothing.
    fn source(
        &mut self,
        user: Option<&str>,
        path: &str,
        ending: Option<&str>,
        syntax: Syntax,
    ) -> Result<(), ReadError> {
        let present = |result: Result<(), ReadError>| match result {
            Err(e) if e.is_missing() => Ok(()),
            other => other,
        };
        let Some(ending) = ending else { return present(self.file(user, path, syntax)) };
        let (names, more) = match self.root.list_head(path, NAMES_CAP) {
            Ok(found) => found,
            Err(e) => return present(Err(e)),
        };
        if more {
            self.snapshot.skip(path, 0, "the folder holds too many names");
        }
        let names: Vec<String> = names.into_iter().filter(|name| name.ends_with(ending)).collect();
        for name in names.iter().take(DIRECTORY_CAP) {
            present(self.file(user, &format!("{path}/{name}"), syntax))?;
        }
        for _ in names.iter().skip(DIRECTORY_CAP) {
            self.snapshot.skip(path, 0, "the folder holds too many files");
        }
        Ok(())
    }

    fn file(&mut self, user: Option<&str>, path: &str, syntax: Syntax) -> Result<(), ReadError> {
        let (bytes, more) = self.root.read_head(path, FILE_CAP)?;
        if more {
            self.snapshot.skip(path, 0, "the file is too large; what is beyond was left out");
        }
        let mut names = std::collections::BTreeSet::new();
        for (line, name, value) in parse::assignments(&bytes, syntax) {
            if name.len() > NAME_CAP {
                self.snapshot.skip(path, line, "the name is too long");
                continue;
            }
            if !names.contains(name) && names.len() >= VARIABLE_CAP {
                self.snapshot.skip(path, line, "the file sets too many variables");
                continue;
            }
            names.insert(name);
            self.put(user, path, name, value);
        }
        Ok(())
    }

    fn put(&mut self, user: Option<&str>, path: &str, name: &[u8], value: &[u8]) {
        let mut fields = Fields::default();
        let scope = if user.is_some() { VariableScope::User } else { VariableScope::System };
        let variable = EnvironmentVariable {
            scope,
            user: user.map(str::to_owned),
            name: fields.text("name", name, NAME_CAP),
            value_hash: self.key.as_ref().map(|key| hash(key, user, path, name, value)),
            value_length: u32::try_from(value.len()).unwrap_or(u32::MAX),
            config_path: fields.text("config_path", path.as_bytes(), PATH_CAP),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        let key = (scope, variable.user.clone(), variable.name.clone(), variable.config_path.clone());
        self.variables.insert(key, variable);
    }
}

/// The salt: out of the machine's id, under a name of its own, so that the hash of the id that is reported tells nothing.
fn key(root: &Root) -> Option<[u8; 32]> {
    let id = root.read_trimmed("/etc/machine-id").or_else(|| root.read_trimmed("/var/lib/dbus/machine-id"))?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| blake3::derive_key("cwpp environment value v1", id.to_ascii_lowercase().as_bytes()))
}

fn hash(key: &[u8; 32], user: Option<&str>, path: &str, name: &[u8], value: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in [user.unwrap_or_default().as_bytes(), path.as_bytes(), name, value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize().as_bytes()[..HASH_LENGTH])
}

/// A name that a shell takes.
fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text::lines(bytes).map(|(number, line)| (number, line.trim_ascii_start()))
}
