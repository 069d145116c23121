//! Lines of a log: found, timed, and handed on when sshd wrote them.

use std::io::{self, BufRead};

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use super::attempt::{Connections, Context};
use super::clock::{Clock, Stamp, YearRule, Zone};
use super::{AuthEvent, message};
use crate::text;

/// A longer line is passed over.
pub const MAX_LINE: usize = 64 << 10;

/// Years that a log can have been written in, and that the services take.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Takes a log's lines in order and gives the events. Given the same lines and the same state it gives the same events.
#[derive(Debug, Clone)]
pub struct Reader {
    zone: Zone,
    year: YearRule,
    state: ReaderState,
}

/// What a reader remembers from line to line; kept by a spool over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderState {
    clock: Clock,
    connections: Connections,
    /// What was read so far.
    pub statistics: Statistics,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Lines of any program.
    pub lines: u64,
    /// Lines that have no time that could be read.
    pub malformed: u64,
    /// Lines that were too long.
    pub too_long: u64,
    /// Lines of sshd from which no event was made because a forgery left two ways to read them.
    pub ambiguous: u64,
}

impl Reader {
    /// A reader at the beginning of a log.
    pub fn new(zone: Zone, year: YearRule) -> Self {
        Reader::resume(zone, year, ReaderState::default())
    }

    /// A reader that goes on where another one stood.
    pub fn resume(zone: Zone, year: YearRule, state: ReaderState) -> Self {
        Reader { zone, year, state }
    }

    /// What the reader remembers.
    pub fn state(&self) -> &ReaderState {
        &self.state
    }

    /// Takes one line, without its end.
    pub fn line(&mut self, line: &[u8], event: &mut impl FnMut(AuthEvent)) {
        self.state.statistics.lines += 1;
        if line.len() > MAX_LINE {
            self.state.statistics.too_long += 1;
            return;
        }
        let (text, escaped) = text::decode(line);
        let text = text.trim_end_matches('\r');
        let Some((time, rest)) = self.time(text) else {
            self.state.statistics.malformed += u64::from(!text.trim().is_empty());
            return;
        };
        let Some((pid, message)) = rest.split_once(' ').and_then(|(_host, rest)| of_sshd(rest)) else { return };
        let (message, count) = message::repeated(message);
        match message::parse(message) {
            None => {}
            Some(message::Message::Ambiguous) => self.state.statistics.ambiguous += 1,
            Some(message) => self.state.connections.message(message, Context { time, pid, count, escaped }, event),
        }
    }

    /// Gives what waits for a line that will not come, at the end of a log that is read once.
    pub fn finish(&mut self, event: &mut impl FnMut(AuthEvent)) {
        self.state.connections.finish(event);
    }

    fn time<'a>(&mut self, line: &'a str) -> Option<(DateTime<Utc>, &'a str)> {
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            let (stamp, rest) = line.split_once(' ')?;
            let time = DateTime::parse_from_rfc3339(stamp).ok().filter(|time| YEARS.contains(&time.to_utc().year()))?;
            self.state.clock.new_form(time.naive_local());
            return Some((time.with_timezone(&Utc), rest));
        }
        let (stamp, rest) = Stamp::parse(line)?;
        Some((self.state.clock.old(stamp, self.year, self.zone)?, rest))
    }
}

/// Splits `sshd[123]: message`; none when another program wrote it.
fn of_sshd(rest: &str) -> Option<(Option<u32>, &str)> {
    let (tag, message) = rest.trim_start().split_once(": ")?;
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, Some(pid.strip_suffix(']')?.parse().ok()?)),
        None => (tag, None),
    };
    matches!(program, "sshd" | "sshd-session" | "sshd-auth").then_some((pid, message))
}

/// Reads lines with a limit on memory, however long they are.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    /// Bytes taken from the input for the lines given so far.
    taken: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Lines { input, taken: 0 }
    }

    /// How many bytes the lines given so far have, with their ends.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next line without its end; of a line over [`MAX_LINE`] one byte more than that. A last line without an
    /// end is given only when `last` says that none will come.
    pub(crate) fn next(&mut self, last: bool) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut length = 0_u64;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                if length == 0 || !last {
                    return Ok(None);
                }
                break;
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = (MAX_LINE + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            length += used as u64;
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.taken += length;
        Ok(Some(line))
    }
}
