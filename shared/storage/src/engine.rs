//! Refuses servers on which a shared lock does not keep an exclusive one out: a seal would not wait for writers there, and
//! rows could come after it. Such are servers of several primaries, and engines that take no shared locks.

use cwpp_chassis::{Error, Reason, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::dialect::Dialect;
use crate::migrate::LOG;

/// No such table; shared locks are not supported; the statement would have had to wait, or waited too long.
const NO_TABLE: u16 = 1146;
const UNSUPPORTED: u16 = 1235;
const HELD: [u16; 2] = [3572, 1205];

/// Looks at the server by a row of the schema's log; before there is one, only at its settings.
pub(crate) async fn check(first: &mut MySqlConnection, options: &MySqlConnectOptions) -> Result<()> {
    if has_several_primaries(first).await.map_err(failed)? {
        return Err(refused("the database server has several primaries"));
    }
    let row = format!("SELECT name FROM {LOG} ORDER BY name LIMIT 1");
    first.execute("START TRANSACTION").await.map_err(failed)?;
    let blocks = match first.fetch_optional(AssertSqlSafe(format!("{row} LOCK IN SHARE MODE"))).await {
        Ok(Some(_)) => keeps_out(options, &row).await,
        Ok(None) => Ok(true),
        Err(e) if number(&e) == Some(NO_TABLE) => Ok(true),
        Err(e) if number(&e) == Some(UNSUPPORTED) => Ok(false),
        Err(e) => Err(e),
    };
    first.execute("ROLLBACK").await.map_err(failed)?;
    match blocks.map_err(failed)? {
        true => Ok(()),
        false => Err(refused("on the database server a shared lock does not keep an exclusive one out")),
    }
}

/// Says whether another connection has to wait for an exclusive lock of a row that is held.
async fn keeps_out(options: &MySqlConnectOptions, row: &str) -> std::result::Result<bool, sqlx::Error> {
    let mut other = options.connect().await?;
    other.execute(AssertSqlSafe(Dialect::MySql.session())).await?;
    other.execute("START TRANSACTION").await?;
    let got = other.fetch_optional(AssertSqlSafe(format!("{row} FOR UPDATE NOWAIT"))).await;
    let _ = other.close().await;
    match got {
        Ok(_) => Ok(false),
        Err(e) if number(&e).is_some_and(|n| HELD.contains(&n)) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Says whether writes are taken by several servers at once, which do not see each other's locks.
async fn has_several_primaries(first: &mut MySqlConnection) -> std::result::Result<bool, sqlx::Error> {
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'group_replication_single_primary_mode')";
    for row in first.fetch_all(sql).await? {
        match (row.try_get::<String, _>(0)?.as_str(), row.try_get::<String, _>(1)?.as_str()) {
            ("wsrep_on", "ON") | ("group_replication_single_primary_mode", "OFF") => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

fn refused(why: &'static str) -> Error {
    Error::new(Reason::InvalidArgument, why)
}

fn failed(error: sqlx::Error) -> Error {
    Error::new(Reason::DatabaseUnavailable, "what the database server locks cannot be told").source(error)
}
