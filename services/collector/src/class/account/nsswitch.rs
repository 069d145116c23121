//! `/etc/nsswitch.conf`: where the C library and sudo look beside the files that are read here.

use std::collections::BTreeSet;

use crate::Root;
use crate::text::{self, Fields};

/// The first that is there counts.
const PATHS: [&str; 2] = ["/etc/nsswitch.conf", "/usr/etc/nsswitch.conf"];
/// A longer file is read to here, and named.
const FILE_CAP: usize = 64 << 10;
const NAME_CAP: usize = 63;
/// The most sources that are named.
const SOURCE_CAP: usize = 20;

const DATABASES: [&str; 4] = ["passwd", "group", "shadow", "sudoers"];
/// What is read here, and systemd's own, which has root, nobody and those whom services run as for a time.
const READ: [&str; 3] = ["files", "compat", "systemd"];
/// Where systemd finds further users and groups: the database, the folder, the ending.
const USERDB: [(&str, &str, &str); 9] = [
    ("passwd", "/etc/userdb", ".user"),
    ("passwd", "/run/userdb", ".user"),
    ("passwd", "/usr/local/lib/userdb", ".user"),
    ("passwd", "/usr/lib/userdb", ".user"),
    ("passwd", "/var/lib/systemd/home", ".identity"),
    ("group", "/etc/userdb", ".group"),
    ("group", "/run/userdb", ".group"),
    ("group", "/usr/local/lib/userdb", ".group"),
    ("group", "/usr/lib/userdb", ".group"),
];
/// So many names of such a folder are looked at.
const FOLDER_CAP: usize = 1_000;

/// The sources of accounts, groups, passwords and sudo rules that are not read.
pub(super) fn unread(root: &Root) -> Vec<String> {
    let mut unread = Vec::new();
    for path in PATHS {
        match root.read_head(path, FILE_CAP) {
            Ok((bytes, more)) => {
                unread.extend(sources(root, &bytes));
                unread.extend(more.then(|| path.to_owned()));
            }
            Err(e) if e.is_missing() => continue,
            Err(_) => unread.push(path.to_owned()),
        }
        break;
    }
    unread
}

fn sources(root: &Root, bytes: &[u8]) -> Vec<String> {
    let mut unread = BTreeSet::new();
    for (_, line) in text::lines(bytes) {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, rest) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        let Some(at) = DATABASES.iter().position(|database| database.as_bytes() == name) else { continue };
        for source in names(rest) {
            if source == "systemd" && has_entries(root, DATABASES[at]) {
                unread.insert((at, "systemd's userdb".to_owned()));
            } else if !READ.contains(&source.as_str()) && (source != "sss" || has_sssd(root)) {
                unread.insert((at, source));
            }
        }
    }
    let more = unread.len().saturating_sub(SOURCE_CAP);
    let told = unread.iter().take(SOURCE_CAP).map(|(at, source)| format!("{} of {source}", DATABASES[*at]));
    told.chain((more > 0).then(|| format!("{more} more sources of accounts"))).collect()
}

/// The sources of a line; what to do after each stands in brackets.
fn names(rest: &[u8]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut outside = Vec::with_capacity(rest.len());
    for &byte in rest {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => {
                outside.push(byte);
                continue;
            }
            _ => {}
        }
        outside.push(b' ');
    }
    let words = outside.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(|word| Fields::default().text("source", word, NAME_CAP)).collect()
}

fn has_entries(root: &Root, database: &str) -> bool {
    USERDB.iter().filter(|(of, ..)| *of == database).any(|(_, folder, ending)| {
        let listed = root.list_head(folder, FOLDER_CAP);
        listed.is_ok_and(|(names, more)| more || names.iter().any(|name| name.ends_with(ending)))
    })
}

/// Says whether SSSD is set up: distributions name it in the file beforehand.
fn has_sssd(root: &Root) -> bool {
    let is_missing = root.read_head("/etc/sssd/sssd.conf", 1).is_err_and(|e| e.is_missing());
    !is_missing || root.list_head("/etc/sssd/conf.d", 1).is_ok_and(|(names, _)| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_brackets_is_no_source() {
        let text = b" files [!UNAVAIL=return SUCCESS = merge]sss\t[NOTFOUND=return] ldap [";
        assert_eq!(names(text), ["files", "sss", "ldap"]);
    }
}
