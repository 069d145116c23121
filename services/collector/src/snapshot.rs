//! A host at one time: the machine and its classes.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::class::{Class, ClassSnapshot, Item, Outcome};
use crate::machine::Machine;
use crate::{Host, Root};

/// What was read of a host, at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// When reading began, by the host's clock.
    pub collected_at: DateTime<Utc>,
    /// The facts of the machine.
    pub machine: Machine,
    /// Each class once.
    pub classes: Vec<ClassSnapshot>,
}

impl Snapshot {
    /// Reads the facts of a host, and no class.
    pub(crate) fn of_machine(root: &Root, now: DateTime<Utc>) -> Self {
        Self { collected_at: now, machine: Machine::read(root), classes: Vec::new() }
    }

    /// Reads classes of the host in addition.
    pub(crate) fn with(mut self, root: &Root, classes: &[Class]) -> Self {
        let host = Host::new(root, self.collected_at);
        self.classes.extend(classes.iter().map(|class| held(*class, || class.read(&host))));
        self
    }

    /// The snapshot of one class.
    pub fn class(&self, class: Class) -> Option<&ClassSnapshot> {
        self.classes.iter().find(|snapshot| snapshot.class == class)
    }
}

/// Reads a class so that a fault of the collector's own is the class's outcome, and keeps no other back.
fn held(class: Class, read: impl FnOnce() -> ClassSnapshot) -> ClassSnapshot {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        tracing::error!(class = class.name(), "reading a class panicked");
        let reason = "reading it failed by a fault of the collector's own".to_owned();
        ClassSnapshot::failed(class, Outcome::Unreadable { reason })
    })
}

/// Reads a host. `now` decides what depends on the day (an expired password).
pub fn collect(root: &Root, now: DateTime<Utc>) -> Snapshot {
    Snapshot::of_machine(root, now).with(root, &Class::ALL)
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Line<'a> {
    Machine {
        collected_at: DateTime<Utc>,
        #[serde(flatten)]
        machine: &'a Machine,
    },
    Item(&'a Item),
    Class {
        #[serde(flatten)]
        class: &'a ClassSnapshot,
        items: usize,
        digest: String,
    },
}

/// Prints a snapshot as JSON, one object a line: the machine (`"record":"machine"`), the items of all classes
/// (`"record":"item"`, with their `class`), then a line per class (`"record":"class"`) with its outcome.
pub fn print_snapshot(snapshot: &Snapshot, mut out: impl Write) -> io::Result<()> {
    let mut line = |line: Line<'_>| {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")
    };
    line(Line::Machine { collected_at: snapshot.collected_at, machine: &snapshot.machine })?;
    for item in snapshot.classes.iter().flat_map(|class| &class.items) {
        line(Line::Item(item))?;
    }
    for class in &snapshot.classes {
        line(Line::Class { class, items: class.items.len(), digest: hex::encode(class.digest()) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_panics_is_unreadable_and_the_others_are_read() {
        let read = |class: Class| {
            held(class, || if class == Class::Process { panic!("oh") } else { ClassSnapshot::new(class) })
        };
        let outcomes = [Class::Account, Class::Process, Class::WebSite].map(|class| read(class).outcome);
        assert_eq!([&outcomes[0], &outcomes[2]], [&Outcome::Complete; 2]);
        assert!(matches!(&outcomes[1], Outcome::Unreadable { reason } if reason.ends_with("the collector's own")));
    }
}
