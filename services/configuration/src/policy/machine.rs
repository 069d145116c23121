//! The machines that a policy names: those of SELECTED and ALL_EXCEPT.

use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// One named machine of one policy.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "policy_machine")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine; it need not be enrolled yet.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The policy.
    #[sea_orm(primary_key, auto_increment = false)]
    pub policy_id: Uuid,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}
