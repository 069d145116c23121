//! How many machines have each tag: one row a tag, changed in the transaction that tags or removes a machine.

use std::collections::BTreeMap;

use cwpp_chassis::Violations;
use cwpp_contracts::inventory::v1::{ListTagsRequest, TagOrder};
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{IntoActiveModel, QueryTrait};

use crate::asset::class::drive;
use crate::keyset::{By, List, Of};

/// Most tags in one statement.
const AT_ONCE: usize = 1000;

/// The number of machines that have a tag.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_tag_count")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
    /// How many machines have it.
    pub machines: u32,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Counts so many more machines for each of these tags, which are sorted.
pub async fn add(tx: &TenantTx, tags: &[&String], machines: u32) -> StoreResult<()> {
    if machines == 0 {
        return Ok(());
    }
    let row = |tag: &&String| Model { app_id: tx.app_id().get(), tag: (*tag).clone(), machines };
    let rows = tags.iter().map(row).map(IntoActiveModel::into_active_model).collect();
    Ok(Entity::insert_or_add_of(tx, rows, Column::Machines, machines).await?)
}

/// Counts so many machines fewer for these tags; a tag without machines is forgotten.
pub async fn subtract(tx: &TenantTx, fewer: &BTreeMap<&String, u32>) -> StoreResult<()> {
    let mut by_number: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
    for (tag, number) in fewer {
        by_number.entry(*number).or_default().push(tag);
    }
    for (number, tags) in by_number {
        for tags in tags.chunks(AT_ONCE) {
            let among = || Column::Tag.is_in(tags.iter().copied());
            Entity::delete_of(tx).filter(among()).filter(Column::Machines.lte(number)).exec(tx).await?;
            let less = Expr::col(Column::Machines).sub(number);
            Entity::update_of(tx).col_expr(Column::Machines, less).filter(among()).exec(tx).await?;
        }
    }
    Ok(())
}

/// Chooses the tags and their order; says what is wrong with them.
pub fn plan(request: &ListTagsRequest, violations: &mut Violations) -> (Condition, TagOrder) {
    let order = TagOrder::try_from(request.order);
    violations.check(order.is_ok(), "order", format!("{} is no value of this enum", request.order));
    let order = order.unwrap_or_default();
    let range = match &request.tag {
        Some(by) => drive("tag", by, "tag", violations),
        None => Condition::all(),
    };
    let fits = request.tag.is_none() || order != TagOrder::Machines;
    violations.check(fits, "order", "must be the order of the filter, or absent");
    (range, order)
}

/// Spells a list of tags.
pub fn list(read: &impl HasTenant, range: &Condition, order: TagOrder) -> List {
    let by_tag = By { column: "tag", of: Of::Text };
    let (index, order, descending) = match order {
        TagOrder::Machines => {
            let by_machines = By { column: "machines", of: Of::Unsigned };
            ("machine_tag_count_machines", vec![by_machines, by_tag], true)
        }
        TagOrder::Unspecified | TagOrder::Tag => ("PRIMARY", vec![by_tag], false),
    };
    let range = Entity::of(read).filter(range.clone()).into_query();
    List { range, order, descending, index: Some(index), residual: None }
}
