//! Checks one item on its way in: wrong fields are named, long texts are cut and counted.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use cwpp_chassis::Violations;
use prost_types::Timestamp;

/// Most violations that one report collects; a report of nonsense shall not cost more than one of sense.
const MOST: u32 = 200;

/// Most bytes of a command line.
pub const COMMAND_LINE: usize = 4096;
/// Bytes of a command line that are looked at.
const WINDOW: usize = 4 * COMMAND_LINE;

/// What is found wrong with the items of a report, and how many texts were cut.
#[derive(Debug, Default)]
pub struct Found {
    violations: Violations,
    count: u32,
}

impl Found {
    /// Adds a violation of the item with this number in the stream.
    pub fn push(&mut self, item: u32, field: &str, description: impl Into<String>) {
        self.count += 1;
        if self.count <= MOST {
            let dot = if field.is_empty() { "" } else { "." };
            self.violations.push(format!("items[{item}]{dot}{field}"), description);
        }
    }

    /// Says whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ok where nothing was found, else `INVALID_FIELD` naming the violations.
    pub fn finish(self) -> cwpp_chassis::Result<()> {
        self.violations.finish()
    }
}

/// The check of one item.
#[derive(Debug)]
pub struct Check<'a> {
    item: u32,
    found: &'a mut Found,
    clipped: u32,
}

impl<'a> Check<'a> {
    /// Starts the check of the item with this number in the stream.
    pub fn new(item: u32, found: &'a mut Found) -> Self {
        Self { item, found, clipped: 0 }
    }

    /// Returns how many texts were cut.
    pub fn clipped(&self) -> u32 {
        self.clipped
    }

    /// Adds a violation.
    pub fn refuse(&mut self, field: &str, description: impl Into<String>) {
        self.found.push(self.item, field, description);
    }

    /// Checks a text of the natural key: it is never cut, since two keys could become one.
    pub fn key(&mut self, field: &str, value: &str, min: usize, max: usize) {
        if value.is_empty() && min > 0 {
            self.refuse(field, "must not be empty");
        } else if value.len() > max {
            self.refuse(field, format!("must have at most {max} bytes, has {}", value.len()));
        }
    }

    /// Cuts a text to at most `max` bytes, between characters.
    pub fn clip(&mut self, value: &mut String, max: usize) {
        if value.len() > max {
            value.truncate(value.floor_char_boundary(max));
            self.clipped += 1;
        }
    }

    /// Cuts a list to at most `max` entries.
    pub fn clip_list<T>(&mut self, values: &mut Vec<T>, max: usize) {
        if values.len() > max {
            values.truncate(max);
            self.clipped += 1;
        }
    }

    /// Checks an enum of the contract.
    pub fn known<E: TryFrom<i32>>(&mut self, field: &str, value: i32) {
        if E::try_from(value).is_err() {
            self.refuse(field, format!("{value} is no value of this enum"));
        }
    }

    /// Checks an enum of the contract that must be given.
    pub fn given<E: TryFrom<i32>>(&mut self, field: &str, value: i32) {
        if value == 0 {
            self.refuse(field, "must be given");
        } else {
            self.known::<E>(field, value);
        }
    }

    /// Checks that a number is at most `most`.
    pub fn at_most(&mut self, field: &str, value: u32, most: u32) {
        if value > most {
            self.refuse(field, format!("must be at most {most}, is {value}"));
        }
    }

    /// Checks that a size fits into the database, whose numbers of 64 bits have a sign.
    pub fn size(&mut self, field: &str, value: Option<u64>) {
        if value.is_some_and(|v| i64::try_from(v).is_err()) {
            self.refuse(field, format!("must be less than 2^63, is {}", value.unwrap_or_default()));
        }
    }

    /// Checks bytes that are absent or of one length.
    pub fn bytes(&mut self, field: &str, value: &[u8], length: usize) {
        if !value.is_empty() && value.len() != length {
            self.refuse(field, format!("must have {length} bytes or none, has {}", value.len()));
        }
    }

    /// Takes secrets out of a command line, without cutting it.
    pub fn redact(&mut self, value: &mut String) {
        if let Cow::Owned(redacted) = cwpp_redaction::command_line(value) {
            *value = redacted;
        }
    }

    /// Takes secrets out of a command line and cuts it to [`COMMAND_LINE`] bytes.
    pub fn command(&mut self, value: &mut String) {
        // Cut far behind what is kept, so that a long text costs no more, and no secret is cut before it is known as one.
        let cut = value.len() > WINDOW;
        value.truncate(value.floor_char_boundary(WINDOW));
        self.redact(value);
        let clipped = self.clipped;
        self.clip(value, COMMAND_LINE);
        if cut {
            self.clipped = clipped + 1;
        }
    }

    /// Checks a time and cuts it to microseconds.
    pub fn time(&mut self, field: &str, value: &mut Option<Timestamp>) {
        if let Some(at) = value {
            if instant(Some(*at)).is_none() {
                self.refuse(field, "must be a time between the years 1000 and 9999");
            }
            at.nanos -= at.nanos % 1000;
        }
    }
}

/// Turns a time of the contract into one of the database, cut to microseconds; none where it is absent or out of range.
pub fn instant(at: Option<Timestamp>) -> Option<DateTime<Utc>> {
    let at = at?;
    // The years that a datetime column can hold.
    if !(-30_610_224_000..253_402_300_800).contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        return None;
    }
    DateTime::from_timestamp_micros(at.seconds * 1_000_000 + i64::from(at.nanos / 1000))
}

/// Turns a time of the database into one of the contract.
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_counted() {
        let mut found = Found::default();
        let mut check = Check::new(0, &mut found);
        let mut text = "aaä".to_owned();
        check.clip(&mut text, 3);
        assert_eq!((text.as_str(), check.clipped()), ("aa", 1));
        check.clip(&mut text, 3);
        assert_eq!(check.clipped(), 1);
        assert!(found.is_empty());
    }

    #[test]
    fn a_secret_on_the_edge_of_what_is_kept_is_not_kept_in_part() {
        let mut found = Found::default();
        let mut check = Check::new(0, &mut found);
        let mut line = format!("{} https://bob:hunter2hunter2@example.org", "x".repeat(COMMAND_LINE - 20));
        check.command(&mut line);
        assert!(line.len() <= COMMAND_LINE && !line.contains("hunter"), "{}", &line[COMMAND_LINE - 30..]);
        assert_eq!(check.clipped(), 1);
        let mut line = "x".repeat(WINDOW + 1);
        check.command(&mut line);
        assert_eq!((line.len(), check.clipped()), (COMMAND_LINE, 2));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let mut found = Found::default();
        Check::new(4, &mut found).time("install_time", &mut Some(Timestamp { seconds: i64::MAX, nanos: 0 }));
        let error = found.finish().unwrap_err();
        assert_eq!(error.violations()[0].field, "items[4].install_time");
    }

    #[test]
    fn times_go_both_ways() {
        let at = Timestamp { seconds: -5, nanos: 123_456_000 };
        assert_eq!(timestamp(instant(Some(at)).unwrap()), at);
    }
}
