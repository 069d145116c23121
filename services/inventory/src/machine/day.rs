//! How many machines there were, day by day: counted once a day, soon after midnight.

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::SystemScope;
use cwpp_chassis::Result;
use cwpp_storage::{Db, StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder};

use super::ops::ONLINE;
use super::removal::is_closed;
use super::{removed_day, summary};
use crate::asset::count::day;

/// Days that are kept.
pub const KEPT: u32 = 90;

/// The machines of a tenant on one day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_day")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The day: days since the beginning of 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// When they were counted.
    pub counted_at: DateTimeUtc,
    /// Machines whose agent was online.
    pub online: u32,
    /// Machines whose agent was offline.
    pub offline: u32,
    /// Machines whose agent was uninstalled.
    pub uninstalled: u32,
    /// Machines that were enrolled in the day before.
    pub new_machines: u32,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Counts the machines of every tenant that were not counted yet this day.
pub async fn count(db: &Db, scope: &SystemScope, now: DateTime<Utc>) -> Result<()> {
    let mut failed = None;
    for tenant in db.tenants(scope).await? {
        let tenant = scope.tenant(tenant.app_id);
        let counted = async {
            let Some(row) = db.read(&tenant, |read| async move { counted(&read, now).await }).await? else {
                return Ok(());
            };
            let row = &row;
            db.write(&tenant, |tx| async move { put(&tx, row.clone()).await }).await
        };
        match counted.await {
            Err(error) if !is_closed(error.reason()) => failed = failed.or(Some(error)),
            _ => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Counts the machines of a tenant; none where they were counted this day.
async fn counted(read: &TenantRead, now: DateTime<Utc>) -> StoreResult<Option<Model>> {
    let day = day(now);
    if Entity::of(read).filter(Column::Day.eq(day)).one(read).await?.is_some() {
        return Ok(None);
    }
    let (agents, new) = summary::of_day(read, now - ONLINE, now - TimeDelta::days(1)).await?;
    let [online, offline, uninstalled] = agents.map(few);
    let app_id = read.app_id().get();
    Ok(Some(Model { app_id, day, counted_at: now, online, offline, uninstalled, new_machines: few(new) }))
}

fn few(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Writes a day, and deletes those that are no longer kept.
async fn put(tx: &TenantTx, row: Model) -> StoreResult<()> {
    let oldest = row.day.saturating_sub(KEPT.cast_signed());
    Entity::upsert_all_of(tx, vec![row.into_active_model()], &[Column::CountedAt]).await?;
    Entity::delete_of(tx).filter(Column::Day.lte(oldest)).exec(tx).await?;
    removed_day::forget(tx, oldest).await
}

/// The machines of a day, and those that were removed on it by calls and by the rule.
pub type Day = (Model, [u32; 2]);

/// Reads the last days up to now, oldest first.
pub async fn last(read: &TenantRead, days: u32, now: DateTime<Utc>) -> StoreResult<Vec<Day>> {
    let since = day(now).saturating_sub(days.cast_signed());
    let rows = Entity::of(read).filter(Column::Day.gt(since)).order_by_asc(Column::Day).all(read).await?;
    let removed = removed_day::after(read, since).await?;
    let of = |row: &Model, by_rule| removed.get(&(row.day, by_rule)).copied().unwrap_or_default();
    Ok(rows.into_iter().map(|row| (row.clone(), [false, true].map(|by_rule| of(&row, by_rule)))).collect())
}
