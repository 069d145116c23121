//! Databases of SQLite that others write.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Params, Row};

/// How often a database that changes under the reader is read again.
const ATTEMPTS: u32 = 3;

/// What tells that nobody wrote in the meantime.
#[derive(PartialEq, Eq)]
struct Mark {
    length: u64,
    modified: Option<std::time::SystemTime>,
    journal: u64,
}

/// A query of one table.
pub(crate) struct Query<P> {
    pub(crate) table: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) params: P,
}

/// Gives every row of a query to `each`; `restart` comes first, and again whenever all are read again. Nothing is written,
/// not even a journal.
pub(crate) fn read<P: Params + Clone>(
    path: &Path,
    query: &Query<P>,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    mut restart: impl FnMut(),
) -> Result<(), String> {
    for _ in 0..ATTEMPTS {
        let before = mark(path)?;
        restart();
        let done = rows(path, before.journal > 0, query, &mut each);
        if mark(path)? == before {
            return done;
        }
    }
    Err("the database changed while it was read".to_owned())
}

fn rows<P: Params + Clone>(
    path: &Path,
    has_journal: bool,
    query: &Query<P>,
    each: &mut impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), String> {
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
            connection.query_row("SELECT type FROM sqlite_schema WHERE name = ?1", [query.table], |row| row.get(0))?;
        if kind != "table" {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let mut statement = connection.prepare(query.sql)?;
        let mut rows = statement.query(query.params.clone())?;
        while let Some(row) = rows.next()? {
            each(row)?;
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
