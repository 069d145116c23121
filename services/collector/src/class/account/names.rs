//! Names of users and groups by number, as `/etc/passwd` and `/etc/group` have them.

use std::collections::HashMap;

use super::passwd::number;
use crate::Root;
use crate::text::{self, Fields};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
const NAME_CAP: usize = 255;

/// The names that a host gives to numbers. Of several names of a number the first counts, as for the C library.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads both files; of one that cannot be read no number has a name.
    pub(crate) fn read(root: &Root) -> Self {
        let names = |path: &str| parse(&root.read(path).unwrap_or_default());
        Names { users: names(USERS), groups: names(GROUPS) }
    }

    /// Reads the whole lines in the first `cap` bytes of each; the second value is how many bytes those are.
    pub(crate) fn read_head(root: &Root, cap: usize) -> (Self, usize) {
        let head = |path: &str| {
            let (mut bytes, more) = root.read_head(path, cap).unwrap_or_default();
            if more {
                // What is cut could be another number.
                bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0));
            }
            bytes
        };
        let (users, groups) = (head(USERS), head(GROUPS));
        (Names { users: parse(&users), groups: parse(&groups) }, users.len() + groups.len())
    }

    /// The name of a user, if it has one.
    pub(crate) fn user_name(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    /// The name of a group, if it has one.
    pub(crate) fn group_name(&self, gid: u32) -> Option<&str> {
        self.groups.get(&gid).map(String::as_str)
    }
}

fn parse(bytes: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for (_, line) in text::lines(bytes) {
        let mut parts = line.trim_ascii_start().split(|&byte| byte == b':');
        let (Some(name), Some(id)) = (parts.next(), parts.nth(1)) else { continue };
        if let Some(id) = number(id)
            && name.first().is_some_and(|first| !matches!(first, b'#' | b'+' | b'-'))
        {
            names.entry(id).or_insert_with(|| Fields::default().text("name", name, NAME_CAP));
        }
    }
    names
}
