//! The check of the counts: all rows are counted anew as they are at one moment, and what was kept is held against them.
//!
//! Changes add up in any order, so what differs at that moment may be mended at any later one: as one more change, which
//! the folder merges like all others. Two that saw the same fault shall not both mend it: each repair raises a number in
//! the class's folded row, and holds it against the one that it saw.

use std::collections::{BTreeMap, BTreeSet};

use cwpp_access::TenantScope;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_storage::{Db, HasTenant, StoreResult, TenantRead, Tenanted};
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{Expr, ExprTrait, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::change::{Change, Count, Value, day};
use super::table::{day as days, folded};
use super::{add, changes, merge, values};
use crate::asset::class::{Class, Whose};
use crate::asset::{snapshot, store};

/// Rows that are read at once, and those of the last machine among them.
const ROWS: u64 = 20_000;

/// What differs in one class.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Of the tenant: what the counts are too low by.
    pub tenant: Change,
    /// Of machines: what their items are too low by; also those where only the newest day's are wrong.
    pub machines: BTreeMap<Uuid, i64>,
    repairs: i64,
}

impl Found {
    /// Says whether nothing differs.
    pub fn is_nothing(&self) -> bool {
        self.tenant.is_nothing() && self.machines.is_empty()
    }
}

/// Counts a class anew and tells what differs.
pub async fn check(db: &Db, scope: &TenantScope, class: &'static dyn Class) -> Result<Found> {
    db.read_at_once(scope, |read| async move {
        let mut found = recount(&read, class).await?;
        let kept = kept(&read, class.class() as i16).await?;
        found.tenant.subtract(&kept);
        found.tenant.settle();
        let row =
            folded::Entity::of(&read).filter(folded::Column::AssetClass.eq(class.class() as i16)).one(&read).await?;
        found.repairs = row.map_or(0, |row| row.repairs);
        Ok(found)
    })
    .await
}

/// Mends what differs; `CONFLICT` where somebody else has mended the class since.
pub async fn repair(db: &Db, scope: &TenantScope, class: &'static dyn Class, found: &Found) -> Result<()> {
    let number = class.class() as i16;
    if !found.tenant.is_nothing() {
        metrics::counter!("inventory_count_repairs_total").increment(1);
        let changes = &BTreeMap::from([(number, found.tenant.clone())]);
        db.write(scope, |tx| async move {
            let row = merge::lock(&tx, number).await?;
            if row.repairs != found.repairs {
                return Err(Error::new(Reason::Conflict, "another check has mended these counts meanwhile").into());
            }
            let row = folded::Model { repairs: row.repairs + 1, ..row };
            folded::Entity::upsert_all_of(&tx, vec![row.into_active_model()], &[folded::Column::Repairs]).await?;
            add(&tx, changes).await
        })
        .await?;
    }
    for machine_id in found.machines.keys().copied() {
        db.write(scope, |tx| async move {
            let Some(old) = snapshot::hold(&tx, machine_id, number).await? else { return Ok(()) };
            let (mut items, mut days) = (0, BTreeMap::<i32, i64>::new());
            for row in tx.query_all(&rows(&tx, class, Some((machine_id, machine_id)))).await? {
                items += 1;
                *days.entry(day(row.try_get("", "first_seen_at")?)).or_default() += 1;
            }
            let (new_day, new_items) = days.pop_last().unwrap_or((old.new_day, 0));
            let version = old.version + 1;
            snapshot::put(&tx, snapshot::Model { items, new_day, new_items, version, ..old }).await
        })
        .await?;
    }
    Ok(())
}

/// Reads what is kept: folded and pending.
async fn kept(read: &TenantRead, class: i16) -> StoreResult<Change> {
    // The values first: they bring what is pending of them along.
    let kept_values = values(read, class).await?;
    let mut kept = Change { values: kept_values, ..changes(read, class).await? };
    if let Some(row) = folded::Entity::of(read).filter(folded::Column::AssetClass.eq(class)).one(read).await? {
        kept.total += Count { items: row.items, machines: row.machines };
    }
    for row in days::Entity::of(read).filter(days::Column::AssetClass.eq(class)).all(read).await? {
        *kept.days.entry(row.day).or_default() += row.items;
    }
    Ok(kept)
}

/// Spells the read of the rows of machines after one and up to another, or of one machine.
fn rows(whose: &(impl HasTenant + Sync), class: &dyn Class, machines: Option<(Uuid, Uuid)>) -> SelectStatement {
    let mut select = class.rows(Whose(whose));
    select.clear_selects().columns(["machine_id", "first_seen_at"]).expr_as(store::counted(class), store::COUNTED);
    select.force_index("PRIMARY", IndexHintScope::All).order_by("machine_id", sea_orm::Order::Asc);
    if let Some((from, to)) = machines {
        select.and_where(Expr::col("machine_id").gte(from)).and_where(Expr::col("machine_id").lte(to));
    }
    select
}

/// Counts the rows of a class, some thousand at a time, whole machines each.
async fn recount(read: &TenantRead, class: &dyn Class) -> StoreResult<Found> {
    let mut found = Found::default();
    let mut from = Uuid::nil();
    loop {
        let mut edge = class.rows(Whose(read));
        edge.clear_selects().column("machine_id").and_where(Expr::col("machine_id").gte(from));
        edge.force_index("PRIMARY", IndexHintScope::All).order_by("machine_id", sea_orm::Order::Asc);
        let edge = read.query_one(edge.limit(1).offset(ROWS)).await?;
        let to = edge.map(|row| row.try_get("", "machine_id")).transpose()?;
        machines(read, class, (from, to.unwrap_or(Uuid::max())), &mut found).await?;
        match to.map(|to: Uuid| to.as_u128().wrapping_add(1)) {
            None | Some(0) => return Ok(found),
            Some(next) => from = Uuid::from_u128(next),
        }
    }
}

async fn machines(
    read: &TenantRead,
    class: &dyn Class,
    (from, to): (Uuid, Uuid),
    found: &mut Found,
) -> StoreResult<()> {
    struct Machine {
        items: i64,
        days: BTreeMap<i32, i64>,
        values: BTreeSet<Value>,
    }
    let mut machines: BTreeMap<Uuid, Machine> = BTreeMap::new();
    for row in read.query_all(&rows(read, class, Some((from, to)))).await? {
        let one = machines.entry(row.try_get("", "machine_id")?).or_insert_with(|| Machine {
            items: 0,
            days: BTreeMap::new(),
            values: BTreeSet::new(),
        });
        let (value, day) = (row.try_get::<String>("", store::COUNTED)?, day(row.try_get("", "first_seen_at")?));
        one.items += 1;
        *one.days.entry(day).or_default() += 1;
        *found.tenant.days.entry(day).or_default() += 1;
        found.tenant.total.items += 1;
        let value: Value = value.into();
        found.tenant.values.entry(value.clone()).or_default().items += 1;
        if one.values.insert(value.clone()) {
            found.tenant.values.entry(value).or_default().machines += 1;
        }
    }
    for snapshot in snapshot::between(read, class.class() as i16, from, to).await? {
        found.tenant.total.machines += i64::from(!snapshot.is_new());
        let counted = machines.remove(&snapshot.machine_id);
        let items = counted.as_ref().map_or(0, |one| one.items) - snapshot.items;
        let newest = counted.and_then(|one| one.days.get(&snapshot.new_day).copied()).unwrap_or_default();
        if items != 0 || newest != snapshot.new_items {
            found.machines.insert(snapshot.machine_id, items);
        }
    }
    Ok(())
}
