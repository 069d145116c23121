//! The tenant's counters over its policies; the row is the lock that lets one change of policies in after the other.

use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// The counters of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "policy_head")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// Rises by one with each change of any policy.
    pub revision: i64,
    /// How many policies there are.
    pub policies: i32,
    /// The bytes of their messages together.
    pub bytes: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}
