//! The text of a unit file: sections of assignments.
//!
//! Of our own, although crates for INI files exist: they take the last of repeated keys, know no `\` at the end of a
//! line and work on text, where a unit's keys are lists, lines go on, and one bad byte may cost nothing.

use crate::text;

/// An assignment of a unit file, as bytes of it; lines that go on are joined by a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) section: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The assignments of a unit: those of its file, then those of its drop-ins.
#[derive(Debug, Default, Clone)]
pub(crate) struct Settings(Vec<Assignment>);

impl Settings {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut settings = Settings::default();
        settings.add(bytes);
        settings
    }

    /// Adds the assignments of a drop-in.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let mut section: Vec<u8> = Vec::new();
        let mut open: Option<Vec<u8>> = None;
        for (_, line) in text::lines(bytes) {
            let trimmed = line.trim_ascii();
            // A comment between the parts of a line is no part of it and does not end it.
            if matches!(trimmed.first(), Some(b'#' | b';')) {
                continue;
            }
            let mut whole = match open.take() {
                Some(mut begun) => {
                    begun.push(b' ');
                    begun.extend_from_slice(trimmed);
                    begun
                }
                None => trimmed.to_vec(),
            };
            if whole.last() == Some(&b'\\') {
                whole.pop();
                open = Some(whole);
                continue;
            }
            self.line(&whole, &mut section);
        }
        if let Some(whole) = open {
            self.line(&whole, &mut section);
        }
    }

    fn line(&mut self, line: &[u8], section: &mut Vec<u8>) {
        if let Some(name) = line.strip_prefix(b"[") {
            *section = name.strip_suffix(b"]").unwrap_or(name).to_vec();
        } else if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            self.0.push(Assignment {
                section: section.clone(),
                key: line[..equals].trim_ascii().to_vec(),
                value: line[equals + 1..].trim_ascii().to_vec(),
            });
        }
    }

    /// All values of a key, in order; an empty one takes back those before it.
    pub(crate) fn all(&self, section: &str, key: &str) -> Vec<&[u8]> {
        let mut values = Vec::new();
        let wanted = |a: &&Assignment| a.section == section.as_bytes() && a.key == key.as_bytes();
        for assignment in self.0.iter().filter(wanted) {
            if assignment.value.is_empty() {
                values.clear();
            } else {
                values.push(assignment.value.as_slice());
            }
        }
        values
    }

    /// The last value of a key.
    pub(crate) fn last(&self, section: &str, key: &str) -> Option<&[u8]> {
        self.all(section, key).last().copied()
    }

    /// The words of all values of a key.
    pub(crate) fn words(&self, section: &str, key: &str) -> Vec<String> {
        let values = self.all(section, key);
        let words = values.iter().flat_map(|value| value.split(u8::is_ascii_whitespace));
        words.filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_over_comments_and_an_empty_value_takes_back() {
        let mut unit = Settings::parse(
            b"[Service]\nExecStart=/bin/a \\\n# between\n  --b\n;ExecStart=/no\n[Unit]\nExecStart=other\nWants=x y\nWants=z",
        );
        assert_eq!(unit.all("Service", "ExecStart"), [b"/bin/a  --b"]);
        assert_eq!(unit.words("Unit", "Wants"), ["x", "y", "z"]);
        unit.add(b"[Service]\nExecStart=\nExecStart=/bin/c");
        assert_eq!(unit.last("Service", "ExecStart"), Some(&b"/bin/c"[..]));
    }
}
