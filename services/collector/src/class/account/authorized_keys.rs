//! How many keys open an account: the files that sshd would read.

use crate::text;
use crate::{ReadError, Root};

/// Files larger than this are not keys.
const MAX_FILES: usize = 8;

/// Where sshd looks, with its tokens `%h`, `%u`, `%U` left as they are.
#[derive(Debug)]
pub(super) struct Locations(Vec<String>);

impl Locations {
    /// The first `AuthorizedKeysFile` outside a `Match` block, as sshd takes it; else its default.
    pub(super) fn read(root: &Root) -> Self {
        let mut files: Vec<String> = root
            .list("/etc/ssh/sshd_config.d")
            .unwrap_or_default()
            .into_iter()
            .filter(|name| name.ends_with(".conf"))
            .map(|name| format!("/etc/ssh/sshd_config.d/{name}"))
            .collect();
        files.push("/etc/ssh/sshd_config".to_owned());
        let configured = files.iter().find_map(|path| {
            let bytes = root.read(path).ok()?;
            configured(&String::from_utf8_lossy(&bytes))
        });
        Locations(
            configured.unwrap_or_else(|| vec![".ssh/authorized_keys".to_owned(), ".ssh/authorized_keys2".to_owned()]),
        )
    }

    /// Counts the keys of an account; none when a file is there and cannot be read.
    pub(super) fn count(&self, root: &Root, name: &str, home: &str) -> Option<u32> {
        let mut keys = 0;
        for location in self.0.iter().take(MAX_FILES) {
            let path = location.replace("%h", home).replace("%u", name).replace("%%", "%");
            let path = if path.starts_with('/') { path } else { format!("{}/{path}", home.trim_end_matches('/')) };
            match root.read(&path) {
                Ok(bytes) => keys += text::lines(&bytes).filter(|(_, line)| is_key(line)).count() as u32,
                Err(ReadError::Missing { .. }) => {}
                Err(ReadError::Unreadable { .. }) => return None,
            }
        }
        Some(keys)
    }
}

fn configured(config: &str) -> Option<Vec<String>> {
    for line in config.lines() {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
        let key = words.next().unwrap_or_default();
        if key.eq_ignore_ascii_case("match") {
            return None;
        }
        if key.eq_ignore_ascii_case("authorizedkeysfile") {
            let files = words.map(|word| word.trim_matches('"').to_owned());
            return Some(files.filter(|file| !file.eq_ignore_ascii_case("none")).collect());
        }
    }
    None
}

fn is_key(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.is_empty() && !line.starts_with(b"#") && line.contains(&b' ')
}
