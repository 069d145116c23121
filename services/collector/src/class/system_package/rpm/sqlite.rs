//! rpm's database as SQLite keeps it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// A header is seldom above one MiB (lists of files); what is above this is left out.
const HEADER_CAP: i64 = 32 << 20;
/// How often a database that changes under the reader is read again.
const ATTEMPTS: u32 = 3;

/// What tells that nobody wrote in the meantime.
#[derive(PartialEq, Eq)]
struct Mark {
    length: u64,
    modified: Option<std::time::SystemTime>,
    journal: u64,
}

/// Gives every header to `each`, with none for one that is too large. Nothing is written, not even a journal.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(i64, Option<&[u8]>),
    mut restart: impl FnMut(),
) -> Result<(), String> {
    for _ in 0..ATTEMPTS {
        let before = mark(path)?;
        restart();
        let done = headers(path, before.journal > 0, &mut each);
        if mark(path)? == before {
            return done;
        }
    }
    Err("the database changed while it was read".to_owned())
}

fn headers(path: &Path, has_journal: bool, each: &mut impl FnMut(i64, Option<&[u8]>)) -> Result<(), String> {
    // With changes in its journal the database is read through it; that takes the journal's index, which a reader would
    // have to write where it is missing. Without them nothing but the file is opened.
    let how = if has_journal {
        if !beside(path, "-shm").exists() {
            return Err("the database has a journal without an index".to_owned());
        }
        "mode=ro&readonly_shm=1"
    } else {
        "mode=ro&immutable=1"
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut read = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(uri(path, how), flags)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // A view of the name could compute for ever.
        let kind: String =
            connection.query_row("SELECT type FROM sqlite_schema WHERE name = 'Packages'", [], |row| row.get(0))?;
        if kind != "table" {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let sql = "SELECT hnum, CASE WHEN length(blob) <= ?1 THEN blob END FROM Packages ORDER BY hnum";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([HEADER_CAP])?;
        while let Some(row) = rows.next()? {
            each(row.get(0)?, row.get_ref(1)?.as_blob_or_null().unwrap_or_default());
        }
        Ok(())
    };
    read().map_err(|e| e.to_string())
}

fn mark(path: &Path) -> Result<Mark, String> {
    let file = std::fs::metadata(path).map_err(|e| e.to_string())?;
    let journal = std::fs::metadata(beside(path, "-wal")).map_or(0, |file| file.len());
    Ok(Mark { length: file.len(), modified: file.modified().ok(), journal })
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// A path as SQLite's URIs have it.
fn uri(path: &Path, how: &str) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{uri}?{how}")
}
