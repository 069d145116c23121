//! rpm's database as SQLite keeps it.

use std::path::Path;

use crate::sqlite::{self, Query};

/// A header is seldom above one MiB (lists of files); what is above this is left out.
const HEADER_CAP: i64 = 32 << 20;

/// Gives every header to `each`, with none for one that is too large.
pub(super) fn read(path: &Path, mut each: impl FnMut(i64, Option<&[u8]>), restart: impl FnMut()) -> Result<(), String> {
    let sql = "SELECT hnum, CASE WHEN length(blob) <= ?1 THEN blob END FROM Packages ORDER BY hnum";
    let query = Query { table: "Packages", sql, params: [HEADER_CAP] };
    let header = |row: &rusqlite::Row<'_>| {
        each(row.get(0)?, row.get_ref(1)?.as_blob_or_null().unwrap_or_default());
        Ok(())
    };
    sqlite::read(path, &query, header, restart)
}
