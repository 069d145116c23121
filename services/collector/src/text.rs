//! Bytes of a host as text: escaped where they are no UTF-8, capped where they are too long.

use std::borrow::Cow;

/// Decodes bytes; each byte that belongs to no UTF-8 sequence becomes `\xNN`. The second value says
/// whether that happened.
pub(crate) fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), false);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    (Cow::Owned(out), true)
}

/// Cuts a text to at most `cap` bytes, at a character. True when something was cut.
pub(crate) fn cap(text: &mut String, cap: usize) -> bool {
    if text.len() <= cap {
        return false;
    }
    text.truncate(text.floor_char_boundary(cap));
    true
}

/// Reads the fields of one item and remembers what was done to them.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) escaped: bool,
    pub(crate) truncated: Vec<String>,
}

impl Fields {
    /// Decodes a field named `name`, capped at `limit` bytes. NUL, which no store takes, becomes `\x00`.
    pub(crate) fn text(&mut self, name: &str, bytes: &[u8], limit: usize) -> String {
        let (text, escaped) = decode(bytes);
        self.escaped |= escaped;
        let mut text = text.into_owned();
        if text.contains('\0') {
            text = text.replace('\0', "\\x00");
            self.escaped = true;
        }
        if cap(&mut text, limit) {
            self.truncated.push(name.to_owned());
        }
        text
    }
}

impl Fields {
    /// A field that may be absent; an empty one is.
    pub(crate) fn optional(&mut self, name: &str, text: Option<&str>, limit: usize) -> Option<String> {
        text.filter(|text| !text.is_empty()).map(|text| self.text(name, text.as_bytes(), limit))
    }
}

/// Lines without their end (`\n` or `\r\n`), with their number from one.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split(|&byte| byte == b'\n').enumerate().map(|(at, line)| (at + 1, line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_utf8_are_escaped_one_by_one() {
        assert_eq!(decode(b"ok"), (Cow::Borrowed("ok"), false));
        assert_eq!(decode(b"a\xffb\xc3"), (Cow::Borrowed("a\\xffb\\xc3"), true));
    }

    #[test]
    fn a_cap_never_splits_a_character() {
        let mut text = "aé".to_owned();
        assert!(cap(&mut text, 2));
        assert_eq!(text, "a");
    }
}
