//! A tenant's policies as stored.

use chrono::{DateTime, Utc};
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// A policy. The machines that it covers are rows of their own (`machine.rs`).
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "policy")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The policy.
    #[sea_orm(primary_key, auto_increment = false)]
    pub policy_id: Uuid,
    /// The number of its kind in the contract.
    pub kind: i16,
    /// Its name, unique per tenant and kind.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// How its machines are chosen, the number in the contract.
    pub scope_kind: i16,
    /// The tags of `TAGGED`, a list of texts.
    pub tags: Json,
    /// What it says: the kind's document.
    pub spec: Json,
    /// Why, in the author's words.
    pub reason: String,
    /// Bytes of its message, which count against the tenant's limit.
    pub bytes: i32,
    /// The tenant's revision that changed it last.
    pub revision: i64,
    /// Rises with each change: the etag.
    pub version: i64,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// When it was changed last.
    pub update_time: DateTime<Utc>,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

impl Model {
    /// Returns the etag.
    pub fn etag(&self) -> String {
        self.version.to_string()
    }
}
