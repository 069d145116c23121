//! Tags of machines: names that people give, one row each, so that a tag finds its machines by an index.

use std::collections::{BTreeMap, HashMap};

use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect, QueryTrait};

use super::{tag_count, watch};
use crate::shape;

/// Most tags of a machine.
pub const MOST: usize = 50;

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

/// Finds the tags of machines, sorted.
pub async fn of_machines(
    db: &(impl ConnectionTrait + HasTenant),
    ids: &[Uuid],
) -> StoreResult<HashMap<Uuid, Vec<String>>> {
    let mut found: HashMap<Uuid, Vec<String>> = HashMap::new();
    for ids in shape::padded(ids) {
        let of = Entity::of(db).filter(Column::MachineId.is_in(ids));
        for row in of.order_by_asc(Column::MachineId).order_by_asc(Column::Tag).all(db).await? {
            found.entry(row.machine_id).or_default().push(row.tag);
        }
    }
    Ok(found)
}

/// Spells the next machines that have a tag.
pub fn machines(whose: &impl HasTenant, tag: &str, after: Uuid, most: u64) -> SelectStatement {
    let of = Entity::of(whose).filter(Column::Tag.eq(tag)).filter(Column::MachineId.gt(after));
    let of = of.select_only().column(Column::MachineId).order_by_asc(Column::MachineId).limit(most);
    of.into_query().force_index("machine_tag_tag", IndexHintScope::All).take()
}

/// Takes tags away from machines that are locked, and gives those that had any of them another where one is named; returns
/// how many had.
pub async fn replace(tx: &TenantTx, ids: &[Uuid], gone: &[String], by: Option<&String>) -> StoreResult<u64> {
    let mut tags = of_machines(tx, ids).await?;
    tags.retain(|_, tags| tags.iter().any(|tag| gone.contains(tag)));
    let mut changed: Vec<Uuid> = tags.keys().copied().collect();
    if changed.is_empty() {
        return Ok(0);
    }
    changed.sort_unstable();
    let of = Entity::delete_of(tx).filter(Column::MachineId.is_in(changed.iter().copied()));
    of.filter(Column::Tag.is_in(gone)).exec(tx).await?;
    let mut fewer = BTreeMap::new();
    for tag in tags.values().flatten().filter(|tag| gone.contains(tag)) {
        *fewer.entry(tag).or_default() += 1;
    }
    tag_count::subtract(tx, &fewer).await?;
    if let Some(by) = by {
        let lacks = |id: &&Uuid| tags.get(id).is_some_and(|tags| !tags.contains(by));
        let row = |id: &Uuid| Model { app_id: tx.app_id().get(), machine_id: *id, tag: by.clone() }.into_active_model();
        let rows: Vec<_> = changed.iter().filter(lacks).map(row).collect();
        tag_count::add(tx, &[by], u32::try_from(rows.len()).unwrap_or(u32::MAX)).await?;
        Entity::insert_all_of(tx, rows).await?;
    }
    watch::changed(tx, &changed).await?;
    Ok(changed.len() as u64)
}

/// Takes machines that are removed out of the counts of their tags. The tags themselves go with what they leave.
pub async fn removed(tx: &TenantTx, machine_ids: &[Uuid]) -> StoreResult<()> {
    let tags = of_machines(tx, machine_ids).await?;
    let mut fewer = BTreeMap::new();
    for tag in tags.values().flatten() {
        *fewer.entry(tag).or_default() += 1;
    }
    tag_count::subtract(tx, &fewer).await
}

/// Gives a machine these tags, which are sorted, and takes all others away.
pub async fn set(tx: &TenantTx, machine_id: Uuid, tags: &[String]) -> StoreResult<()> {
    let old = of_machines(tx, &[machine_id]).await?.remove(&machine_id).unwrap_or_default();
    let gone: Vec<&String> = old.iter().filter(|t| !tags.contains(t)).collect();
    if !gone.is_empty() {
        let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
        of.filter(Column::Tag.is_in(gone.iter().copied())).exec(tx).await?;
        tag_count::subtract(tx, &gone.into_iter().map(|tag| (tag, 1)).collect()).await?;
    }
    let new: Vec<&String> = tags.iter().filter(|t| !old.contains(t)).collect();
    if new.is_empty() && old.len() == tags.len() {
        return Ok(());
    }
    tag_count::add(tx, &new, 1).await?;
    let row = |tag: &String| Model { app_id: tx.app_id().get(), machine_id, tag: tag.clone() }.into_active_model();
    Entity::insert_all_of(tx, new.into_iter().map(row).collect()).await?;
    watch::changed(tx, &[machine_id]).await
}
