//! Collects every wrong field of a request, so that the caller sees all of them at once.

use uuid::Uuid;

use crate::error::{Error, FieldViolation, Result};
use crate::reason::Reason;

/// The most violations that one answer names; more would not fit into the trailers.
const MAX_NAMED: usize = 50;

/// The wrong fields found so far.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<FieldViolation>,
}

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a violation.
    pub fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.found.push(FieldViolation { field: field.into(), description: description.into() });
    }

    /// Adds a violation unless `ok`; gives `ok` back.
    pub fn check(&mut self, ok: bool, field: impl Into<String>, description: impl Into<String>) -> bool {
        if !ok {
            self.push(field, description);
        }
        ok
    }

    /// Checks that a text has between `min` and `max` bytes.
    pub fn length(&mut self, field: impl Into<String>, value: &str, min: usize, max: usize) -> bool {
        let (ok, length) = ((min..=max).contains(&value.len()), value.len());
        let description = match (value.is_empty(), min) {
            (true, 1..) => "must not be empty".to_owned(),
            _ => format!("must have {min} to {max} bytes, has {length}"),
        };
        self.check(ok, field, description)
    }

    /// Checks that a text has between `min` and `max` characters.
    pub fn characters(&mut self, field: impl Into<String>, value: &str, min: usize, max: usize) -> bool {
        let characters = value.chars().count();
        let wanted = if min == 0 { format!("at most {max}") } else { format!("{min} to {max}") };
        let description = format!("must have {wanted} characters, has {characters}");
        self.check((min..=max).contains(&characters), field, description)
    }

    /// Parses a UUID in its hyphenated form.
    pub fn uuid(&mut self, field: impl Into<String>, value: &str) -> Option<Uuid> {
        // Other spellings (braces, no hyphens) would make one id look like two.
        let parsed = (value.len() == 36).then(|| Uuid::try_parse(value).ok()).flatten();
        if parsed.is_none() {
            let description = match value.is_empty() {
                true => "must not be empty: a UUID is needed",
                false => "must be a UUID such as 0198c5a2-7d4e-7c3b-9a10-2f6b8e1d4c55",
            };
            self.push(field, description);
        }
        parsed
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Ok when there is none, else INVALID_FIELD (code INVALID_ARGUMENT) that names every violation.
    pub fn finish(self) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let total = self.found.len();
        let names: Vec<&str> = self.found.iter().take(5).map(|violation| violation.field.as_str()).collect();
        let more = if total > names.len() { format!(" and {} more", total - names.len()) } else { String::new() };
        let mut error = Error::new(Reason::InvalidField, format!("invalid: {}{more}", names.join(", ")));
        if total > MAX_NAMED {
            error = error.with("violations_total", total);
        }
        for violation in self.found.into_iter().take(MAX_NAMED) {
            error = error.violation(violation.field, violation.description);
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_named_at_once() {
        let mut violations = Violations::new();
        assert!(violations.uuid("machine_id", "nope").is_none());
        assert!(violations.uuid("request_id", "0198c5a2-7d4e-7c3b-9a10-2f6b8e1d4c55").is_some());
        violations.check(false, "page_size", "must be at most 1000");
        violations.length("name", "", 1, 255);
        let error = violations.finish().unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["machine_id", "page_size", "name"]);
    }

    #[test]
    fn no_violation_is_no_error() {
        assert!(Violations::new().finish().is_ok());
    }
}
