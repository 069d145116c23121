//! Classes that a machine could not read, or only in part: said with its negotiations, so that none looks empty that is not.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;

use crate::shape;

/// A class that a machine could not read.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_unread")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The class (`AssetClass`).
    #[sea_orm(primary_key, auto_increment = false)]
    pub asset_class: i16,
    /// Why.
    pub reason: String,
    /// Since when, whatever the reason.
    pub since: DateTimeUtc,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// What a machine says.
#[derive(Debug, Clone)]
pub struct Unread {
    /// The class.
    pub class: i16,
    /// Why.
    pub reason: String,
}

/// Finds what machines said.
pub async fn of_machines(
    db: &(impl ConnectionTrait + HasTenant),
    ids: &[Uuid],
) -> StoreResult<HashMap<Uuid, Vec<Model>>> {
    let mut found: HashMap<Uuid, Vec<Model>> = HashMap::new();
    for ids in shape::padded(ids) {
        for row in Entity::of(db).filter(Column::MachineId.is_in(ids)).all(db).await? {
            found.entry(row.machine_id).or_default().push(row);
        }
    }
    Ok(found)
}

/// Takes what a machine says now, where it is new; of classes that it does not name, what it said before stays.
pub async fn take(
    tx: &TenantTx,
    machine_id: Uuid,
    read: impl Iterator<Item = i16>,
    unread: &[Unread],
    old: &[Model],
    now: DateTime<Utc>,
) -> StoreResult<()> {
    let was = |class: i16| old.iter().find(|row| row.asset_class == class);
    let is_unread = |class: i16| unread.iter().any(|said| said.class == class);
    let gone: Vec<i16> = read.filter(|class| was(*class).is_some() && !is_unread(*class)).collect();
    if !gone.is_empty() {
        let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
        of.filter(Column::AssetClass.is_in(gone)).exec(tx).await?;
    }
    let row = |said: &Unread| Model {
        app_id: tx.app_id().get(),
        machine_id,
        asset_class: said.class,
        reason: said.reason.clone(),
        since: was(said.class).map_or(now, |row| row.since),
    };
    let is_new = |said: &&Unread| was(said.class).is_none_or(|row| row.reason != said.reason);
    let rows = unread.iter().filter(is_new).map(row).map(IntoActiveModel::into_active_model).collect();
    Ok(Entity::upsert_all_of(tx, rows, &[Column::Reason]).await?)
}
