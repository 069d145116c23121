//! Erases one machine of a tenant that goes on living, table by table.

use sea_orm::{ConnectionTrait, Statement, Value};
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
    let delete = format!("DELETE FROM {} WHERE app_id = ? AND machine_id = ?", dialect.quote(&table.table));
    if rows.is_empty() {
        return Ok(0);
    }
    if rows.len() < most {
        let done = tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), delete, of_machine)).await?;
        return Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX));
    }
    let one: Vec<String> = columns.iter().map(|(name, _)| format!("{} = ?", dialect.quote(name))).collect();
    let one = format!("({})", one.join(" AND "));
    for batch in rows.chunks(BATCH) {
        let mut values = of_machine.to_vec();
        for row in batch {
            for (name, kind) in &columns {
                values.push(value::key(row, name, *kind).map(|key: Key| key.value())?);
            }
        }
        let sql = format!("{delete} AND ({})", vec![one.as_str(); batch.len()].join(" OR "));
        tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), sql, values)).await?;
    }
    Ok(rows.len())
}

fn selected(dialect: Dialect, name: &str, kind: Kind) -> String {
    match kind {
        Kind::Int => format!("{} AS {}", dialect.as_integer(&dialect.quote(name)), dialect.quote(name)),
        _ => dialect.quote(name),
    }
}
