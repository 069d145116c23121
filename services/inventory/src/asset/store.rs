//! Rows of assets in the database, whichever their class.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Writes};
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, OnConflict, Query};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, Values};
use uuid::Uuid;

use super::batch::{Batch, Entry};
use super::class::{COMMON, Class, Item, Whose};
use super::count::Value as Counted;
use super::tally::{self, Before};
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

/// What the counted value of a row is called in a selection; numbers come as their digits.
pub const COUNTED: &str = "counted_value";

/// Spells the counted value of a class's rows.
pub fn counted(class: &dyn Class) -> Expr {
    Expr::col(class.counted()).cast_as(Alias::new("char"))
}

/// Most keys that are looked up one by one; for more all rows of the machine are read.
const LOOKED_UP: usize = 1000;

/// Reads what a machine's rows of these keys, which are sorted, hold: their counted values, and the items where asked for.
pub async fn before(
    tx: &TenantTx,
    class: &dyn Class,
    machine_id: Uuid,
    keys: &[Uuid],
    items: bool,
) -> StoreResult<HashMap<Uuid, Before>> {
    let mut select = class.rows(Whose(tx));
    if !items {
        select.clear_selects().columns(["item_key", "first_seen_at"]);
    }
    select.expr_as(counted(class), COUNTED).and_where(Expr::col("machine_id").eq(machine_id));
    let mut rows = Vec::new();
    if keys.len() > LOOKED_UP {
        rows = tx.query_all(&select).await?;
    } else {
        for keys in shape::padded(keys) {
            rows.extend(tx.query_all(select.clone().and_where(Expr::col("item_key").is_in(keys))).await?);
        }
    }
    let mut found = HashMap::with_capacity(keys.len());
    for row in rows {
        let (key, before) = tally::before(&row, None)?;
        if keys.binary_search(&key).is_ok() {
            let item = items.then(|| class.load(&row)).transpose()?;
            found.insert(key, Before { item, ..before });
        }
    }
    Ok(found)
}

/// Says which of these keys a machine has rows of.
pub async fn there(
    db: &(impl ConnectionTrait + HasTenant),
    class: &dyn Class,
    machine_id: Uuid,
    keys: &[Uuid],
) -> StoreResult<Vec<Uuid>> {
    let mut select = class.rows(Whose(db));
    select.clear_selects().column("item_key").and_where(Expr::col("machine_id").eq(machine_id));
    let mut found = Vec::new();
    for keys in shape::padded(keys) {
        for row in db.query_all(&select.clone().and_where(Expr::col("item_key").is_in(keys)).take()).await? {
            found.push(row.try_get_by_index(0)?);
        }
    }
    Ok(found)
}

/// Reads the first keys of a machine's rows, sorted.
pub async fn keys(tx: &TenantTx, class: &dyn Class, machine_id: Uuid, most: u64) -> StoreResult<Vec<Uuid>> {
    let mut select = class.rows(Whose(tx));
    let select = select.clear_selects().column("item_key").and_where(Expr::col("machine_id").eq(machine_id));
    let rows = tx.query_all(select.order_by("item_key", sea_orm::Order::Asc).limit(most)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

/// Counts how many items a machine has of the values that are keys of the map.
pub async fn held(
    tx: &TenantTx,
    class: &dyn Class,
    machine_id: Uuid,
    there: &mut HashMap<Counted, i64>,
) -> StoreResult<()> {
    let mut select = class.rows(Whose(tx));
    select
        .clear_selects()
        .expr_as(counted(class), COUNTED)
        .expr_as(Expr::from(Func::count(Expr::col("item_key"))), "items")
        .and_where(Expr::col("machine_id").eq(machine_id))
        .group_by_col(COUNTED)
        // The rows of one machine lie together in the primary key.
        .force_index("PRIMARY", IndexHintScope::All);
    for row in tx.query_all(&select).await? {
        let value: String = row.try_get("", COUNTED)?;
        if let Some(items) = there.get_mut(value.as_str()) {
            *items = row.try_get("", "items")?;
        }
    }
    Ok(())
}

/// Writes items of a batch, which are sorted by key: new rows are made, others refreshed but for their first sight.
/// Each is shown to `seen` on its way.
pub async fn write(
    tx: &TenantTx,
    machine_id: Uuid,
    batch: &Batch,
    places: &[(u32, bool)],
    now: DateTime<Utc>,
    mut seen: impl FnMut(&Entry, &Item),
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
            let item = batch.item(entry)?;
            class.store(&item, &mut values);
            seen(entry, &item);
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
