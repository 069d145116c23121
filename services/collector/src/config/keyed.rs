//! Formats that come down to names with values.

use std::collections::BTreeMap;

use super::{Reader, below, folder};
use crate::text::lines;

/// How a file writes its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `[section]` and `key = value`; only these sections count (MySQL's).
    Sections(&'static [&'static str]),
    /// `key value` (Redis').
    Words,
    /// `key = value` (PostgreSQL's, properties).
    Assignments,
    /// Nested by indentation; the keys are joined by dots (MongoDB's).
    Yaml,
    /// TOML; the keys are joined by dots.
    Toml,
}

/// Settings by name; `-` in a name is `_`. The last of a name counts.
pub(crate) type Settings = BTreeMap<String, String>;

/// Reads a configuration and what it includes.
pub(crate) fn read(reader: &mut Reader<'_>, path: &str, format: Format) -> Settings {
    let mut settings = Settings::new();
    reader.file(0, path, &mut |reader, bytes| parse(reader, bytes, format, &mut settings));
    settings
}

fn parse(reader: &mut Reader<'_>, bytes: &[u8], format: Format, settings: &mut Settings) {
    match format {
        Format::Yaml => yaml(bytes, settings),
        Format::Toml => match String::from_utf8_lossy(bytes).parse::<toml::Table>() {
            Ok(table) => flatten("", &toml::Value::Table(table), settings, 0),
            Err(_) => reader.complain(0, "the file is malformed"),
        },
        _ => by_line(reader, bytes, format, settings),
    }
}

fn by_line(reader: &mut Reader<'_>, bytes: &[u8], format: Format, settings: &mut Settings) {
    let mut counts = true;
    for (number, line) in lines(bytes) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let here = folder(reader.current()).to_owned();
        let mut deeper = |reader: &mut Reader<'_>, pattern: String| {
            reader.include(number, &pattern, &mut |reader, bytes| parse(reader, bytes, format, settings));
        };
        match format {
            Format::Sections(sections) => {
                if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                    // `mariadb-10.11` and the like stand for themselves.
                    let bare = name.split('-').next().unwrap_or(name);
                    counts = sections.contains(&name) || sections.contains(&bare);
                    continue;
                }
                if let Some(path) = line.strip_prefix("!includedir") {
                    deeper(reader, below(&here, &format!("{}/*.cnf", path.trim().trim_end_matches('/'))));
                    continue;
                }
                if let Some(path) = line.strip_prefix("!include") {
                    deeper(reader, below(&here, path.trim()));
                    continue;
                }
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                if counts {
                    put(settings, key, value);
                }
            }
            Format::Words => {
                let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                if key.eq_ignore_ascii_case("include") {
                    deeper(reader, below(&here, unquoted(value)));
                } else {
                    put(settings, &key.to_ascii_lowercase(), value);
                }
            }
            _ => {
                let (key, value) = match line.split_once(['=', ' ', '\t']) {
                    Some((key, value)) => (key, value.trim_start().trim_start_matches('=')),
                    None => (line, ""),
                };
                let value = uncommented(value);
                match key.to_ascii_lowercase().as_str() {
                    "include" | "include_if_exists" => deeper(reader, below(&here, unquoted(value))),
                    "include_dir" => deeper(reader, below(&here, &format!("{}/*.conf", unquoted(value)))),
                    key => put(settings, key, value),
                }
            }
        }
    }
}

fn put(settings: &mut Settings, key: &str, value: &str) {
    let key = key.trim().replace('-', "_");
    if !key.is_empty() && key.len() <= 128 && settings.len() < 10_000 {
        settings.insert(key, unquoted(value).chars().take(4_096).collect());
    }
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

/// The value before a comment that stands on the same line, outside of quotes.
fn uncommented(value: &str) -> &str {
    let mut quote = None;
    for (at, c) in value.char_indices() {
        match (quote, c) {
            (None, '#') => return &value[..at],
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    value
}

/// Mappings of plain values, which is all that servers' settings of interest are; anything else is passed over.
fn yaml(bytes: &[u8], settings: &mut Settings) {
    let mut parents: Vec<(usize, String)> = Vec::new();
    for (_, line) in lines(bytes) {
        let line = String::from_utf8_lossy(line);
        let text = line.trim_start_matches(' ');
        let Some((key, value)) = text.split_once(':') else { continue };
        if text.starts_with(['#', '-']) {
            continue;
        }
        let indent = line.len() - text.len();
        while parents.last().is_some_and(|(depth, _)| *depth >= indent) {
            parents.pop();
        }
        let parent = parents.last().map_or(String::new(), |(_, parent)| format!("{parent}."));
        let key = format!("{parent}{}", unquoted(key));
        let value = uncommented(value).trim();
        if value.is_empty() {
            if parents.len() < 32 && key.len() <= 128 {
                parents.push((indent, key));
            }
        } else {
            put(settings, &key, value);
        }
    }
}

fn flatten(parent: &str, value: &toml::Value, settings: &mut Settings, depth: usize) {
    match value {
        toml::Value::Table(table) if depth < 32 => {
            for (key, value) in table {
                let key = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
                flatten(&key, value, settings, depth + 1);
            }
        }
        toml::Value::String(text) => put(settings, parent, text),
        toml::Value::Integer(number) => put(settings, parent, &number.to_string()),
        _ => {}
    }
}
