//! Segments: files of numbered events, one JSON object a line, named by numbering and first number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::source::Position;
use crate::authlog::AuthEvent;

/// A line of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) seq: u64,
    /// Where the log was read to after this event, so that the state can be made anew.
    pub(super) position: Position,
    pub(super) event: AuthEvent,
}

/// The file of a segment.
pub(super) fn path(directory: &Path, id: Uuid, first_seq: u64) -> PathBuf {
    directory.join(format!("{id}-{first_seq:020}.jsonl"))
}

/// The segments in a directory: numbering and first number, sorted.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(Uuid, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let parsed = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|stem| {
            let (id, first) = stem.rsplit_once('-')?;
            Some((id.parse().ok()?, first.parse().ok()?))
        });
        found.extend(parsed);
    }
    found.sort();
    Ok(found)
}

/// Appends lines at `at`, the committed end, and makes them durable. Gives the new end.
pub(super) fn append(path: &Path, at: u64, lines: &[u8]) -> io::Result<u64> {
    let existed = path.exists();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() != at {
        // A write that failed half-way in this process.
        file.set_len(at)?;
    }
    file.write_all(lines)?;
    file.sync_data()?;
    if !existed && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(at + lines.len() as u64)
}

/// Reads up to `max` events of a segment from number `seq` on, within its committed bytes.
pub(super) fn read(path: &Path, seq: u64, max: usize, bytes: u64) -> io::Result<Vec<AuthEvent>> {
    let mut events = Vec::new();
    let mut line = Vec::new();
    let mut input = BufReader::new(io::Read::take(File::open(path)?, bytes));
    while events.len() < max {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let record: Record = serde_json::from_slice(&line)?;
        if record.seq >= seq {
            events.push(record.event);
        }
    }
    Ok(events)
}

/// What of a segment is whole: its records from `first_seq` on, up to the first line that is torn.
pub(super) fn whole(path: &Path, first_seq: u64) -> io::Result<(Option<Record>, u64)> {
    let mut input = BufReader::new(File::open(path)?);
    let (mut last, mut bytes, mut expected) = (None, 0_u64, first_seq);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line)?;
        match serde_json::from_slice::<Record>(&line) {
            Ok(record) if line.ends_with(b"\n") && record.seq == expected => last = Some(record),
            _ => return Ok((last, bytes)),
        }
        bytes += length as u64;
        expected += 1;
    }
}
