//! Counts of items and machines per class, day of first sight and value: exact at any time, and never counted over the
//! rows.
//!
//! Each transaction that writes assets adds one row per class with what it changed. A folder merges rows into the folded
//! counts; a read adds folded and pending as they are at one moment.

mod change;
pub mod check;
mod merge;
mod table;
pub mod top;

use std::collections::BTreeMap;

use cwpp_storage::{HasTenant, StoreResult, SystemRead, TenantRead, TenantTx, Tenanted};
use sea_orm::sea_query::{Expr, SelectStatement, UnionType};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, QueryTrait};

pub use change::{Change, Count, Value, day};
pub use merge::fold;
pub use table::{day as days, delta, folded, value};

/// Adds what a transaction changed, a row per class.
pub async fn add(tx: &TenantTx, changes: &BTreeMap<i16, Change>) -> StoreResult<()> {
    let changed = changes.iter().filter(|(_, change)| !change.is_nothing());
    let rows = changed.flat_map(|(class, change)| change.rows(tx.app_id(), *class));
    let rows: Vec<_> = rows.map(IntoActiveModel::into_active_model).collect();
    Ok(delta::Entity::insert_all_of(tx, rows).await?)
}

/// The count of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Items and machines.
    pub count: Count,
    /// Items that were first seen on the day that was asked for.
    pub new: i64,
}

/// Spells the read of a tenant's counts on a day: folded and pending, in one statement.
pub fn statement(whose: &impl HasTenant, day: i32) -> SelectStatement {
    use sea_orm::ColumnTrait;
    let part = |mut select: SelectStatement, kind: i32, machines: Expr, days: Expr| {
        select.clear_selects().expr_as(Expr::val(kind), "kind").columns(["asset_class", "items"]);
        select.expr_as(machines, "machines").expr_as(days, "days").to_owned()
    };
    let none = || Expr::val(Option::<Vec<u8>>::None);
    let mut folded = part(folded::Entity::of(whose).into_query(), 0, Expr::col("machines"), none());
    let new = days::Entity::of(whose).filter(days::Column::Day.eq(day)).into_query();
    folded.union(UnionType::All, part(new, 1, Expr::val(0i64), none()));
    let pending = delta::Entity::of(whose).into_query();
    folded.union(UnionType::All, part(pending, 2, Expr::col("machines"), Expr::col("days"))).to_owned()
}

/// Reads a tenant's counts by class.
pub async fn read(read: &TenantRead, day: i32) -> StoreResult<BTreeMap<i16, Total>> {
    let mut totals: BTreeMap<i16, Total> = BTreeMap::new();
    for row in read.query_all(&statement(read, day)).await? {
        let total = totals.entry(row.try_get("", "asset_class")?).or_default();
        let count = Count { items: row.try_get("", "items")?, machines: row.try_get("", "machines")? };
        match row.try_get::<i64>("", "kind")? {
            0 => total.count += count,
            1 => total.new += count.items,
            _ => {
                total.count += count;
                let days = row.try_get::<Option<Vec<u8>>>("", "days")?.unwrap_or_default();
                total.new += change::unpack_days(&days)?.filter(|(d, _)| *d == day).map(|(_, n)| n).sum::<i64>();
            }
        }
    }
    Ok(totals)
}

/// Reads the counts of all values of a class, in a guard that reads at one moment.
pub async fn values(read: &TenantRead, class: i16) -> StoreResult<BTreeMap<Value, Count>> {
    use sea_orm::ColumnTrait;
    let mut sum = changes(read, class).await?;
    for row in value::Entity::of(read).filter(value::Column::AssetClass.eq(class)).all(read).await? {
        *sum.values.entry(row.value.into()).or_default() += Count { items: row.items, machines: -row.machines_negated };
    }
    sum.settle();
    Ok(sum.values)
}

/// Reads what is pending of a class.
pub async fn changes(read: &TenantRead, class: i16) -> StoreResult<Change> {
    use sea_orm::ColumnTrait;
    let mut sum = Change::default();
    for row in delta::Entity::of(read).filter(delta::Column::AssetClass.eq(class)).all(read).await? {
        sum.unpack(&row)?;
    }
    Ok(sum)
}

/// Lists the tenants and classes that have pending changes.
#[allow(clippy::disallowed_methods, reason = "looks for work across tenants, and reads nothing but their numbers")]
pub async fn pending(read: &SystemRead) -> StoreResult<Vec<(i64, i16)>> {
    let columns = [delta::Column::AppId, delta::Column::AssetClass];
    Ok(delta::Entity::find().select_only().columns(columns).distinct().into_tuple().all(read).await?)
}
