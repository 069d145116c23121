//! The simple part of the sudo rules: whom `/etc/sudoers` and the files it includes name. Rules by host or command
//! count like any other (the account may do something as another user); `!` exceptions do not take a grant away.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::Root;

pub(super) const PATH: &str = "/etc/sudoers";
const DEPTH_CAP: usize = 8;

/// Whom the rules name.
#[derive(Debug, Default)]
pub(super) struct Rules {
    subjects: HashSet<String>,
    aliases: HashMap<String, Vec<String>>,
    unread: bool,
}

impl Rules {
    /// Reads the rules; what does not exist grants nothing.
    pub(super) fn read(root: &Root) -> Self {
        let mut rules = Rules::default();
        rules.file(root, PATH, 0);
        rules
    }

    /// False when a file of the rules is there and cannot be read.
    pub(super) fn is_complete(&self) -> bool {
        !self.unread
    }

    /// Whether the rules name the account; absent when they do not, as far as they could be read.
    pub(super) fn grants(
        &self,
        name: &str,
        uid: u32,
        groups: &BTreeSet<String>,
        in_group: impl Fn(u32) -> bool,
    ) -> Option<bool> {
        let mut open: Vec<&str> = self.subjects.iter().map(String::as_str).collect();
        let mut seen = HashSet::new();
        while let Some(subject) = open.pop() {
            if !seen.insert(subject) {
                continue;
            }
            if let Some(members) = self.aliases.get(subject) {
                open.extend(members.iter().map(String::as_str));
                continue;
            }
            let named = match (subject.strip_prefix("%#"), subject.strip_prefix('%'), subject.strip_prefix('#')) {
                (Some(gid), _, _) => gid.parse().is_ok_and(&in_group),
                (_, Some(group), _) => groups.contains(group.trim_matches('"')),
                (_, _, Some(number)) => number.parse() == Ok(uid),
                _ => subject == "ALL" || subject.trim_matches('"') == name,
            };
            if named {
                return Some(true);
            }
        }
        (!self.unread).then_some(false)
    }

    fn file(&mut self, root: &Root, path: &str, depth: usize) {
        if depth > DEPTH_CAP {
            return;
        }
        let bytes = match root.read(path) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.unread |= !e.is_missing();
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes).replace("\\\r\n", " ").replace("\\\n", " ");
        for line in text.lines().map(str::trim) {
            self.line(root, line, depth);
        }
    }

    fn line(&mut self, root: &Root, line: &str, depth: usize) {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match first {
            "@include" | "#include" => self.file(root, &absolute(rest), depth + 1),
            "@includedir" | "#includedir" => self.directory(root, &absolute(rest), depth + 1),
            "User_Alias" => {
                for part in rest.split(':') {
                    if let Some((name, members)) = part.split_once('=') {
                        self.aliases.insert(name.trim().to_owned(), list(members));
                    }
                }
            }
            "Host_Alias" | "Runas_Alias" | "Cmnd_Alias" | "Cmd_Alias" => {}
            _ if first.is_empty() || first.starts_with("Defaults") => {}
            // A comment, unless it is a uid.
            _ if first.starts_with('#') && !first[1..].starts_with(|c: char| c.is_ascii_digit()) => {}
            _ => {
                if let Some((left, _)) = line.split_once('=') {
                    // Left of the sign: subjects, then one list of hosts.
                    self.subjects.extend(subjects(left));
                }
            }
        }
    }

    fn directory(&mut self, root: &Root, path: &str, depth: usize) {
        match root.list(path) {
            // sudo itself leaves out names that end with ~ or hold a dot.
            Ok(names) => names
                .iter()
                .filter(|name| !name.ends_with('~') && !name.contains('.'))
                .for_each(|name| self.file(root, &format!("{path}/{name}"), depth)),
            Err(e) => self.unread |= !e.is_missing(),
        }
    }
}

fn absolute(path: &str) -> String {
    let path = path.trim_matches('"').trim_end_matches('/');
    if path.starts_with('/') { path.to_owned() } else { format!("/etc/{path}") }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.starts_with('!'))
        .map(str::to_owned)
        .collect()
}

/// `a, %b ALL` are the subjects `a` and `%b` and the hosts `ALL`.
fn subjects(left: &str) -> Vec<String> {
    let left = left.replace(" ,", ",").replace(", ", ",");
    let words: Vec<&str> = left.split_whitespace().collect();
    words.first().map(|first| list(&first.replace("\\ ", " "))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        let mut rules = Rules::default();
        for line in text.lines() {
            rules.line(&Root::new("/nonexistent"), line.trim(), 0);
        }
        rules
    }

    #[test]
    fn users_groups_numbers_and_aliases_are_understood() {
        let rules = rules(
            "# root ALL=(ALL) ALL\nDefaults env_reset\nUser_Alias OPS = ann, %ops\nOPS ALL=(ALL) ALL\nbob, carl ALL=(ALL) NOPASSWD: ALL\n#1005 ALL=ALL\n%#44 ALL=ALL\n",
        );
        let grants = |name: &str, uid, groups: &[&str], gid| {
            rules.grants(name, uid, &groups.iter().map(|&group| group.to_owned()).collect(), |wanted| wanted == gid)
        };
        for name in ["ann", "bob", "carl"] {
            assert_eq!(grants(name, 1, &[], 1), Some(true), "{name}");
        }
        assert_eq!(grants("dora", 1, &["ops"], 1), Some(true));
        assert_eq!(grants("dora", 1005, &[], 1), Some(true));
        assert_eq!(grants("dora", 1, &[], 44), Some(true));
        assert_eq!(grants("root", 0, &["root"], 0), Some(false));
    }
}
