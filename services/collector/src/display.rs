//! A host as tables for people: one line a class, or the items of one class.

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

use crate::class::{Class, ClassSnapshot, Outcome};
use crate::{Cost, Snapshot};

/// A cell is cut at so many characters.
const CELL_CAP: usize = 60;

/// Prints the machine in a line and each class in one: how well it could be read, and how many items it has.
pub fn print_overview(snapshot: &Snapshot, mut out: impl Write) -> io::Result<()> {
    let machine = &snapshot.machine;
    let os = machine.os.pretty_name.as_deref().or(machine.os.name.as_deref()).unwrap_or("Linux");
    let facts = [machine.hostname.as_deref().unwrap_or("(no name)"), os, machine.kernel.as_deref().unwrap_or_default()];
    writeln!(out, "{}\n", facts.map(shown).join("  ").trim_end())?;
    let mut table = table(&["class", "outcome", "items", "left out", "note"]);
    for class in &snapshot.classes {
        let (outcome, note) = outcome(class);
        let numbers =
            [class.items.len(), class.skipped_count].map(|n| Cell::new(n).set_alignment(CellAlignment::Right));
        let [items, left_out] = numbers;
        table.add_row([Cell::new(class.class.name()), Cell::new(outcome), items, left_out, Cell::new(note)]);
    }
    print(&table, &mut out)
}

/// Prints the items of one class, with the columns that tell most.
pub fn print_class(class: &ClassSnapshot, mut out: impl Write) -> io::Result<()> {
    let columns = columns(class.class);
    let mut table = table(columns);
    for item in &class.items {
        let fields = serde_json::to_value(item)?;
        table.add_row(columns.iter().map(|column| cell(fields.get(column))));
    }
    if !class.items.is_empty() {
        print(&table, &mut out)?;
        writeln!(out)?;
    }
    let (outcome, note) = outcome(class);
    let text = format!(
        "{}: {outcome}, {} items, {} left out. {note}",
        class.class.name(),
        class.items.len(),
        class.skipped_count
    );
    writeln!(out, "{}", text.trim_end())?;
    for skipped in &class.skipped {
        writeln!(out, "left out: {}:{}: {}", shown(&skipped.source), skipped.line, shown(&skipped.reason))?;
    }
    Ok(())
}

/// Prints what the reading cost.
pub fn print_cost(cost: &Cost, mut out: impl Write) -> io::Result<()> {
    let number = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let (time, memory) = (number(cost.cpu_milliseconds), number(cost.peak_bytes.map(|bytes| bytes >> 20)));
    writeln!(out, "\n{time} ms of processor time, at most {memory} MiB of memory")
}

/// The fields of a class that people look for.
fn columns(class: Class) -> &'static [&'static str] {
    match class {
        Class::Resource => &["kind", "name", "mount_path", "filesystem", "size_bytes", "used_bytes", "ip_addresses"],
        Class::Account => &["name", "uid", "group", "shell", "is_enabled", "is_sudo", "login_type", "last_login_time"],
        Class::ListeningPort => &["protocol", "bind_address", "port", "process_name", "user", "package_name"],
        Class::Process => &["pid", "name", "user", "state", "package_name", "path", "command_line"],
        Class::EnvironmentVariable => &["scope", "user", "name", "value_length", "config_path"],
        Class::KernelModule => &["name", "version", "size_bytes", "use_count", "description"],
        Class::SoftwareApplication => {
            &["kind", "name", "version", "process_count", "package", "bin_path", "config_path"]
        }
        Class::DatabaseInstance => {
            &["kind", "version", "bind_address", "port", "user", "pid", "config_path", "data_path"]
        }
        Class::WebApplication => &["name", "version", "domain", "virtual_path", "plugin_count", "root_path"],
        Class::WebService => &["kind", "version", "user", "process_count", "bin_path", "config_path"],
        Class::WebFramework => &["name", "version", "language", "service", "pid", "path"],
        Class::WebSite => &["protocol", "domain", "port", "bind_address", "service", "path_count", "root_path"],
        Class::JarPackage => &["name", "version", "kind", "executable", "path", "inner_path"],
        Class::StartupService => &["kind", "name", "state", "auto_run", "user", "command_line"],
        Class::ScheduledTask => &["kind", "schedule", "user", "enabled", "command", "config_path"],
        Class::SystemPackage => &["kind", "name", "version", "architecture", "status", "install_time", "path"],
    }
}

fn outcome(class: &ClassSnapshot) -> (&'static str, String) {
    let unread = match class.unread_sources.as_slice() {
        [] => String::new(),
        sources => format!("not read: {}", sources.join(", ")),
    };
    let (outcome, note) = match &class.outcome {
        Outcome::Complete => ("complete", unread),
        Outcome::Truncated { total } => ("truncated", format!("of {total}; {unread}")),
        Outcome::Unreadable { reason } => ("unreadable", reason.clone()),
        Outcome::NotPresent { reason } => ("not present", reason.clone()),
    };
    (outcome, shown(&note))
}

fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(columns.iter().map(|column| column.to_uppercase().replace('_', " ")));
    table
}

fn print(table: &Table, out: &mut impl Write) -> io::Result<()> {
    for line in table.to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(set)) => if *set { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(values)) => values.iter().map(|value| cell(Some(value))).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    };
    let text = shown(&text);
    match text.char_indices().nth(CELL_CAP) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A text without what would command the terminal: names on a host are anybody's.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() || is_direction(c) { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Characters that turn the direction of writing around, so that what stands there reads as something else.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_host_commands_the_terminal() {
        assert_eq!(shown("a\x1b[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
        assert_eq!(cell(Some(&Value::from("é".repeat(100)))).chars().count(), CELL_CAP + 1);
    }
}
