//! A tenant as stored. Its state is the fence's, never a column here.

use chrono::{DateTime, Utc};
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub struct Model {
    /// The account's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The account's UIN, unique.
    pub uin: i64,
    /// The request that registered it; the same one again answers the same tenant.
    pub request_id: Uuid,
    /// The region that the data may live in.
    pub region: String,
    /// Version of the agreement that was accepted.
    pub agreement_version: String,
    /// When it was accepted.
    pub agreement_accepted_time: DateTime<Utc>,
    /// When the tenant was registered.
    pub create_time: DateTime<Utc>,
    /// Rises with each change.
    pub version: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}
