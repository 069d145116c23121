//! Names of users and groups by number, as `/etc/passwd` and `/etc/group` have them.

use std::collections::HashMap;

use super::passwd::number;
use crate::Root;
use crate::text::{self, Fields};

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
        Names { users: names("/etc/passwd"), groups: names("/etc/group") }
    }

    /// The name of a user; where it has none, its number, as `ps` shows it.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// The name of a group; where it has none, its number.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
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
