//! The one file that asks which database it is.
//!
//! MySQL is the system of record, SQLite the embedded default. Whatever differs between them is a method of
//! [`Dialect`]; no other file matches on it.

use std::time::Duration;

use sea_orm::DbBackend;

/// The database behind a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL 8.4 or later.
    MySql,
    /// SQLite, one file, one writer.
    Sqlite,
}

/// The type of a column, the same on both databases as far as entities see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `i16`.
    Small,
    /// `i32`.
    Int,
    /// `u32`.
    Unsigned,
    /// `i64`.
    Big,
    /// `f64`.
    Double,
    /// `bool`.
    Bool,
    /// `Uuid`, or another 16-byte key as `Vec<u8>`.
    Uuid,
    /// `Vec<u8>` of at most this many bytes; fit for keys.
    Bytes(u16),
    /// `Vec<u8>` of any length.
    Blob,
    /// `String` of at most this many characters; fit for keys.
    Varchar(u16),
    /// `String` up to 64 KiB; never indexed.
    Text,
    /// `String` up to 16 MiB; never indexed.
    LongText,
    /// `serde_json::Value`; never compared.
    Json,
    /// `DateTime<Utc>`, cut to microseconds before it is written.
    Time,
}

/// Limits of SELECT statements in milliseconds; few, so that few statements are prepared.
const BUCKETS: [u64; 9] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

impl Dialect {
    /// Returns the name for traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// Returns sea-orm's name for it.
    pub fn backend(self) -> DbBackend {
        match self {
            Self::MySql => DbBackend::MySql,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }

    /// Begins a transaction that will write.
    pub fn begin(self) -> &'static str {
        match self {
            Self::MySql => "BEGIN",
            // A deferred one would fail when it turns from reading to writing.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// Begins a transaction that only reads, and sees the database as it is now for all of its statements.
    pub fn begin_reading(self) -> &'static str {
        match self {
            Self::MySql => {
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
            }
            // The first statement fixes what is seen.
            Self::Sqlite => "BEGIN",
        }
    }

    /// Locks the rows of a SELECT against deletion and change, not against other readers of this kind.
    /// On SQLite the transaction itself is the lock.
    pub fn shared_lock(self) -> &'static str {
        match self {
            Self::MySql => " LOCK IN SHARE MODE",
            Self::Sqlite => "",
        }
    }

    /// Locks the rows of a SELECT against everybody.
    pub fn exclusive_lock(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// Sets for how long this session waits for locks.
    pub fn lock_wait(self, wait: Duration) -> String {
        match self {
            Self::MySql => format!("SET SESSION innodb_lock_wait_timeout = {}", wait.as_secs().max(1)),
            // The pragma would answer with a row before those of the statement that follows. Every connection waits a second
            // anyway, and whoever asks for more is retried.
            Self::Sqlite => "SELECT 1 WHERE 0".to_owned(),
        }
    }

    /// What every new connection runs first.
    pub fn session(self) -> String {
        match self {
            Self::MySql => "SET SESSION transaction_isolation = 'READ-COMMITTED', time_zone = '+00:00', \
                 sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY', \
                 collation_connection = 'utf8mb4_0900_bin', innodb_lock_wait_timeout = 1, lock_wait_timeout = 5"
                .to_owned(),
            Self::Sqlite => "SELECT 1".to_owned(),
        }
    }

    /// Gives a SELECT the time that is left, rounded up to one of few values.
    pub fn limited(self, sql: &str, left: Duration) -> Option<String> {
        if self != Self::MySql {
            return None;
        }
        let rest = sql.strip_prefix("SELECT ")?;
        let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let limit = BUCKETS.iter().copied().find(|b| *b >= ms).unwrap_or(30_000);
        Some(format!("SELECT /*+ MAX_EXECUTION_TIME({limit}) */ {rest}"))
    }

    /// Spells the database's own clock, UTC with microseconds.
    pub fn now(self) -> &'static str {
        match self {
            Self::MySql => "UTC_TIMESTAMP(6)",
            Self::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00'",
        }
    }

    /// Spells the database's clock as microseconds since 1970, an integer.
    pub fn now_micros(self) -> &'static str {
        match self {
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
            Self::Sqlite => "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000",
        }
    }

    /// Reads what identifies the server, to notice a failover or a restore.
    pub fn server_id(self) -> &'static str {
        match self {
            Self::MySql => "SELECT @@server_uuid",
            // SQLite has none; the file's own schema cookie and page size say little, so the name stands.
            Self::Sqlite => "SELECT 'sqlite'",
        }
    }

    /// Lists the tables of this database that have a column of this name, from the catalogue.
    pub fn tables_with_column(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT t.table_name AS name FROM information_schema.tables t JOIN information_schema.columns c \
                 ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
                 WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.column_name = ? ORDER BY t.table_name"
            }
            Self::Sqlite => {
                "SELECT m.name AS name FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND c.name = ? ORDER BY m.name"
            }
        }
    }

    /// Lists all tables of this database, from the catalogue.
    pub fn tables(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT table_name AS name FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"
            }
            Self::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
            }
        }
    }

    /// Lists columns of a table with type and place in the primary key (0 for none), from the catalogue.
    pub fn columns(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT c.column_name AS name, CAST(c.column_type AS CHAR) AS type, CAST(COALESCE(k.ordinal_position, 0) AS SIGNED) AS place \
                 FROM information_schema.columns c LEFT JOIN information_schema.key_column_usage k \
                 ON k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name AND k.constraint_name = 'PRIMARY' \
                 WHERE c.table_schema = DATABASE() AND c.table_name = ? ORDER BY c.ordinal_position"
            }
            Self::Sqlite => "SELECT name, type, CAST(pk AS INTEGER) AS place FROM pragma_table_info(?) ORDER BY cid",
        }
    }

    /// Counts indexes of this table (first value) and name (second).
    pub fn has_index(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT CAST(COUNT(*) AS SIGNED) AS n FROM information_schema.statistics \
                 WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?"
            }
            Self::Sqlite => {
                "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND name = ?"
            }
        }
    }

    /// Lists the first column of every index, the primary key's included.
    pub fn index_heads(self) -> &'static str {
        match self {
            Self::MySql => {
                "SELECT table_name AS tbl, index_name AS idx, column_name AS col FROM information_schema.statistics \
                 WHERE table_schema = DATABASE() AND seq_in_index = 1 ORDER BY table_name, index_name"
            }
            Self::Sqlite => {
                "SELECT m.name AS tbl, i.name AS idx, c.name AS col FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) c \
                 WHERE m.type = 'table' AND c.seqno = 0 ORDER BY m.name, i.name"
            }
        }
    }

    /// Quotes a name.
    pub fn quote(self, name: &str) -> String {
        match self {
            Self::MySql => format!("`{name}`"),
            Self::Sqlite => format!("\"{name}\""),
        }
    }

    /// Spells a column's type.
    pub fn column_type(self, of: Type) -> String {
        match (self, of) {
            (Self::MySql, Type::Small) => "smallint".into(),
            (Self::MySql, Type::Int) => "int".into(),
            (Self::MySql, Type::Unsigned) => "int unsigned".into(),
            (Self::Sqlite, Type::Small | Type::Int) => "integer".into(),
            (_, Type::Big) | (Self::Sqlite, Type::Unsigned) => "bigint".into(),
            (_, Type::Double) => "double".into(),
            (Self::MySql, Type::Bool) => "tinyint(1)".into(),
            (Self::Sqlite, Type::Bool) => "boolean".into(),
            (Self::MySql, Type::Uuid) => "binary(16)".into(),
            (Self::MySql, Type::Bytes(n)) => format!("varbinary({n})"),
            (Self::MySql, Type::Blob) => "mediumblob".into(),
            (Self::Sqlite, Type::Uuid | Type::Bytes(_) | Type::Blob) => "blob".into(),
            (Self::MySql, Type::Varchar(n)) => format!("varchar({n})"),
            (Self::MySql, Type::Text) => "text".into(),
            (Self::MySql, Type::LongText) => "mediumtext".into(),
            (Self::MySql, Type::Json) => "json".into(),
            (Self::Sqlite, Type::Varchar(_) | Type::Text | Type::LongText | Type::Json) => "text".into(),
            (Self::MySql, Type::Time) => "datetime(6)".into(),
            (Self::Sqlite, Type::Time) => "datetime".into(),
        }
    }

    /// What stands behind the columns of CREATE TABLE.
    pub fn table_options(self) -> &'static str {
        match self {
            Self::MySql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_bin",
            Self::Sqlite => "",
        }
    }

    /// What stands behind CREATE INDEX: the way it may be done, so that the server refuses a copy.
    pub fn index_options(self) -> &'static str {
        match self {
            Self::MySql => " ALGORITHM=INPLACE LOCK=NONE",
            Self::Sqlite => "",
        }
    }

    /// What stands behind ALTER TABLE … ADD COLUMN.
    pub fn column_options(self) -> &'static str {
        match self {
            Self::MySql => ", ALGORITHM=INSTANT",
            Self::Sqlite => "",
        }
    }

    /// Takes the migration lock on this connection; the answer's first value is 1 when it is held.
    pub fn take_migration_lock(self, service: &str) -> String {
        match self {
            // A lock's name has at most 64 characters, and so has a schema's.
            Self::MySql => {
                format!(
                    "SELECT CAST(GET_LOCK(SHA2(CONCAT(DATABASE(), '.{service}.migrate'), 224), 60) AS SIGNED) AS held"
                )
            }
            // Writers of one file exclude each other; each step takes the write lock with its check inside.
            Self::Sqlite => "SELECT 1 AS held".into(),
        }
    }

    /// Gives the migration lock back.
    pub fn give_migration_lock(self, service: &str) -> String {
        match self {
            Self::MySql => {
                format!("SELECT RELEASE_LOCK(SHA2(CONCAT(DATABASE(), '.{service}.migrate'), 224)) AS released")
            }
            Self::Sqlite => "SELECT 1 AS released".into(),
        }
    }

    /// Says whether a DDL statement can stand in a transaction with its record.
    pub fn transactional_ddl(self) -> bool {
        self == Self::Sqlite
    }

    /// Inserts unless the key is there; otherwise changes nothing.
    pub fn insert_ignore(self) -> &'static str {
        match self {
            Self::MySql => "INSERT IGNORE INTO",
            Self::Sqlite => "INSERT OR IGNORE INTO",
        }
    }

    /// Most values that one statement may bind.
    pub fn bind_limit(self) -> usize {
        match self {
            Self::MySql => 65_535,
            Self::Sqlite => 32_766,
        }
    }

    /// Spells an integer of any width as `i64`.
    pub fn as_integer(self, column: &str) -> String {
        match self {
            Self::MySql => format!("CAST({column} AS SIGNED)"),
            Self::Sqlite => column.to_owned(),
        }
    }

    /// Explains a statement.
    pub fn explain(self, sql: &str) -> String {
        match self {
            Self::MySql => format!("EXPLAIN FORMAT=TREE {sql}"),
            Self::Sqlite => format!("EXPLAIN QUERY PLAN {sql}"),
        }
    }
}
