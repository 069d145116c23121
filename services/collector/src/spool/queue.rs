//! The queue itself.

use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::segment::{self, Record};
use super::source::{self, Piece};
use super::state::State;
use super::{Batch, Ingested, SpoolError};
use crate::authlog::{AuthEvent, Reader, YearRule, Zone};

/// A segment that is longer is followed by a new one.
const SEGMENT_BYTES: u64 = 4 << 20;
/// The most that is kept; then the log itself is the queue.
const SPOOL_BYTES: u64 = 64 << 20;
/// So many bytes of the log, or events, are committed together.
const STEP_BYTES: u64 = 8 << 20;
const STEP_EVENTS: usize = 5_000;

/// A durable, numbered queue of the events of one log file. One process at a time.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    log: PathBuf,
    zone: Zone,
    state: State,
    /// Held for as long as the spool is open.
    _lock: File,
}

impl Spool {
    /// Opens the spool of a log in a directory, which is made (for its owner only) if it is not there.
    pub fn open(directory: impl Into<PathBuf>, log: impl Into<PathBuf>, zone: Zone) -> Result<Self, SpoolError> {
        let (directory, log) = (directory.into(), log.into());
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(SpoolError::io(&directory))?;
        let lock = File::create(directory.join("lock")).map_err(SpoolError::io(&directory))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::Locked),
            Err(fs::TryLockError::Error(e)) => return Err(SpoolError::io(&directory)(e)),
        }
        let state = match State::load(&directory).map_err(SpoolError::io(&directory))? {
            Some(state) if holds(&directory, &state) => state,
            _ => recover(&directory).map_err(SpoolError::io(&directory))?,
        };
        let spool = Spool { directory, log, zone, state, _lock: lock };
        spool.commit()?;
        spool.tidy()?;
        Ok(spool)
    }

    /// The numbering: numbers of one id never change their meaning.
    pub fn id(&self) -> Uuid {
        self.state.spool_id
    }

    /// The number of the next event.
    pub fn next_seq(&self) -> u64 {
        self.state.next_seq
    }

    /// The last number that was acknowledged, 0 before the first.
    pub fn acknowledged(&self) -> u64 {
        self.state.acknowledged
    }

    /// Reads a piece of the log and numbers what is new. Call again while [`Ingested::more`]. `now` tells the year of
    /// a first line that has none.
    pub fn ingest(&mut self, now: DateTime<Utc>) -> Result<Ingested, SpoolError> {
        let mut done = Ingested::default();
        if self.bytes()? >= SPOOL_BYTES {
            done.full = true;
            return Ok(done);
        }
        let (pieces, lost) =
            source::locate(&self.log, self.state.position.as_ref()).map_err(SpoolError::io(&self.log))?;
        done.lost = lost;
        let mut next = self.state.clone();
        let mut reader = Reader::resume(self.zone, YearRule::Before(now), next.reader.clone());
        let mut lines = Vec::new();
        let mut budget = STEP_BYTES;
        for piece in pieces {
            let read = read_piece(piece, &mut reader, &mut next, &mut lines, &mut budget);
            done.more = read.map_err(SpoolError::io(&self.log))?;
            if done.more {
                break;
            }
        }
        next.reader = reader.state().clone();
        done.events = usize::try_from(next.next_seq - self.state.next_seq).unwrap_or(usize::MAX);
        if next == self.state {
            return Ok(done);
        }
        if !lines.is_empty() {
            if next.tail_bytes >= SEGMENT_BYTES {
                (next.tail_first_seq, next.tail_bytes) = (self.state.next_seq, 0);
            }
            let path = segment::path(&self.directory, next.spool_id, next.tail_first_seq);
            next.tail_bytes = segment::append(&path, next.tail_bytes, &lines).map_err(SpoolError::io(path))?;
        }
        self.state = next;
        self.commit()?;
        Ok(done)
    }

    /// The next events to send, at most `max`: those after the acknowledged ones. None when there are none.
    pub fn next_batch(&self, max: usize) -> Result<Option<Batch>, SpoolError> {
        self.batch_from(self.state.acknowledged + 1, max)
    }

    fn batch_from(&self, first_seq: u64, max: usize) -> Result<Option<Batch>, SpoolError> {
        let mut events: Vec<AuthEvent> = Vec::new();
        for (first, end) in self.segments()? {
            let wanted = first_seq + events.len() as u64;
            if end <= wanted || events.len() >= max {
                continue;
            }
            let path = segment::path(&self.directory, self.state.spool_id, first);
            let bytes = if first == self.state.tail_first_seq { self.state.tail_bytes } else { u64::MAX };
            events.extend(segment::read(&path, wanted, max - events.len(), bytes).map_err(SpoolError::io(path))?);
        }
        Ok((!events.is_empty()).then_some(Batch { spool_id: self.state.spool_id, first_seq, events }))
    }

    /// The server has everything up to this number.
    pub fn acknowledge(&mut self, seq: u64) -> Result<(), SpoolError> {
        if seq >= self.state.next_seq {
            return Err(SpoolError::Ahead { next_seq: self.state.next_seq });
        }
        if seq > self.state.acknowledged {
            self.state.acknowledged = seq;
            self.commit()?;
            self.tidy()?;
        }
        Ok(())
    }

    /// The server asks for the events from this number on, because it misses some.
    pub fn rewind_to(&mut self, seq: u64) -> Result<(), SpoolError> {
        let first_available = self.segments()?.first().map_or(self.state.next_seq, |(first, _)| *first);
        if seq > self.state.next_seq {
            return Err(SpoolError::Ahead { next_seq: self.state.next_seq });
        }
        if seq < first_available {
            return Err(SpoolError::Gone { first_available });
        }
        self.state.acknowledged = seq - 1;
        self.commit()
    }

    /// Begins a new numbering, with all events that are not acknowledged: for when the two sides no longer agree
    /// ([`SpoolError::Gone`], [`SpoolError::Ahead`]).
    pub fn renumber(&mut self) -> Result<(), SpoolError> {
        let mut next =
            State { position: self.state.position.clone(), reader: self.state.reader.clone(), ..State::fresh() };
        let mut seq = self.state.acknowledged + 1;
        while let (Some(batch), Some(position)) = (self.batch_from(seq, STEP_EVENTS)?, &self.state.position) {
            seq = batch.last_seq() + 1;
            let mut lines = Vec::new();
            for event in batch.events {
                let position = position.clone();
                write(&mut lines, &Record { seq: next.next_seq, position, event })
                    .map_err(SpoolError::io(&self.directory))?;
                next.next_seq += 1;
            }
            let path = segment::path(&self.directory, next.spool_id, next.tail_first_seq);
            next.tail_bytes = segment::append(&path, next.tail_bytes, &lines).map_err(SpoolError::io(path))?;
        }
        self.state = next;
        self.commit()?;
        self.tidy()
    }

    fn commit(&self) -> Result<(), SpoolError> {
        self.state.save(&self.directory).map_err(SpoolError::io(&self.directory))
    }

    /// Segments of this numbering: their first number and the one after their last.
    fn segments(&self) -> Result<Vec<(u64, u64)>, SpoolError> {
        let all = segment::list(&self.directory).map_err(SpoolError::io(&self.directory))?;
        let firsts: Vec<u64> = all
            .into_iter()
            .filter(|(id, first)| *id == self.state.spool_id && *first <= self.state.tail_first_seq)
            .map(|(_, first)| first)
            .collect();
        let ends = firsts.iter().skip(1).copied().chain([self.state.next_seq]);
        Ok(firsts.iter().copied().zip(ends).collect())
    }

    /// Takes away what is acknowledged (but for the last segment, from which the server may want events again), what
    /// was never committed, and other numberings.
    fn tidy(&self) -> Result<(), SpoolError> {
        let keep = self.segments()?;
        for (id, first) in segment::list(&self.directory).map_err(SpoolError::io(&self.directory))? {
            let path = segment::path(&self.directory, id, first);
            let end = keep.iter().find(|(kept, _)| id == self.state.spool_id && *kept == first).map(|(_, end)| *end);
            match end {
                Some(_) if first == self.state.tail_first_seq => {
                    let file = File::options().write(true).open(&path).map_err(SpoolError::io(&path))?;
                    file.set_len(self.state.tail_bytes).map_err(SpoolError::io(path))?;
                }
                Some(end) if end > self.state.acknowledged + 1 => {}
                _ => fs::remove_file(&path).map_err(SpoolError::io(path))?,
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Result<u64, SpoolError> {
        let sizes = self.segments()?.into_iter().map(|(first, _)| {
            fs::metadata(segment::path(&self.directory, self.state.spool_id, first))
                .map_or(0, |metadata| metadata.len())
        });
        Ok(sizes.sum())
    }
}

/// Reads one file to its end or until the step is full; true when it is full.
fn read_piece(
    piece: Piece,
    reader: &mut Reader,
    next: &mut State,
    out: &mut Vec<u8>,
    budget: &mut u64,
) -> std::io::Result<bool> {
    let Piece { mut file, mut position, finished } = piece;
    let start = position.offset;
    let first_seq = next.next_seq;
    file.seek(SeekFrom::Start(start))?;
    let mut lines = crate::authlog::lines(BufReader::new(&file));
    let mut full = false;
    let mut failure = None;
    while let Some(line) = lines.next(finished)? {
        position.offset = start + lines.taken();
        reader.line(&line, &mut |event| {
            failure =
                write(out, &Record { seq: next.next_seq, position: position.clone(), event }).err().or(failure.take());
            next.next_seq += 1;
        });
        if lines.taken() >= *budget || next.next_seq - first_seq >= STEP_EVENTS as u64 {
            full = true;
            break;
        }
    }
    *budget = budget.saturating_sub(lines.taken());
    let offset = start + lines.taken();
    position.advance(&file, offset)?;
    next.position = Some(position);
    failure.map_or(Ok(full), Err)
}

fn write(out: &mut Vec<u8>, record: &Record) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.push(b'\n');
    Ok(())
}

/// True when the segments hold what the state says.
fn holds(directory: &Path, state: &State) -> bool {
    let tail = segment::path(directory, state.spool_id, state.tail_first_seq);
    state.tail_bytes == 0 || fs::metadata(tail).is_ok_and(|metadata| metadata.len() >= state.tail_bytes)
}

/// Makes a lost state anew from the segments of the numbering that was written to last. Acknowledged events may be
/// among them: sending one again under its own number does no harm.
fn recover(directory: &Path) -> std::io::Result<State> {
    let all = segment::list(directory)?;
    let written =
        |(id, first): &(Uuid, u64)| fs::metadata(segment::path(directory, *id, *first)).and_then(|m| m.modified()).ok();
    let Some(spool_id) = all.iter().max_by_key(|segment| written(segment)).map(|(id, _)| *id) else {
        return Ok(State::fresh());
    };
    let firsts: Vec<u64> = all.into_iter().filter(|(id, _)| *id == spool_id).map(|(_, first)| first).collect();
    let first = firsts.first().copied().unwrap_or(1);
    let mut state = State {
        spool_id,
        acknowledged: first.saturating_sub(1),
        next_seq: first,
        tail_first_seq: first,
        ..State::fresh()
    };
    for first in firsts {
        if first != state.next_seq {
            break;
        }
        let (last, bytes) = segment::whole(&segment::path(directory, spool_id, first), first)?;
        (state.tail_first_seq, state.tail_bytes) = (first, bytes);
        let Some(last) = last else { break };
        state.next_seq = last.seq + 1;
        state.position = Some(last.position);
    }
    Ok(state)
}
