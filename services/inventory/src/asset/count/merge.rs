//! Merges pending changes into the folded counts, a bounded number a transaction.

use std::collections::BTreeMap;

use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::{ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::change::{Change, Count, Value};
use super::table::{day, delta, folded, value};
use crate::shape;

/// Most pending rows that one transaction merges.
const ROWS: u64 = 1000;
/// Values that are read at once while rows are merged.
const READ: i32 = 20_000;
/// Values to write after which a transaction merges no further row: it has to end within a second.
const WRITTEN: usize = 4000;

/// Merges pending changes of a class, and returns how many rows of them.
///
/// The lock of the class's folded row is the right to do so, so two folders of one class queue up, and what is read after it
/// is read by nobody else. Rows of transactions that commit meanwhile are left for the next time.
pub async fn fold(tx: &TenantTx, class: i16) -> StoreResult<u64> {
    let total = lock(tx, class).await?;
    let (ids, mut change) = take(tx, class).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    change.settle();
    let mut sum = Count { items: total.items, machines: total.machines };
    sum += change.total;
    let row = folded::Model { items: sum.items, machines: sum.machines, ..total };
    let refreshed = [folded::Column::Items, folded::Column::Machines];
    folded::Entity::upsert_all_of(tx, vec![row.into_active_model()], &refreshed).await?;
    days(tx, class, &change.days).await?;
    values(tx, class, &change.values).await?;
    for ids in shape::padded(&ids) {
        let delete = delta::Entity::delete_of(tx).filter(delta::Column::AssetClass.eq(class));
        delete.filter(delta::Column::DeltaId.is_in(ids)).exec(tx).await?;
    }
    Ok(ids.len() as u64)
}

/// Locks the folded row of a class, which is made where it is missing.
pub(super) async fn lock(tx: &TenantTx, class: i16) -> StoreResult<folded::Model> {
    let empty = folded::Model { app_id: tx.app_id().get(), asset_class: class, items: 0, machines: 0, repairs: 0 };
    // Refreshing a part of the key changes nothing and still takes the lock.
    folded::Entity::upsert_all_of(tx, vec![empty.clone().into_active_model()], &[folded::Column::AssetClass]).await?;
    Ok(folded::Entity::of(tx).filter(folded::Column::AssetClass.eq(class)).one(tx).await?.unwrap_or(empty))
}

/// Reads what one transaction merges.
async fn take(tx: &TenantTx, class: i16) -> StoreResult<(Vec<Uuid>, Change)> {
    let mut select = delta::Entity::of(tx)
        .filter(delta::Column::AssetClass.eq(class))
        .order_by_asc(delta::Column::DeltaId)
        .limit(ROWS)
        .into_query();
    select.clear_selects().columns(["delta_id", "weight"]);
    let mut pending: Vec<(Uuid, i32)> = Vec::new();
    for row in tx.query_all(&select).await? {
        pending.push((row.try_get("", "delta_id")?, row.try_get("", "weight")?));
    }
    let (mut taken, mut change) = (Vec::new(), Change::default());
    let mut rest = pending.as_slice();
    while !rest.is_empty() && change.values.len() < WRITTEN {
        let mut weight = 0;
        let more = rest.iter().take_while(|(_, w)| {
            weight += w;
            weight <= READ
        });
        let (now, later) = rest.split_at(more.count().max(1));
        rest = later;
        let ids: Vec<Uuid> = now.iter().map(|(id, _)| *id).collect();
        for padded in shape::padded(&ids) {
            let rows = delta::Entity::of(tx)
                .filter(delta::Column::AssetClass.eq(class))
                .filter(delta::Column::DeltaId.is_in(padded))
                .all(tx)
                .await?;
            for row in &rows {
                change.unpack(row)?;
            }
        }
        taken.extend(ids);
    }
    Ok((taken, change))
}

async fn days(tx: &TenantTx, class: i16, changes: &BTreeMap<i32, i64>) -> StoreResult<()> {
    let changes: Vec<(i32, i64)> = changes.iter().map(|(day, items)| (*day, *items)).collect();
    for part in changes.chunks(200) {
        let numbers = || part.iter().map(|(day, _)| *day);
        let select = day::Entity::of(tx).filter(day::Column::Day.is_in(numbers()));
        let there = select.filter(day::Column::AssetClass.eq(class)).all(tx).await?;
        let mut sums: BTreeMap<i32, i64> = part.iter().copied().collect();
        for row in there {
            *sums.entry(row.day).or_default() += row.items;
        }
        let app_id = tx.app_id().get();
        let row = |(day, items): (&i32, &i64)| day::Model { app_id, day: *day, asset_class: class, items: *items };
        let rows: Vec<_> = sums.iter().filter(|(_, items)| **items != 0).map(row).collect();
        let rows = rows.into_iter().map(IntoActiveModel::into_active_model).collect();
        day::Entity::upsert_all_of(tx, rows, &[day::Column::Items]).await?;
        let zero: Vec<i32> = sums.into_iter().filter(|(_, items)| *items == 0).map(|(day, _)| day).collect();
        if !zero.is_empty() {
            let delete = day::Entity::delete_of(tx).filter(day::Column::Day.is_in(zero));
            delete.filter(day::Column::AssetClass.eq(class)).exec(tx).await?;
        }
    }
    Ok(())
}

async fn values(tx: &TenantTx, class: i16, changes: &BTreeMap<Value, Count>) -> StoreResult<()> {
    let changes: Vec<(&Value, &Count)> = changes.iter().collect();
    let mut rest = changes.as_slice();
    for size in shape::split(changes.len()) {
        let (part, later) = rest.split_at(size);
        rest = later;
        let mut sums: BTreeMap<&str, Count> = part.iter().map(|(value, count)| (&***value, **count)).collect();
        let there = of_values(tx, class, part.iter().map(|(value, _)| &***value)).await?;
        for row in &there {
            *sums.entry(&row.value).or_default() += Count { items: row.items, machines: -row.machines_negated };
        }
        let (gone, kept): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(_, count)| *count == Count::default());
        let row = |(value, count): (&str, Count)| {
            let (items, machines_negated) = (count.items, -count.machines);
            value::Model { app_id: tx.app_id().get(), asset_class: class, value: value.into(), items, machines_negated }
        };
        let mut rows: Vec<_> = kept.into_iter().map(row).map(IntoActiveModel::into_active_model).collect();
        for size in shape::split(rows.len()) {
            let part = rows.drain(..size).collect();
            let refreshed = [value::Column::Items, value::Column::MachinesNegated];
            value::Entity::upsert_all_of(tx, part, &refreshed).await?;
        }
        let mut gone = gone.iter().map(|(value, _)| *value);
        for size in shape::split(gone.len()) {
            let texts: Vec<&str> = gone.by_ref().take(size).collect();
            let delete = value::Entity::delete_of(tx).filter(value::Column::AssetClass.eq(class));
            delete.filter(value::Column::Value.is_in(texts)).exec(tx).await?;
        }
    }
    Ok(())
}

/// Reads the folded counts of values.
pub(super) async fn of_values<'a>(
    db: &(impl ConnectionTrait + cwpp_storage::HasTenant),
    class: i16,
    values: impl Iterator<Item = &'a str>,
) -> StoreResult<Vec<value::Model>> {
    let select = value::Entity::of(db).filter(value::Column::AssetClass.eq(class));
    Ok(select.filter(value::Column::Value.is_in(values)).all(db).await?)
}
