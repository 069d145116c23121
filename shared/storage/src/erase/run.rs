//! How far the purge of an incarnation has come: `erasure_run`, written in the transaction of each step.

use std::collections::BTreeMap;

use cwpp_chassis::{Error, Reason};
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::value::Key;
use crate::dialect::Dialect;
use crate::error::StoreResult;

/// A purge's progress.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    /// The newest token seen.
    pub(super) token: i64,
    /// The table at work; empty before the first and after the last.
    pub(super) table: String,
    /// The key up to which it is empty.
    pub(super) after: Option<Vec<Key>>,
    /// Rows deleted so far.
    pub(super) counts: BTreeMap<String, u64>,
}

/// Reads and locks the progress.
pub(super) async fn load(tx: &impl ConnectionTrait, dialect: Dialect, incarnation: Uuid) -> StoreResult<Option<Run>> {
    let sql = format!(
        "SELECT token, at_table, position, counts FROM erasure_run WHERE incarnation = ?{}",
        dialect.exclusive_lock()
    );
    let row = tx.query_one_raw(Statement::from_sql_and_values(dialect.backend(), sql, [incarnation.into()])).await?;
    let Some(row) = row else { return Ok(None) };
    let position: Vec<u8> = row.try_get("", "position")?;
    let counts: serde_json::Value = row.try_get("", "counts")?;
    Ok(Some(Run {
        token: row.try_get("", "token")?,
        table: row.try_get("", "at_table")?,
        after: if position.is_empty() { None } else { serde_json::from_slice(&position).map_err(Error::internal)? },
        counts: serde_json::from_value(counts).map_err(Error::internal)?,
    }))
}

/// Reads the progress and takes it over with this token; a lower one than the last is `LEASE_LOST`.
pub(super) async fn take(
    tx: &impl ConnectionTrait,
    dialect: Dialect,
    incarnation: Uuid,
    token: i64,
) -> StoreResult<Run> {
    match load(tx, dialect, incarnation).await? {
        Some(run) if run.token > token => {
            Err(Error::new(Reason::LeaseLost, "the deletion was taken over under a higher token")
                .with("token", run.token)
                .into())
        }
        Some(run) => Ok(Run { token, ..run }),
        None => Ok(Run { token, ..Run::default() }),
    }
}

/// Writes the progress.
pub(super) async fn store(
    tx: &impl ConnectionTrait,
    dialect: Dialect,
    incarnation: Uuid,
    run: &Run,
) -> StoreResult<()> {
    let position = match &run.after {
        Some(after) => serde_json::to_vec(after).map_err(Error::internal)?,
        None => Vec::new(),
    };
    let counts = serde_json::to_value(&run.counts).map_err(Error::internal)?;
    let backend = dialect.backend();
    let update: [Value; 5] = [
        run.token.into(),
        run.table.clone().into(),
        position.clone().into(),
        counts.clone().into(),
        incarnation.into(),
    ];
    let sql = "UPDATE erasure_run SET token = ?, at_table = ?, position = ?, counts = ? WHERE incarnation = ?";
    if tx.execute_raw(Statement::from_sql_and_values(backend, sql, update)).await?.rows_affected() > 0 {
        return Ok(());
    }
    let insert: [Value; 5] =
        [incarnation.into(), run.token.into(), run.table.clone().into(), position.into(), counts.into()];
    let sql = "INSERT INTO erasure_run (incarnation, token, at_table, position, counts) VALUES (?, ?, ?, ?, ?)";
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, insert)).await?;
    Ok(())
}

/// Forgets the progress.
pub(super) async fn forget(tx: &impl ConnectionTrait, dialect: Dialect, incarnation: Uuid) -> StoreResult<()> {
    let sql = "DELETE FROM erasure_run WHERE incarnation = ?";
    tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), sql, [incarnation.into()])).await?;
    Ok(())
}
