//! The keys that open an account: those of the files that sshd would read.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::text::{self, Fields};
use crate::{ReadError, Root};

/// Files that are looked at.
const MAX_FILES: usize = 8;
/// Keys of one account that are described; all are counted.
const KEY_CAP: usize = 200;
const KIND_CAP: usize = 63;
const COMMENT_CAP: usize = 255;

/// A key that opens an account. The key itself is public, and its fingerprint is enough to find it again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuthorizedKey {
    /// The type, such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:` and the hash, as OpenSSH writes it.
    pub fingerprint: String,
    /// The comment, often a person's name and machine.
    pub comment: String,
}

/// The keys of an account.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// How many lines hold one.
    pub(super) count: u32,
    /// Those that can be made out, each once, sorted.
    pub(super) keys: Vec<AuthorizedKey>,
}

/// The keys of an account in these files; none when one is there and cannot be read.
pub(super) fn keys(root: &Root, files: &[String], name: &str, home: &str, fields: &mut Fields) -> Option<Keys> {
    let mut found = Keys::default();
    for file in files.iter().take(MAX_FILES) {
        let path = file.replace("%h", home).replace("%u", name).replace("%%", "%");
        let path = if path.starts_with('/') { path } else { format!("{}/{path}", home.trim_end_matches('/')) };
        match root.read(&path) {
            Ok(bytes) => {
                for (_, line) in text::lines(&bytes).filter(|(_, line)| is_key(line)) {
                    found.count += 1;
                    found.keys.extend(key(line, fields));
                }
            }
            Err(ReadError::Missing { .. }) => {}
            Err(ReadError::Unreadable { .. }) => return None,
        }
    }
    found.keys.sort();
    found.keys.dedup();
    if found.keys.len() > KEY_CAP {
        found.keys.truncate(KEY_CAP);
        fields.truncated.push("keys".to_owned());
    }
    Some(found)
}

/// Options, type, key and comment; the options may hold spaces inside quotes.
fn key(line: &[u8], fields: &mut Fields) -> Option<AuthorizedKey> {
    let mut rest = line.trim_ascii();
    loop {
        let (word, after) = word(rest);
        if word.is_empty() {
            return None;
        }
        if is_kind(word) {
            let (key, comment) = self::word(after);
            let bytes = STANDARD.decode(key).ok().filter(|bytes| !bytes.is_empty())?;
            return Some(AuthorizedKey {
                kind: fields.text("keys", word, KIND_CAP),
                fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&bytes))),
                comment: fields.text("keys", comment, COMMENT_CAP),
            });
        }
        rest = after;
    }
}

/// The first word of a line, quoted spaces in it, and what follows.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.iter().position(|&byte| {
        let ends = byte.is_ascii_whitespace() && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let (word, rest) = line.split_at(end.unwrap_or(line.len()));
    (word, rest.trim_ascii())
}

fn is_kind(word: &[u8]) -> bool {
    [&b"ssh-"[..], b"ecdsa-", b"sk-ssh-", b"sk-ecdsa-"].iter().any(|start| word.starts_with(start))
}

fn is_key(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.is_empty() && !line.starts_with(b"#") && line.contains(&b' ')
}
