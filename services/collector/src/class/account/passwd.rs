//! `/etc/passwd`.

use std::collections::BTreeMap;

use crate::text::{self, Fields};

const NAME_CAP: usize = 255;
const PATH_CAP: usize = 4096;
const COMMENT_CAP: usize = 1024;

/// An entry of the file.
#[derive(Debug)]
pub(super) struct User {
    pub(super) raw_name: Vec<u8>,
    pub(super) name: String,
    /// The password field; `x` says that it is in the shadow file.
    pub(super) password: Vec<u8>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) comment: String,
    pub(super) home: String,
    pub(super) shell: String,
    pub(super) fields: Fields,
}

/// Reads the entries, sorted by name. Of a name that stands there twice the first counts, as for the C library.
pub(super) fn parse(bytes: &[u8], mut skip: impl FnMut(usize, &str)) -> Vec<User> {
    let mut users: BTreeMap<String, User> = BTreeMap::new();
    for (number, line) in text::lines(bytes) {
        let line = line.trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if matches!(line[0], b'+' | b'-') {
            skip(number, "a NIS compatibility entry");
            continue;
        }
        match entry(line) {
            None => skip(number, "malformed"),
            Some(user) if users.contains_key(&user.name) => skip(number, "the name stands there before"),
            Some(user) => {
                users.insert(user.name.clone(), user);
            }
        }
    }
    users.into_values().collect()
}

fn entry(line: &[u8]) -> Option<User> {
    let mut parts = line.splitn(7, |&byte| byte == b':');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let password = parts.next()?;
    let uid = number(parts.next()?)?;
    let gid = number(parts.next()?)?;
    let mut rest = || parts.next().unwrap_or_default();
    let (comment, home, shell) = (rest(), rest(), rest());
    let mut fields = Fields::default();
    Some(User {
        raw_name: name.to_vec(),
        name: fields.text("name", name, NAME_CAP),
        password: password.to_vec(),
        uid,
        gid,
        comment: fields.text("comment", comment, COMMENT_CAP),
        home: fields.text("home", home, PATH_CAP),
        shell: fields.text("shell", shell, PATH_CAP),
        fields,
    })
}

/// A number of decimal digits only: no sign, no space.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(bytes).ok()?.parse().ok())?
}

/// False for the shells that only say no, and for the single commands that the base system uses as shells.
pub(super) fn is_interactive(shell: &str) -> bool {
    let name = shell.rsplit('/').next().unwrap_or(shell);
    !matches!(name, "nologin" | "false" | "true" | "sync" | "halt" | "shutdown" | "poweroff" | "reboot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_are_counted_and_left_out() {
        let file = b"root:x:0:0:root:/root:/bin/bash\r\n\n# note\n+nis::::::\nbad\n:x:1:1::/:\nneg:x:-1:1::/:/bin/sh\nroot:x:0:0::/other:/bin/sh\nshort:x:5:6\n";
        let mut skipped = Vec::new();
        let users = parse(file, |line, _| skipped.push(line));
        assert_eq!(skipped, [4, 5, 6, 7, 8]);
        let names: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.shell.as_str())).collect();
        assert_eq!(names, [("root", "/bin/bash"), ("short", "")]);
    }
}
