//! `/var/log/lastlog`: a record per uid, in the machine's own byte order. The file is sparse and may look huge, so only the
//! records that are asked for are read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use chrono::DateTime;

use super::login::{Login, text};
use crate::{ReadError, Root};

pub(super) const PATH: &str = "/var/log/lastlog";
/// The time is 32 bits wide for the sake of old programs, but where there never were any.
const TIME: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
const LINE: usize = 32;
const HOST: usize = 256;
const RECORD: usize = TIME + LINE + HOST;

#[derive(Debug, Default)]
pub(super) struct Lastlog(Option<File>);

impl Lastlog {
    pub(super) fn open(root: &Root) -> Result<Self, ReadError> {
        root.open(PATH).map(|file| Lastlog(Some(file)))
    }

    /// The last login of a user; none when there never was one.
    pub(super) fn of(&self, uid: u32) -> Option<Login> {
        let mut record = [0_u8; RECORD];
        self.0.as_ref()?.read_exact_at(&mut record, u64::from(uid) * RECORD as u64).ok()?;
        let (time, rest) = record.split_at(TIME);
        let seconds = match time.first_chunk::<8>() {
            Some(wide) => i64::from_ne_bytes(*wide),
            // As an unsigned number it lasts until 2106.
            None => i64::from(u32::from_ne_bytes(*time.first_chunk()?)),
        };
        let (line, host) = rest.split_at(LINE);
        (seconds > 0).then_some(())?;
        Some(Login { time: DateTime::from_timestamp(seconds, 0)?, terminal: text(line, 63), address: text(host, 255) })
    }
}
