//! How many machines were removed, day by day: by calls, and by the rule for long-offline ones. All else of them is gone.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_storage::{StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;

use crate::asset::count::day;

/// The machines of a tenant that were removed on a day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_removed_day")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The day: days since the beginning of 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// Whether it was the rule that removed them.
    #[sea_orm(primary_key, auto_increment = false)]
    pub by_rule: bool,
    /// How many.
    pub machines: u32,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Counts machines that were removed.
pub async fn add(tx: &TenantTx, machines: usize, by_rule: bool, now: DateTime<Utc>) -> StoreResult<()> {
    let machines = u32::try_from(machines).unwrap_or(u32::MAX);
    if machines == 0 {
        return Ok(());
    }
    let row = Model { app_id: tx.app_id().get(), day: day(now), by_rule, machines };
    Ok(Entity::insert_or_add_of(tx, vec![row.into_active_model()], Column::Machines, machines).await?)
}

/// Deletes the days up to one.
pub async fn forget(tx: &TenantTx, oldest: i32) -> StoreResult<()> {
    Entity::delete_of(tx).filter(Column::Day.lte(oldest)).exec(tx).await?;
    Ok(())
}

/// Reads the days after one: by day, and by whether the rule removed them.
pub async fn after(read: &TenantRead, day: i32) -> StoreResult<HashMap<(i32, bool), u32>> {
    let rows = Entity::of(read).filter(Column::Day.gt(day)).all(read).await?;
    Ok(rows.into_iter().map(|row| ((row.day, row.by_rule), row.machines)).collect())
}
