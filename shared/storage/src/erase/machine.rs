//! Erases one machine of a tenant that goes on living, table by table, or chosen rows of it.

use cwpp_chassis::Error;
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

use super::value::{self, Key};
use crate::dialect::Dialect;
use crate::error::StoreResult;
use crate::guard::{TenantTx, Writes};
use crate::registry::{Erasable, Kind};

/// Rows that one statement deletes by their keys.
const BATCH: usize = 100;

/// Deletes rows of a machine from a table that has a column `machine_id`, at most `most`; returns how many. Fewer than
/// `most` are the last.
pub async fn erase_machine(tx: &TenantTx, table: &Erasable, machine_id: Uuid, most: usize) -> StoreResult<usize> {
    let dialect = tx.dialect();
    let columns = table.rest();
    let of_machine = [Value::from(tx.app_id().get()), Value::from(machine_id)];
    let sql = format!(
        "SELECT {} FROM {} WHERE app_id = ? AND machine_id = ? ORDER BY {} LIMIT {most}",
        columns.iter().map(|(name, kind)| selected(dialect, name, *kind)).collect::<Vec<_>>().join(", "),
        dialect.quote(&table.table),
        columns.iter().map(|(name, _)| dialect.quote(name)).collect::<Vec<_>>().join(", "),
    );
    let rows = tx.query_all_raw(Statement::from_sql_and_values(dialect.backend(), sql, of_machine.clone())).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    if rows.len() < most {
        let sql = format!("{} WHERE app_id = ? AND machine_id = ?", delete(dialect, table));
        let done = tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), sql, of_machine)).await?;
        return Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX));
    }
    let key = |row: &QueryResult| {
        let of = |(name, kind): &(&str, Kind)| value::key(row, name, *kind).map(|key: Key| key.value());
        columns.iter().map(of).collect()
    };
    erase_keys(tx, table, machine_id, rows.iter().map(key).collect::<StoreResult<_>>()?).await?;
    Ok(rows.len())
}

/// Deletes chosen rows of a machine from a table whose key is the machine and an id.
pub async fn erase_chosen(tx: &TenantTx, table: &Erasable, machine_id: Uuid, ids: &[Uuid]) -> StoreResult<()> {
    match table.rest()[..] {
        [("machine_id", _), (_, Kind::Uuid)] => {
            let key = |id: &Uuid| vec![Value::from(machine_id), Value::from(*id)];
            erase_keys(tx, table, machine_id, ids.iter().map(key).collect()).await
        }
        _ => Err(Error::internal(anyhow::anyhow!("rows of {} have no ids", table.table)).into()),
    }
}

/// Deletes rows of a machine by their keys.
async fn erase_keys(tx: &TenantTx, table: &Erasable, machine_id: Uuid, keys: Vec<Vec<Value>>) -> StoreResult<()> {
    let dialect = tx.dialect();
    let one: Vec<String> = table.rest().iter().map(|(name, _)| format!("{} = ?", dialect.quote(name))).collect();
    let one = format!("({})", one.join(" AND "));
    for batch in keys.chunks(BATCH) {
        // Filled up by repeating the last key, so that few statements are prepared.
        let size = [1, 10, BATCH].into_iter().find(|size| *size >= batch.len()).unwrap_or(BATCH);
        let filled = batch.iter().chain(batch.last().into_iter().cycle()).take(size);
        let mut values = vec![Value::from(tx.app_id().get()), Value::from(machine_id)];
        values.extend(filled.flatten().cloned());
        let any = vec![one.as_str(); size].join(" OR ");
        let sql = format!("{} WHERE app_id = ? AND machine_id = ? AND ({any})", delete(dialect, table));
        tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), sql, values)).await?;
    }
    Ok(())
}

fn delete(dialect: Dialect, table: &Erasable) -> String {
    format!("DELETE FROM {}", dialect.quote(&table.table))
}

fn selected(dialect: Dialect, name: &str, kind: Kind) -> String {
    match kind {
        Kind::Int => format!("{} AS {}", dialect.as_integer(&dialect.quote(name)), dialect.quote(name)),
        _ => dialect.quote(name),
    }
}
