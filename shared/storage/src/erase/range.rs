//! Walks a table's rows of one tenant in the order of the primary key.

use sea_orm::{ConnectionTrait, Statement, Value};

use super::value::{self, Key};
use crate::dialect::Dialect;
use crate::error::StoreResult;
use crate::registry::{Erasable, Kind};

/// Selects the key of a chunk's last row: none when the chunk is the last one.
pub(super) async fn boundary(
    tx: &impl ConnectionTrait,
    dialect: Dialect,
    table: &Erasable,
    app_id: i64,
    after: Option<&[Key]>,
    size: usize,
) -> StoreResult<Option<Vec<Key>>> {
    let columns = table.rest();
    if columns.is_empty() {
        return Ok(None);
    }
    let mut values = vec![Value::from(app_id)];
    let sql = format!(
        "SELECT {} FROM {} WHERE app_id = ?{} ORDER BY {} LIMIT 1 OFFSET {}",
        columns.iter().map(|(name, kind)| selected(dialect, name, *kind)).collect::<Vec<_>>().join(", "),
        dialect.quote(&table.table),
        after.map(|keys| beyond(dialect, &columns, keys, ">", ">", &mut values)).unwrap_or_default(),
        order(dialect, &columns),
        size - 1,
    );
    let row = tx.query_one_raw(Statement::from_sql_and_values(dialect.backend(), sql, values)).await?;
    row.map(|row| columns.iter().map(|(name, kind)| value::key(&row, name, *kind)).collect()).transpose()
}

/// Deletes the rows after one key, up to and with another.
pub(super) async fn delete(
    tx: &impl ConnectionTrait,
    dialect: Dialect,
    table: &Erasable,
    app_id: i64,
    after: Option<&[Key]>,
    until: Option<&[Key]>,
) -> StoreResult<u64> {
    let columns = table.rest();
    let mut values = vec![Value::from(app_id)];
    let mut sql = format!("DELETE FROM {} WHERE app_id = ?", dialect.quote(&table.table));
    if let Some(keys) = after {
        sql.push_str(&beyond(dialect, &columns, keys, ">", ">", &mut values));
    }
    if let Some(keys) = until {
        sql.push_str(&beyond(dialect, &columns, keys, "<", "<=", &mut values));
    }
    Ok(tx.execute_raw(Statement::from_sql_and_values(dialect.backend(), sql, values)).await?.rows_affected())
}

/// Selects all columns of a chunk after a key.
pub(super) async fn rows(
    tx: &impl ConnectionTrait,
    dialect: Dialect,
    table: &Erasable,
    app_id: i64,
    after: Option<&[Key]>,
    size: usize,
) -> StoreResult<Vec<sea_orm::QueryResult>> {
    let columns = table.rest();
    let mut values = vec![Value::from(app_id)];
    let sql = format!(
        "SELECT {} FROM {} WHERE app_id = ?{} ORDER BY {} LIMIT {size}",
        table.columns.iter().map(|(name, kind)| selected(dialect, name, *kind)).collect::<Vec<_>>().join(", "),
        dialect.quote(&table.table),
        after.map(|keys| beyond(dialect, &columns, keys, ">", ">", &mut values)).unwrap_or_default(),
        if columns.is_empty() { "app_id".to_owned() } else { order(dialect, &columns) },
    );
    Ok(tx.query_all_raw(Statement::from_sql_and_values(dialect.backend(), sql, values)).await?)
}

/// Reads the key of a row that was selected whole.
pub(super) fn key_of(table: &Erasable, row: &sea_orm::QueryResult) -> StoreResult<Vec<Key>> {
    table.rest().iter().map(|(name, kind)| value::key(row, name, *kind)).collect()
}

fn selected(dialect: Dialect, name: &str, kind: Kind) -> String {
    match kind {
        Kind::Int => format!("{} AS {}", dialect.as_integer(&dialect.quote(name)), dialect.quote(name)),
        _ => dialect.quote(name),
    }
}

fn order(dialect: Dialect, columns: &[(&str, Kind)]) -> String {
    columns.iter().map(|(name, _)| dialect.quote(name)).collect::<Vec<_>>().join(", ")
}

/// Spells `AND (a > ? OR (a = ? AND b > ?))`; the last column compares with `last`.
fn beyond(
    dialect: Dialect,
    columns: &[(&str, Kind)],
    keys: &[Key],
    than: &str,
    last: &str,
    values: &mut Vec<Value>,
) -> String {
    let mut any = Vec::with_capacity(columns.len());
    for i in 0..columns.len().min(keys.len()) {
        let mut all = Vec::with_capacity(i + 1);
        for j in 0..i {
            all.push(format!("{} = ?", dialect.quote(columns[j].0)));
            values.push(keys[j].value());
        }
        let sign = if i + 1 == columns.len() { last } else { than };
        all.push(format!("{} {sign} ?", dialect.quote(columns[i].0)));
        values.push(keys[i].value());
        any.push(format!("({})", all.join(" AND ")));
    }
    format!(" AND ({})", any.join(" OR "))
}
