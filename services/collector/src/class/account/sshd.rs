//! Whether sshd lets an account in, as far as its configuration tells.
//!
//! `Match` blocks by user and group count; what holds for some connections alone (by address, port or the like) does
//! not. Ways that leave no trace in the account (Kerberos, other hosts' word) are not looked at.

use std::collections::BTreeSet;

use crate::Root;
use crate::class::ClassSnapshot;
use crate::config::Reader;
use crate::config::sshd::{self, Block};

/// The file, and where it is when the distribution's own was not changed.
const PATHS: [&str; 2] = ["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"];
/// Files of keys where none are named.
const KEY_FILES: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// The configuration; without one nothing is known.
#[derive(Debug, Default)]
pub(super) struct Sshd {
    blocks: Vec<Block>,
    is_known: bool,
}

/// An account as the configuration sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    /// All its groups.
    pub(super) groups: &'a BTreeSet<String>,
    pub(super) is_root: bool,
}

/// What opens an account; absent where that cannot be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    pub(super) key: Option<bool>,
    pub(super) password: Option<bool>,
    /// Whether the password is the empty one.
    pub(super) is_empty: bool,
    /// Whether the password was locked by `!`.
    pub(super) is_barred: bool,
    pub(super) is_expired: Option<bool>,
}

impl Sshd {
    /// Reads the configuration; one that cannot be read, or only in part, is told.
    pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Self {
        let is_there = |path: &&str| !root.metadata(path).is_err_and(|e| e.is_missing());
        let Some(path) = PATHS.into_iter().find(is_there) else { return Sshd::default() };
        if root.open(path).is_err() {
            snapshot.unread_sources.push(path.to_owned());
            return Sshd::default();
        }
        let mut reader = Reader::new(root);
        let blocks = sshd::read(&mut reader, path);
        let complaints = reader.complaints();
        if !complaints.is_empty() {
            snapshot.unread_sources.push(path.to_owned());
        }
        complaints.iter().for_each(|complaint| snapshot.skip(&complaint.path, complaint.line, complaint.reason));
        Sshd { blocks, is_known: complaints.is_empty() }
    }

    /// Where the account's keys are, with the tokens `%h` and `%u` left as they are.
    pub(super) fn key_files(&self, subject: Subject<'_>) -> Vec<String> {
        match self.first(subject, &["authorizedkeysfile"]) {
            Some(files) => files.iter().filter(|file| !file.eq_ignore_ascii_case("none")).cloned().collect(),
            None => KEY_FILES.map(str::to_owned).to_vec(),
        }
    }

    /// Whether the account is let in by what opens it.
    pub(super) fn admits(&self, subject: Subject<'_>, means: Means) -> Option<bool> {
        if !self.is_known {
            return None;
        }
        let word = |keys: &[&str]| self.first(subject, keys)?.first().map(|word| word.to_ascii_lowercase());
        let is_on = |keys: &[&str], default: bool| word(keys).map_or(default, |word| word == "yes");
        let is_set = |key: &str| word(&[key]).is_some_and(|word| word != "none" && word != "any");
        let root = word(&["permitrootlogin"]).unwrap_or_default();
        let has_pam = is_on(&["usepam"], false);
        // Without PAM sshd itself looks whether the account is locked, and takes no key for it either.
        let is_refused = means.is_expired == Some(true) || (means.is_barred && !has_pam);
        if !self.names(subject) || is_refused || (subject.is_root && root == "no") {
            return Some(false);
        }
        // Where sshd asks by PAM it asks for the password, whatever it says of passwords.
        let asks = is_on(&["kbdinteractiveauthentication", "challengeresponseauthentication"], true) && has_pam;
        let takes_password = (is_on(&["passwordauthentication"], true) || asks) && (!subject.is_root || root == "yes");
        let takes_password = takes_password && (!means.is_empty || is_on(&["permitemptypasswords"], false));
        // Keys that a command tells, and certificates, are in no file of the account.
        let has_others = is_set("authorizedkeyscommand") || is_set("trustedusercakeys");
        let key = means.key.filter(|has| *has || !has_others);
        let key = if is_on(&["pubkeyauthentication"], true) { key } else { Some(false) };
        // Which keys have a command is not looked at.
        let key = key.filter(|has| !has || !subject.is_root || root != "forced-commands-only");
        let password = if takes_password { means.password } else { Some(false) };
        let opens = match (key, password) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        // Where several methods are asked for together, or the expiry cannot be read, one that would do proves nothing.
        let is_proof = !is_set("authenticationmethods") && means.is_expired.is_some();
        opens.filter(|opens| is_proof || !opens)
    }

    /// Whether the lists of users and groups admit the account, from any host.
    fn names(&self, subject: Subject<'_>) -> bool {
        let user = |pattern: &str, from_everywhere: bool| {
            let (name, host) = pattern.split_once('@').unwrap_or((pattern, "*"));
            matches(name, subject.name) && (!from_everywhere || host == "*")
        };
        let group = |pattern: &str| subject.groups.iter().any(|name| matches(pattern, name));
        let listed = |key: &str, holds: &dyn Fn(&str) -> bool| {
            let patterns = self.all(subject, key);
            (!patterns.is_empty()).then(|| patterns.iter().any(|pattern| holds(pattern)))
        };
        listed("denyusers", &|pattern| user(pattern, true)) != Some(true)
            && listed("allowusers", &|pattern| user(pattern, false)) != Some(false)
            && listed("denygroups", &group) != Some(true)
            && listed("allowgroups", &group) != Some(false)
    }

    /// The arguments of the first of these keywords: of a `Match` that holds, else of those for all.
    fn first(&self, subject: Subject<'_>, keys: &[&str]) -> Option<&[String]> {
        [true, false].into_iter().find_map(|matched| self.of(subject, keys, matched).first().copied())
    }

    /// The arguments of a keyword whose lines add up; those of a `Match` take the place of those for all.
    fn all(&self, subject: Subject<'_>, key: &str) -> Vec<&str> {
        let all = |matched| self.of(subject, &[key], matched).into_iter().flatten().map(String::as_str).collect();
        [true, false].into_iter().map(all).find(|found: &Vec<&str>| !found.is_empty()).unwrap_or_default()
    }

    fn of(&self, subject: Subject<'_>, keys: &[&str], matched: bool) -> Vec<&[String]> {
        let blocks = self.blocks.iter().filter(|block| block.criteria.is_empty() != matched);
        let holding = blocks.filter(|block| block.criteria.iter().all(|(name, list)| holds(subject, name, list)));
        let directives = holding.flat_map(|block| &block.directives);
        directives.filter(|(key, _)| keys.contains(&key.as_str())).map(|(_, words)| words.as_slice()).collect()
    }
}

/// Whether a criterion of `Match` holds for every connection of the account.
fn holds(subject: Subject<'_>, criterion: &str, list: &str) -> bool {
    match criterion {
        "all" => true,
        "user" => is_in(list, subject.name),
        "group" => subject.groups.iter().any(|group| is_in(list, group)),
        _ => false,
    }
}

/// Whether a list of patterns names something; a pattern with `!` takes it out.
fn is_in(list: &str, name: &str) -> bool {
    let named = |pattern: &str| matches(pattern, name);
    let is_out = list.split(',').filter_map(|pattern| pattern.strip_prefix('!')).any(named);
    !is_out && list.split(',').any(named)
}

/// Whether a pattern with `*` and `?` is a name's.
fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == name;
    }
    let mut pattern = pattern.replace('[', "[[]");
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    glob::Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches(name))
}
