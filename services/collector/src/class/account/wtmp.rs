//! `/var/log/wtmp`: a record per login, logout and start, the newest last. Only the end of the file is read.

use std::io::{BufReader, Read, Seek, SeekFrom};

use chrono::DateTime;

use super::login::{Login, Logins, text};
use crate::{ReadError, Root};

pub(super) const PATH: &str = "/var/log/wtmp";
/// So much of the end of the file is read.
const CAP: u64 = 16 << 20;

/// Times are 32 bits wide for the sake of old programs, but where there never were any.
const IS_WIDE: bool = cfg!(target_arch = "aarch64");
const RECORD: usize = if IS_WIDE { 400 } else { 384 };
const LINE: usize = 8;
const USER: usize = 44;
const HOST: usize = 76;
const TIME: usize = if IS_WIDE { 344 } else { 340 };
/// Somebody logged in.
const USER_PROCESS: i16 = 7;
const LAST_TYPE: i16 = 9;

/// Adds its logins.
pub(super) fn read(root: &Root, logins: &mut Logins<'_>) -> Result<(), ReadError> {
    let mut file = root.open(PATH)?;
    let mut read = || {
        let length = file.metadata()?.len();
        let records = length / RECORD as u64;
        if length % RECORD as u64 != 0 {
            logins.skip(PATH, "a record that is cut short");
        }
        let wanted = records.min(CAP / RECORD as u64);
        file.seek(SeekFrom::Start((records - wanted) * RECORD as u64))?;
        let mut reader = BufReader::with_capacity(RECORD * 128, &file);
        let mut record = [0_u8; RECORD];
        for _ in 0..wanted {
            reader.read_exact(&mut record)?;
            entry(&record, logins);
        }
        Ok(())
    };
    read().map_err(|e| ReadError::of(PATH, e))
}

fn entry(record: &[u8; RECORD], logins: &mut Logins<'_>) {
    let kind = i16::from_ne_bytes([record[0], record[1]]);
    if !(0..=LAST_TYPE).contains(&kind) {
        return logins.skip(PATH, "a record of no known type");
    }
    if kind != USER_PROCESS {
        return;
    }
    let name = &record[USER..HOST];
    let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
    let time = &record[TIME..];
    let seconds = match (IS_WIDE, time.first_chunk::<8>(), time.first_chunk::<4>()) {
        (true, Some(wide), _) => i64::from_ne_bytes(*wide),
        // As an unsigned number it lasts until 2106.
        (_, _, Some(narrow)) => i64::from(u32::from_ne_bytes(*narrow)),
        _ => 0,
    };
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) if seconds > 0 && !name.is_empty() => {
            let (line, host) = (&record[LINE..LINE + 32], &record[HOST..HOST + 256]);
            logins.add(name, Login { time, terminal: text(line, 63), address: text(host, 255) });
        }
        _ => logins.skip(PATH, "a login without a name or a time"),
    }
}
