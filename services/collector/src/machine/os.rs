//! `/etc/os-release`.

use serde::{Deserialize, Serialize};

use crate::Root;
use crate::text::{self, Fields};

const TEXT_CAP: usize = 255;

/// The operating system as it names itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatingSystem {
    /// The short name, such as `debian`.
    pub id: Option<String>,
    /// The name without a version, such as `Debian GNU/Linux`.
    pub name: Option<String>,
    /// The version, such as `12`; rolling releases have none.
    pub version_id: Option<String>,
    /// Name and version for people.
    pub pretty_name: Option<String>,
}

impl OperatingSystem {
    /// Reads `/etc/os-release`, else `/usr/lib/os-release`.
    pub(crate) fn read(root: &Root) -> Self {
        let Ok(bytes) = root.read("/etc/os-release").or_else(|_| root.read("/usr/lib/os-release")) else {
            return OperatingSystem::default();
        };
        let mut os = OperatingSystem::default();
        for (_, line) in text::lines(&bytes) {
            let Some((key, value)) = split(line) else { continue };
            let slot = match key {
                b"ID" => &mut os.id,
                b"NAME" => &mut os.name,
                b"VERSION_ID" => &mut os.version_id,
                b"PRETTY_NAME" => &mut os.pretty_name,
                _ => continue,
            };
            let value = Fields::default().text("", &unquote(value), TEXT_CAP);
            *slot = (!value.is_empty()).then_some(value);
        }
        os
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    if line.starts_with(b"#") {
        return None;
    }
    let at = line.iter().position(|&byte| byte == b'=')?;
    Some((&line[..at], &line[at + 1..]))
}

/// Takes off the quotes of a shell assignment and its backslashes.
fn unquote(value: &[u8]) -> Vec<u8> {
    let quote = value.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let inner = match quote {
        Some(quote) => value[1..].strip_suffix(&[quote]).unwrap_or(&value[1..]),
        None => value,
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &byte in inner {
        if byte == b'\\' && !escaped && quote != Some(b'\'') {
            escaped = true;
        } else {
            out.push(byte);
            escaped = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off() {
        assert_eq!(unquote(br#""Debian \"x\"""#), br#"Debian "x""#);
        assert_eq!(unquote(b"'12'"), b"12");
        assert_eq!(unquote(b"debian"), b"debian");
    }
}
