//! `lastlog2.db`, which stands in for `lastlog` where its times would end in 2038: a row per name.

use chrono::DateTime;
use rusqlite::Row;

use super::login::{Login, Logins, text};
use crate::sqlite::{self, Query};
use crate::{ReadError, Root};

pub(super) const PATH: &str = "/var/lib/lastlog/lastlog2.db";
const ROW_CAP: usize = 100_000;

/// Adds its logins.
pub(super) fn read(root: &Root, logins: &mut Logins<'_>) -> Result<(), ReadError> {
    let real = root.resolve(PATH).map_err(|e| ReadError::of(PATH, e))?;
    // Opened here once, so that what may not be read is told in the system's words.
    drop(root.open(PATH)?);
    let sql = "SELECT Name, Time, CASE WHEN length(TTY) < 1000 THEN TTY END, \
               CASE WHEN length(RemoteHost) < 1000 THEN RemoteHost END FROM Lastlog2 \
               WHERE length(Name) < 1000 LIMIT ?1";
    let query = Query { table: "Lastlog2", sql, params: [ROW_CAP as i64] };
    let each = |row: &Row<'_>| {
        let bytes = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_bytes().unwrap_or_default());
        let time = row.get_ref(1)?.as_i64_or_null().ok().map(Option::unwrap_or_default);
        match time.map(|seconds| (seconds, DateTime::from_timestamp(seconds, 0))) {
            // Never.
            Some((..=0, _)) => {}
            Some((_, Some(time))) => {
                logins.add(bytes(0)?, Login { time, terminal: text(bytes(2)?, 63), address: text(bytes(3)?, 255) });
            }
            _ => logins.skip(PATH, "an entry without a time"),
        }
        Ok(())
    };
    // Read again, the newest login of a name still is the newest.
    sqlite::read(&real, &query, each, || ())
        .map_err(|reason| ReadError::of(PATH, std::io::Error::new(std::io::ErrorKind::InvalidData, reason)))
}
