//! The spool's small state, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::source::Position;
use crate::authlog::ReaderState;

const FILE: &str = "state.json";
const VERSION: u32 = 1;

/// Everything that is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) version: u32,
    pub(super) spool_id: Uuid,
    /// The last number that the server has.
    pub(super) acknowledged: u64,
    /// The number of the next event.
    pub(super) next_seq: u64,
    /// The first number in the last segment, and how many bytes of it are committed.
    pub(super) tail_first_seq: u64,
    pub(super) tail_bytes: u64,
    /// Where the log was read to; none before the first time.
    pub(super) position: Option<Position>,
    pub(super) reader: ReaderState,
}

impl State {
    /// An empty spool.
    pub(super) fn fresh() -> Self {
        State {
            version: VERSION,
            spool_id: Uuid::new_v4(),
            acknowledged: 0,
            next_seq: 1,
            tail_first_seq: 1,
            tail_bytes: 0,
            position: None,
            reader: ReaderState::default(),
        }
    }

    /// Reads the state; none when there is none or it is damaged (then the file is put aside).
    pub(super) fn load(directory: &Path) -> io::Result<Option<State>> {
        let path = directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match serde_json::from_slice::<State>(&bytes) {
            Ok(state) if state.version == VERSION => Ok(Some(state)),
            _ => {
                fs::rename(&path, directory.join("state.json.broken"))?;
                Ok(None)
            }
        }
    }

    /// Writes the state beside the old one, makes it durable and puts it in the old one's place.
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("state.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, directory.join(FILE))?;
        File::open(directory)?.sync_all()
    }
}
