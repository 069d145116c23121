//! `/var/log/lastlog`: a record per uid at `uid * 292`, in the machine's own byte order. The file is sparse and may
//! look huge, so only the records that are asked for are read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use chrono::{DateTime, Utc};

use crate::text::Fields;
use crate::{ReadError, Root};

pub(super) const PATH: &str = "/var/log/lastlog";
const LINE: usize = 32;
const HOST: usize = 256;
const RECORD: usize = 4 + LINE + HOST;

#[derive(Debug, Default)]
pub(super) struct Lastlog(Option<File>);

#[derive(Debug)]
pub(super) struct Login {
    pub(super) time: DateTime<Utc>,
    pub(super) terminal: Option<String>,
    pub(super) address: Option<String>,
}

impl Lastlog {
    pub(super) fn open(root: &Root) -> Result<Self, ReadError> {
        root.open(PATH).map(|file| Lastlog(Some(file)))
    }

    /// The last login of a user; none when there never was one.
    pub(super) fn of(&self, uid: u32) -> Option<Login> {
        let mut record = [0_u8; RECORD];
        self.0.as_ref()?.read_exact_at(&mut record, u64::from(uid) * RECORD as u64).ok()?;
        let (time, rest) = record.split_first_chunk::<4>()?;
        // The field is 32 bits wide; as an unsigned number it lasts until 2106.
        let seconds = u32::from_ne_bytes(*time);
        let (line, host) = rest.split_at(LINE);
        (seconds != 0).then_some(())?;
        Some(Login {
            time: DateTime::from_timestamp(i64::from(seconds), 0)?,
            terminal: text(line, 63),
            address: text(host, 255),
        })
    }
}

fn text(bytes: &[u8], cap: usize) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    (end > 0).then(|| Fields::default().text("", &bytes[..end], cap))
}
