//! Leases: who does which job, by the database's clock, with a token that rises with each claim.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::SystemScope;
use cwpp_chassis::{Error, Reason, Result};
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::Db;
use crate::error::StoreResult;
use crate::guard::SystemTx;
use crate::session::Session;

/// A claim on a job. It is over when its time is, whatever this value says: whoever writes under it compares the token
/// in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: Uuid,
    /// Rises with each claim of the same name.
    pub token: i64,
}

/// Claims a job unless another holder has it: none while it does. The same holder's claim goes on with the same token.
pub async fn claim(db: &Db, scope: &SystemScope, name: &str, holder: Uuid, life: Duration) -> Result<Option<Lease>> {
    let life = i64::try_from(life.as_micros()).unwrap_or(i64::MAX / 2);
    db.system(scope, |tx| async move {
        let now = tx.dialect().now_micros();
        let renew =
            format!("UPDATE lease SET until_micros = {now} + ? WHERE name = ? AND holder = ? AND until_micros > {now}");
        let claim = format!(
            "UPDATE lease SET holder = ?, token = token + 1, until_micros = {now} + ? WHERE name = ? AND until_micros <= {now}"
        );
        let claim = [(renew, vec![life.into(), name.into(), holder.into()]), (claim, vec![holder.into(), life.into(), name.into()])];
        let mut held = false;
        for (sql, values) in &claim {
            held = held || run(&tx, sql, values.clone()).await? > 0;
        }
        if !held {
            // Only now may the row be missing: an insert before would lock it shared, and claimers would meet in deadlocks.
            let insert = tx.dialect().insert_ignore();
            let sql = format!("{insert} lease (name, holder, token, until_micros) VALUES (?, ?, 1, {now} + ?)");
            if run(&tx, &sql, vec![name.into(), holder.into(), life.into()]).await? == 0 {
                return Ok(None);
            }
        }
        let row =
            one(&tx, "SELECT token FROM lease WHERE name = ? AND holder = ?", vec![name.into(), holder.into()]).await?;
        Ok(row.map(|r| r.try_get("", "token")).transpose()?.map(|token| Lease { holder, token }))
    })
    .await
}

/// Fails with `LEASE_LOST` unless the lease is still this one and has time left; call it in the transaction that writes.
pub async fn check(tx: &SystemTx, name: &str, lease: Lease) -> StoreResult<()> {
    // An update, so that the row stays locked until the writes commit.
    let now = tx.dialect().now_micros();
    let held = run(
        tx,
        &format!("UPDATE lease SET token = token WHERE name = ? AND holder = ? AND token = ? AND until_micros > {now}"),
        vec![name.into(), lease.holder.into(), lease.token.into()],
    )
    .await?;
    if held == 1 { Ok(()) } else { Err(Error::new(Reason::LeaseLost, "another worker has taken the job over").into()) }
}

/// Gives a lease back, so that the next claim need not wait for its end. The token stays.
pub async fn release(db: &Db, scope: &SystemScope, name: &str, lease: Lease) -> Result<()> {
    db.system(scope, |tx| async move {
        run(
            &tx,
            "UPDATE lease SET until_micros = 0 WHERE name = ? AND holder = ? AND token = ?",
            vec![name.into(), lease.holder.into(), lease.token.into()],
        )
        .await?;
        Ok(())
    })
    .await
}

async fn run(tx: &SystemTx, sql: &str, values: Vec<Value>) -> StoreResult<u64> {
    let stmt = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.execute_raw(stmt).await?.rows_affected())
}

async fn one(tx: &SystemTx, sql: &str, values: Vec<Value>) -> StoreResult<Option<QueryResult>> {
    Ok(tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?)
}

/// Asks the clock of the database on this connection.
pub(crate) async fn database_time(session: &Session) -> StoreResult<DateTime<Utc>> {
    let dialect = session.dialect();
    let stmt = Statement::from_string(dialect.backend(), format!("SELECT {} AS now", dialect.now_micros()));
    let micros: i64 = session.query_one(stmt).await?.map(|r| r.try_get("", "now")).transpose()?.unwrap_or_default();
    Ok(DateTime::from_timestamp_micros(micros).unwrap_or_default())
}
