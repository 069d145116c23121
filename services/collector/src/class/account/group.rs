//! `/etc/group`.

use std::collections::{BTreeSet, HashMap};

use super::passwd::number;
use crate::text::{self, Fields};

const NAME_CAP: usize = 255;

/// Names by number, and the members that a group lists.
#[derive(Debug, Default)]
pub(super) struct Groups {
    names: HashMap<u32, String>,
    members: HashMap<Vec<u8>, BTreeSet<(u32, String)>>,
}

impl Groups {
    /// Reads the file; malformed lines and NIS entries are passed over. The first name of a number counts.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut groups = Groups::default();
        for (_, line) in text::lines(bytes) {
            let line = line.trim_ascii_start();
            if line.first().is_none_or(|first| matches!(first, b'#' | b'+' | b'-' | b':')) {
                continue;
            }
            let parts: Vec<&[u8]> = line.splitn(4, |&byte| byte == b':').collect();
            let [name, _, gid, rest @ ..] = parts.as_slice() else { continue };
            let Some(gid) = number(gid) else { continue };
            let name = Fields::default().text("group", name, NAME_CAP);
            let members = rest.first().copied().unwrap_or_default();
            for member in
                members.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
            {
                groups.members.entry(member.to_vec()).or_default().insert((gid, name.clone()));
            }
            groups.names.entry(gid).or_insert(name);
        }
        groups
    }

    pub(super) fn name(&self, gid: u32) -> Option<String> {
        self.names.get(&gid).cloned()
    }

    /// The groups that list the account, without its primary one, sorted by name.
    pub(super) fn of(&self, account: &[u8], primary: u32) -> Vec<String> {
        let listed = self.members.get(account).into_iter().flatten().filter(|(gid, _)| *gid != primary);
        listed.map(|(_, name)| name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn is_member(&self, account: &[u8], primary: u32, gid: u32) -> bool {
        primary == gid || self.members.get(account).is_some_and(|set| set.iter().any(|(other, _)| *other == gid))
    }
}
