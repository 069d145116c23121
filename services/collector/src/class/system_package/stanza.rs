//! Reads the stanzas of dpkg's database.
//!
//! Of our own, although crates for this format exist: they work on text and give up a whole file at its first bad
//! line, where here one bad byte or line may cost one package at most; and of some twenty-five fields a stanza has,
//! seven are wanted.

use crate::text;

/// The fields of a stanza that are wanted, as bytes of the file. Continuation lines belong to none of them.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stanza<'a> {
    /// The line on which it begins, from one.
    pub(super) line: usize,
    pub(super) package: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) architecture: &'a [u8],
    pub(super) status: Option<&'a [u8]>,
    pub(super) source: &'a [u8],
    pub(super) maintainer: &'a [u8],
    /// The synopsis alone: what follows it are continuation lines.
    pub(super) description: &'a [u8],
}

/// Splits a file at its empty lines.
pub(super) fn parse(bytes: &[u8]) -> Vec<Stanza<'_>> {
    let mut stanzas = Vec::new();
    let mut open: Option<Stanza<'_>> = None;
    for (number, line) in text::lines(bytes) {
        if line.trim_ascii().is_empty() {
            stanzas.extend(open.take());
            continue;
        }
        let stanza = open.get_or_insert(Stanza { line: number, ..Stanza::default() });
        if matches!(line[0], b' ' | b'\t' | b'#') {
            continue;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"package" => stanza.package = value,
            b"version" => stanza.version = value,
            b"architecture" => stanza.architecture = value,
            b"status" => stanza.status = Some(value),
            b"source" => stanza.source = value,
            b"maintainer" => stanza.maintainer = value,
            b"description" => stanza.description = value,
            _ => {}
        }
    }
    stanzas.extend(open);
    stanzas
}
