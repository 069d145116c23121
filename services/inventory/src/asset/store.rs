//! Rows of assets in the database, whichever their class.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use cwpp_storage::{StoreResult, TenantTx, Writes};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, Values};
use uuid::Uuid;

use super::batch::Batch;
use super::class::{COMMON, Class, Whose};
use crate::shape;

/// Reads the keys and hashes of a machine's rows, sorted by key.
pub async fn hashes(tx: &TenantTx, class: &dyn Class, machine_id: Uuid) -> StoreResult<Vec<(Uuid, Uuid)>> {
    let mut select = class.rows(Whose(tx));
    select
        .clear_selects()
        .columns(["item_key", "row_hash"])
        .and_where(Expr::col("machine_id").eq(machine_id))
        .order_by("item_key", sea_orm::Order::Asc);
    let rows = tx.query_all(&select).await?;
    let mut hashes = Vec::with_capacity(rows.len());
    for row in rows {
        hashes.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    }
    Ok(hashes)
}

/// Writes items of a batch, which are sorted by key: new rows are made, others refreshed but for their first sight.
pub async fn write(
    tx: &TenantTx,
    machine_id: Uuid,
    batch: &Batch,
    places: &[(u32, bool)],
    now: DateTime<Utc>,
) -> StoreResult<()> {
    let (class, mut rest) = (batch.class, places);
    for size in shape::split(places.len()) {
        let (rows, after) = rest.split_at(size);
        rest = after;
        let mut values: Vec<Value> = Vec::with_capacity(size * (COMMON.len() + class.columns().len()));
        for (place, _) in rows {
            let entry = &batch.entries()[*place as usize];
            values.push(tx.app_id().get().into());
            values.push(machine_id.into());
            values.push(entry.key.into());
            values.push(entry.hash.into());
            values.push(now.into());
            values.push(now.into());
            class.store(&batch.item(entry)?, &mut values);
        }
        run(tx, class, Kind::Upsert, size, values).await?;
    }
    Ok(())
}

/// Deletes rows of a machine by their keys, which are sorted.
pub async fn remove(tx: &TenantTx, machine_id: Uuid, class: &dyn Class, keys: &[Uuid]) -> StoreResult<()> {
    for keys in keys.chunks(shape::ROWS[0]) {
        let size = shape::ROWS.into_iter().rev().find(|s| *s >= keys.len()).unwrap_or(keys.len());
        let mut values: Vec<Value> = vec![tx.app_id().get().into(), machine_id.into()];
        values.extend(keys.iter().map(|k| Value::from(*k)));
        // Filled up by repeating the last key, so that few statements are prepared.
        let last = keys.last().copied().unwrap_or_default();
        values.resize(2 + size, last.into());
        run(tx, class, Kind::Delete, size, values).await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Upsert,
    Delete,
}

type Shape = (&'static str, Kind, usize, &'static str);

/// Statements as spelled, once per process and shape.
static SPELLED: LazyLock<Mutex<HashMap<Shape, Arc<str>>>> = LazyLock::new(Mutex::default);

async fn run(tx: &TenantTx, class: &dyn Class, kind: Kind, rows: usize, values: Vec<Value>) -> StoreResult<()> {
    let backend = tx.get_database_backend();
    let sql = {
        let mut spelled = SPELLED.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = (class.table(), kind, rows, tx.dialect().name());
        spelled.entry(shape).or_insert_with(|| spell(class, kind, rows, backend).into()).clone()
    };
    tx.execute_raw(Statement { sql: sql.to_string(), values: Some(Values(values)), db_backend: backend }).await?;
    Ok(())
}

fn spell(class: &dyn Class, kind: Kind, rows: usize, backend: DbBackend) -> String {
    match kind {
        Kind::Upsert => {
            let own = || class.columns().iter().map(|c| c.name);
            let columns: Vec<&'static str> = COMMON.into_iter().chain(own()).collect();
            let mut insert = Query::insert();
            insert.into_table(class.table()).columns(columns.iter().copied());
            for _ in 0..rows {
                insert.values_panic(columns.iter().map(|_| Expr::val(0)));
            }
            let refreshed = ["row_hash", "updated_at"].into_iter().chain(own());
            insert.on_conflict(
                OnConflict::columns(["app_id", "machine_id", "item_key"]).update_columns(refreshed).to_owned(),
            );
            backend.build(&insert).sql
        }
        Kind::Delete => {
            let delete = Query::delete()
                .from_table(class.table())
                .and_where(Expr::col("app_id").eq(0))
                .and_where(Expr::col("machine_id").eq(0))
                .and_where(Expr::col("item_key").is_in(vec![0; rows]))
                .to_owned();
            backend.build(&delete).sql
        }
    }
}
