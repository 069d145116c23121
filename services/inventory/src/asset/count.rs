//! Counts of items and machines per class, exact at any time and never counted over the rows.
//!
//! Each transaction that writes assets adds one row per class with what it changed. A folder merges exactly the rows that
//! it locked into the folded counts; a read adds folded and pending in one statement.

use std::collections::BTreeMap;

use cwpp_storage::{HasTenant, StoreResult, SystemRead, TenantRead, TenantTx, Tenanted};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Func, LockBehavior, LockType, Query, SelectStatement, UnionType};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

/// Rows that one transaction folds.
const FOLDED_AT_ONCE: u64 = 1000;

/// Folded counts.
pub mod folded {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// The folded count of a class of a tenant.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_class_count")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The class (`AssetClass`).
        #[sea_orm(primary_key, auto_increment = false)]
        pub asset_class: i16,
        /// Number of items.
        pub items: i64,
        /// Number of machines that reported the class.
        pub machines: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Changes of counts that are not folded yet.
pub mod delta {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// What one transaction changed in one class.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_count_delta")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// A UUIDv7.
        #[sea_orm(primary_key, auto_increment = false)]
        pub delta_id: Uuid,
        /// The class (`AssetClass`).
        pub asset_class: i16,
        /// Items more, or less.
        pub items: i64,
        /// Machines more, or less.
        pub machines: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// A count, or a change of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Items.
    pub items: i64,
    /// Machines.
    pub machines: i64,
}

/// Adds what a transaction changed, one row per class.
pub async fn add(tx: &TenantTx, changes: &BTreeMap<i16, Count>) -> StoreResult<()> {
    let changed = changes.iter().filter(|(_, change)| **change != Count::default());
    let rows: Vec<_> = changed
        .map(|(class, change)| {
            delta::Model {
                app_id: tx.app_id().get(),
                delta_id: Uuid::now_v7(),
                asset_class: *class,
                items: change.items,
                machines: change.machines,
            }
            .into_active_model()
        })
        .collect();
    Ok(delta::Entity::insert_all_of(tx, rows).await?)
}

/// Spells the read of a tenant's counts: folded and pending, in one statement.
pub fn statement(whose: &impl HasTenant) -> SelectStatement {
    let columns = ["asset_class", "items", "machines"];
    let mut folded = folded::Entity::of(whose).into_query();
    folded.clear_selects().columns(columns);
    let mut pending = delta::Entity::of(whose).into_query();
    pending.clear_selects().columns(columns);
    folded.union(UnionType::All, pending);
    let sum = |column: &'static str| Expr::from(Func::sum(Expr::col(column))).cast_as(Alias::new("signed"));
    Query::select()
        .column("asset_class")
        .expr_as(sum("items"), "items")
        .expr_as(sum("machines"), "machines")
        .from_subquery(folded, Alias::new("counted"))
        .group_by_col("asset_class")
        .to_owned()
}

/// Reads a tenant's counts by class.
pub async fn read(read: &TenantRead) -> StoreResult<BTreeMap<i16, Count>> {
    let mut counts = BTreeMap::new();
    for row in read.query_all(&statement(read)).await? {
        let count = Count { items: row.try_get("", "items")?, machines: row.try_get("", "machines")? };
        counts.insert(row.try_get("", "asset_class")?, count);
    }
    Ok(counts)
}

/// Lists tenants that have pending changes.
#[allow(clippy::disallowed_methods, reason = "looks for work across tenants, and reads nothing but their numbers")]
pub async fn tenants(read: &SystemRead) -> StoreResult<Vec<i64>> {
    Ok(delta::Entity::find()
        .select_only()
        .column(delta::Column::AppId)
        .distinct()
        .into_tuple::<i64>()
        .all(read)
        .await?)
}

/// Folds pending changes, and returns how many. Rows that another folder or an open transaction holds are left alone.
pub async fn fold(tx: &TenantTx) -> StoreResult<u64> {
    let rows = delta::Entity::of(tx)
        .order_by_asc(delta::Column::DeltaId)
        .limit(FOLDED_AT_ONCE)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(tx)
        .await?;
    let mut sums: BTreeMap<i16, Count> = BTreeMap::new();
    for row in &rows {
        let sum = sums.entry(row.asset_class).or_default();
        sum.items += row.items;
        sum.machines += row.machines;
    }
    use sea_orm::ColumnTrait;
    for (class, sum) in sums {
        let there =
            folded::Entity::of(tx).filter(folded::Column::AssetClass.eq(class)).lock(LockType::Update).one(tx).await?;
        let row = folded::Model {
            app_id: tx.app_id().get(),
            asset_class: class,
            items: there.as_ref().map_or(0, |t| t.items) + sum.items,
            machines: there.as_ref().map_or(0, |t| t.machines) + sum.machines,
        };
        let row = row.into_active_model();
        match there {
            // A row that two folders would make at once fails one of them; it comes again.
            None => folded::Entity::insert_of(tx, row).await?,
            Some(_) => {
                folded::Entity::upsert_all_of(tx, vec![row], &[folded::Column::Items, folded::Column::Machines])
                    .await?;
            }
        }
    }
    let ids: Vec<Uuid> = rows.iter().map(|r| r.delta_id).collect();
    for ids in crate::shape::padded(&ids) {
        delta::Entity::delete_of(tx).filter(delta::Column::DeltaId.is_in(ids)).exec(tx).await?;
    }
    Ok(rows.len() as u64)
}
