//! Classes that a machine could not read, or only in part: said with its negotiations, so that none looks empty that is not.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_storage::{HasTenant, StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryTrait};

use crate::keyset::{By, List, Of};
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
    /// Entries that were left out.
    pub left_out: u32,
    /// Items of which something was cut.
    pub cut: u32,
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
    /// Entries that were left out.
    pub left_out: u32,
    /// Items of which something was cut.
    pub cut: u32,
}

impl Unread {
    /// Says whether a row says the same.
    fn is(&self, row: &Model) -> bool {
        (&self.reason, self.left_out, self.cut) == (&row.reason, row.left_out, row.cut)
    }
}

/// Finds the machines between two that said something of a class.
pub async fn between(read: &TenantRead, class: i16, from: Uuid, to: Uuid) -> StoreResult<Vec<Uuid>> {
    let of = Entity::of(read).filter(Column::AssetClass.eq(class)).filter(Column::MachineId.between(from, to));
    Ok(of.all(read).await?.into_iter().map(|row| row.machine_id).collect())
}

/// Forgets what a machine said of a class.
pub async fn forget(tx: &TenantTx, machine_id: Uuid, class: i16) -> StoreResult<()> {
    let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
    of.filter(Column::AssetClass.eq(class)).exec(tx).await?;
    Ok(())
}

/// Spells the list of what machines said, of one class or of all.
pub fn list(read: &impl HasTenant, class: Option<i16>) -> List {
    let by_machine = By { column: "machine_id", of: Of::Key };
    let by_class = By { column: "asset_class", of: Of::Small };
    let (range, order, index) = match class {
        Some(class) => (Entity::of(read).filter(Column::AssetClass.eq(class)), vec![by_machine], "asset_unread_class"),
        None => (Entity::of(read), vec![by_machine, by_class], "PRIMARY"),
    };
    List { range: range.into_query(), order, descending: false, index: Some(index), residual: None }
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
        left_out: said.left_out,
        cut: said.cut,
        since: was(said.class).map_or(now, |row| row.since),
    };
    let is_new = |said: &&Unread| was(said.class).is_none_or(|row| !said.is(row));
    let rows = unread.iter().filter(is_new).map(row).map(IntoActiveModel::into_active_model).collect();
    Ok(Entity::upsert_all_of(tx, rows, &[Column::Reason, Column::LeftOut, Column::Cut]).await?)
}
