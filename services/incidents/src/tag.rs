//! The tags of machines, followed from inventory: whitelists may go by them.

pub(crate) mod follow;

use std::collections::BTreeSet;

use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;

/// A tag of a machine.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_tag")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Reads the tags of a machine.
pub(crate) async fn of(tx: &TenantTx, machine_id: Uuid) -> StoreResult<BTreeSet<String>> {
    let rows = Entity::of(tx).filter(Column::MachineId.eq(machine_id)).all(tx).await?;
    Ok(rows.into_iter().map(|row| row.tag).collect())
}

/// Gives a machine these tags in place of those that it had.
async fn put(tx: &TenantTx, machine_id: Uuid, tags: &[String]) -> StoreResult<()> {
    let (old, new): (_, BTreeSet<String>) = (of(tx, machine_id).await?, tags.iter().cloned().collect());
    let gone: Vec<&String> = old.difference(&new).collect();
    if !gone.is_empty() {
        let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
        of.filter(Column::Tag.is_in(gone)).exec(tx).await?;
    }
    let row = |tag: &String| Model { app_id: tx.app_id().get(), machine_id, tag: tag.clone() }.into_active_model();
    Ok(Entity::insert_all_of(tx, new.difference(&old).map(row).collect()).await?)
}
