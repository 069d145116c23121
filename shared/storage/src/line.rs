//! One connection of whichever database, and its end.

use sea_orm::{ExecResult, QueryResult, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, MySql, Sqlite};

/// A connection out of a pool.
pub(crate) enum Raw {
    MySql(PoolConnection<MySql>),
    Sqlite(PoolConnection<Sqlite>),
}

/// A connection that is closed when it is dropped, unless it was said to be clean.
pub(crate) struct Line {
    raw: Option<Raw>,
    /// Whether nothing is under way on it.
    pub(crate) clean: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.clean {
            return;
        }
        // Detached, so that the socket closes here and now; the pool's own way would first ask the busy server.
        match self.raw.take() {
            Some(Raw::MySql(c)) => drop(c.detach()),
            Some(Raw::Sqlite(c)) => drop(c.detach()),
            None => {}
        }
    }
}

/// Runs one prepared statement on whichever connection there is.
macro_rules! on {
    ($line:expr, $stmt:expr, $method:ident) => {{
        let values = SqlxValues($stmt.values.unwrap_or(sea_orm::Values(Vec::new())));
        let sql = AssertSqlSafe($stmt.sql);
        match $line.raw.as_mut() {
            Some(Raw::MySql(c)) => sqlx::query_with::<MySql, _>(sql, values).$method(&mut **c).await.map(Into::into),
            Some(Raw::Sqlite(c)) => sqlx::query_with::<Sqlite, _>(sql, values).$method(&mut **c).await.map(Into::into),
            None => Err(sqlx::Error::PoolClosed),
        }
    }};
}

/// Rows of either database, turned into sea-orm's.
struct Rows(Vec<QueryResult>);

impl From<Vec<sqlx::mysql::MySqlRow>> for Rows {
    fn from(rows: Vec<sqlx::mysql::MySqlRow>) -> Self {
        Self(rows.into_iter().map(Into::into).collect())
    }
}

impl From<Vec<sqlx::sqlite::SqliteRow>> for Rows {
    fn from(rows: Vec<sqlx::sqlite::SqliteRow>) -> Self {
        Self(rows.into_iter().map(Into::into).collect())
    }
}

impl Line {
    pub(crate) fn new(raw: Raw) -> Self {
        Self { raw: Some(raw), clean: true }
    }

    /// Runs a statement that returns no rows.
    pub(crate) async fn execute(&mut self, stmt: Statement) -> Result<ExecResult, sqlx::Error> {
        on!(self, stmt, execute)
    }

    /// Runs a statement and reads all its rows: a half-read result would stay on the connection.
    pub(crate) async fn fetch(&mut self, stmt: Statement) -> Result<Vec<QueryResult>, sqlx::Error> {
        let rows: Result<Rows, sqlx::Error> = on!(self, stmt, fetch_all);
        rows.map(|r| r.0)
    }

    /// Runs statements as text, in one round trip, and reads the rows of all.
    pub(crate) async fn text(&mut self, sql: &str) -> Result<Vec<QueryResult>, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self.raw.as_mut() {
            Some(Raw::MySql(c)) => Ok(Rows::from(sql.fetch_all(&mut **c).await?).0),
            Some(Raw::Sqlite(c)) => Ok(Rows::from(sql.fetch_all(&mut **c).await?).0),
            None => Err(sqlx::Error::PoolClosed),
        }
    }
}
