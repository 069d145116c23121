//! Apache httpd's configuration as a flat run of directives.

use std::collections::BTreeMap;

use super::{Reader, below};
use crate::text::{decode, lines};

const DEPTH_CAP: usize = 64;
const DIRECTIVES_CAP: usize = 200_000;
const LINE_CAP: usize = 64 << 10;

/// What a configuration says, in its order. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// `<Name arguments>`.
    Open(String, Vec<String>),
    /// `</Name>`.
    Close,
    /// A simple directive.
    Simple(String, Vec<String>),
}

struct State {
    /// `ServerRoot`, from which relative paths count.
    base: String,
    /// Names that `Define`, or the environment, gives a value.
    names: BTreeMap<String, String>,
    events: Vec<Event>,
}

/// Reads a configuration and what it includes; `names` are known before, such as Debian's `APACHE_LOG_DIR`.
/// Conditions (`<IfModule>`) count as met, as which modules are loaded is not known.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str, base: &str, names: BTreeMap<String, String>) -> Vec<Event> {
    let mut state = State { base: base.to_owned(), names, events: Vec::new() };
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, &mut state));
    state.events
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], state: &mut State) {
    let mut open: Vec<String> = Vec::new();
    let mut whole = Vec::new();
    for (number, line) in lines(bytes) {
        if state.events.len() >= DIRECTIVES_CAP {
            reader.complain(number, "the configuration has too many directives");
            break;
        }
        if let Some(line) = line.strip_suffix(b"\\")
            && whole.len() < LINE_CAP
        {
            whole.extend_from_slice(line);
            continue;
        }
        whole.extend_from_slice(line);
        let taken = std::mem::take(&mut whole);
        let line = decode(&taken).0.replace('\0', "\\x00");
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.len() > LINE_CAP {
            continue;
        }
        let tag = line.strip_prefix('<').map(|line| line.trim_end().trim_end_matches('>'));
        if let Some(name) = tag.and_then(|tag| tag.strip_prefix('/')) {
            let name = name.trim().to_ascii_lowercase();
            if open.last() == Some(&name) {
                open.pop();
                state.events.push(Event::Close);
            } else {
                reader.complain(number, "a section is closed that was not opened");
            }
            continue;
        }
        let mut words = words(tag.unwrap_or(line)).into_iter();
        let Some(name) = words.next().map(|name| name.to_ascii_lowercase()) else { continue };
        let arguments: Vec<String> = words.map(|word| resolved(&word, &state.names)).collect();
        if tag.is_some() {
            if open.len() >= DEPTH_CAP {
                reader.complain(number, "sections are nested too deep");
                break;
            }
            open.push(name.clone());
            state.events.push(Event::Open(name, arguments));
            continue;
        }
        match (name.as_str(), arguments.as_slice()) {
            ("include" | "includeoptional", [pattern]) => {
                let pattern = below(&state.base, pattern);
                // A folder stands for all files in it.
                let pattern = match reader.root.metadata(&pattern) {
                    Ok(metadata) if metadata.is_dir() => format!("{}/*", pattern.trim_end_matches('/')),
                    _ => pattern,
                };
                reader.include(number, &pattern, &mut |reader, bytes| parse(reader, bytes, state));
            }
            ("define", [name, value]) if state.names.len() < 1_000 => {
                state.names.insert(name.clone(), value.clone());
            }
            ("serverroot", [path]) => state.base = path.clone(),
            _ => state.events.push(Event::Simple(name, arguments)),
        }
    }
    if !open.is_empty() {
        reader.complain(0, "a section is not closed");
        state.events.extend(std::iter::repeat_n(Event::Close, open.len()));
    }
}

/// Puts the values of `${NAME}` in; unknown names stay.
fn resolved(word: &str, names: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find('}') else { break };
        match names.get(&rest[2..end]) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[..=end]),
        }
        rest = &rest[end + 1..];
        if out.len() > LINE_CAP {
            break;
        }
    }
    out.push_str(rest);
    out
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let quote = matches!(first, '"' | '\'').then_some(first);
        if quote.is_some() {
            chars.next();
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|&c| quote.map_or(!c.is_whitespace(), |quote| c != quote)) {
            match (c, chars.peek()) {
                ('\\', Some(&next)) if Some(next) == quote || next == '\\' => {
                    word.push(next);
                    chars.next();
                }
                _ => word.push(c),
            }
        }
        if quote.is_some() {
            chars.next();
        }
        words.push(word);
    }
    words
}
