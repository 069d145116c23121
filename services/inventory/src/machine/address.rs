//! Addresses of machines, one row each, so that any of them finds its machine by an index.

use std::collections::BTreeSet;

use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;

/// An address of a machine.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_address")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The address in its canonical form.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address: String,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Brings the addresses of a machine that is locked from what they were to what they are.
pub async fn change(tx: &TenantTx, machine_id: Uuid, old: &[String], new: &[String]) -> StoreResult<()> {
    let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (old.iter().collect(), new.iter().collect());
    let gone: Vec<&String> = old.difference(&new).copied().collect();
    if !gone.is_empty() {
        let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
        of.filter(Column::Address.is_in(gone)).exec(tx).await?;
    }
    let app_id = tx.app_id().get();
    let row = |address: &&String| Model { app_id, machine_id, address: (*address).clone() }.into_active_model();
    Ok(Entity::insert_all_of(tx, new.difference(&old).map(row).collect()).await?)
}
