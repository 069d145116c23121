//! The last login of each account: the newest that `lastlog`, `lastlog2` and `wtmp` tell, of which hosts have one or two.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::passwd::User;
use super::{lastlog, lastlog2, wtmp};
use crate::Root;
use crate::class::ClassSnapshot;
use crate::text::Fields;

/// A login.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) time: DateTime<Utc>,
    pub(super) terminal: Option<String>,
    pub(super) address: Option<String>,
}

/// The last logins of the accounts that there are.
#[derive(Debug)]
pub(super) struct Logins<'a> {
    lastlog: lastlog::Lastlog,
    names: HashSet<Vec<u8>>,
    newest: HashMap<Vec<u8>, Login>,
    snapshot: &'a mut ClassSnapshot,
}

impl<'a> Logins<'a> {
    /// Reads them; what cannot be read is told in the snapshot.
    pub(super) fn read(root: &Root, users: &[User], snapshot: &'a mut ClassSnapshot) -> Self {
        let names = users.iter().map(|user| user.raw_name.clone()).collect();
        let mut logins = Logins { lastlog: lastlog::Lastlog::default(), names, newest: HashMap::new(), snapshot };
        let lastlog = lastlog::Lastlog::open(root).map(|lastlog| logins.lastlog = lastlog);
        let sources = [
            (lastlog::PATH, lastlog),
            (lastlog2::PATH, lastlog2::read(root, &mut logins)),
            (wtmp::PATH, wtmp::read(root, &mut logins)),
        ];
        let unread = &mut logins.snapshot.unread_sources;
        if sources.iter().all(|(_, read)| read.as_ref().is_err_and(crate::ReadError::is_missing)) {
            unread.push("last logins: neither lastlog, lastlog2 nor wtmp is there".to_owned());
        }
        for (path, read) in &sources {
            if read.as_ref().is_err_and(|e| !e.is_missing()) {
                unread.push((*path).to_owned());
            }
        }
        logins
    }

    /// The last login of an account; none where there never was one, or it cannot be seen.
    pub(super) fn of(&self, user: &User) -> Option<Login> {
        let all = [self.lastlog.of(user.uid), self.newest.get(&user.raw_name).cloned()];
        all.into_iter().flatten().max_by_key(|login| login.time)
    }

    /// Takes a login of a name that a source tells, if it is an account's and newer than those before.
    pub(super) fn add(&mut self, name: &[u8], login: Login) {
        if self.names.contains(name) && self.newest.get(name).is_none_or(|other| other.time < login.time) {
            self.newest.insert(name.to_vec(), login);
        }
    }

    pub(super) fn skip(&mut self, path: &str, reason: &str) {
        self.snapshot.skip(path, 0, reason);
    }
}

/// A text that ends at its first NUL; none where it is empty.
pub(super) fn text(bytes: &[u8], cap: usize) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    (end > 0).then(|| Fields::default().text("", &bytes[..end], cap))
}
