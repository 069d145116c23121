//! Every version that a policy ever had, with who made it and why.

use chrono::{DateTime, Utc};
use cwpp_access::{Kind, Principal};
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Change {
    /// The policy was made.
    #[sea_orm(num_value = 1)]
    Created,
    /// It was changed; the row holds what it became.
    #[sea_orm(num_value = 2)]
    Updated,
    /// It was deleted; the row holds what it was.
    #[sea_orm(num_value = 3)]
    Deleted,
}

/// What kind of caller made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Author {
    /// A service.
    #[sea_orm(num_value = 1)]
    Service,
    /// An agent.
    #[sea_orm(num_value = 2)]
    Agent,
    /// A user of the tenant.
    #[sea_orm(num_value = 3)]
    TenantUser,
    /// Somebody of the provider.
    #[sea_orm(num_value = 4)]
    Operator,
    /// An auditor.
    #[sea_orm(num_value = 5)]
    Auditor,
}

impl From<Kind> for Author {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Service => Self::Service,
            Kind::Agent => Self::Agent,
            Kind::TenantUser => Self::TenantUser,
            Kind::Operator => Self::Operator,
            Kind::Auditor => Self::Auditor,
        }
    }
}

/// Returns the hash that stands for a caller: equal within a tenant, never the name itself.
pub(crate) fn author_hash(app_id: i64, principal: &Principal) -> Uuid {
    let mut hash = blake3::Hasher::new_derive_key("cwpp configuration 2026 author of a policy's revision");
    hash.update(&app_id.to_be_bytes());
    hash.update(principal.subject.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    Uuid::from_bytes(half)
}

/// One version of one policy.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "policy_revision")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The tenant's revision that this change made.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// The policy.
    pub policy_id: Uuid,
    /// What happened.
    pub change: Change,
    /// What kind of caller did it.
    pub author: Author,
    /// Which one, as a hash.
    pub author_hash: Uuid,
    /// Why, in the author's words.
    pub reason: String,
    /// The number of the policy's kind.
    pub kind: i16,
    /// Its name.
    pub name: String,
    /// Whether it was in force.
    pub enabled: bool,
    /// How its machines were chosen.
    pub scope_kind: i16,
    /// Its tags, a list of texts.
    pub tags: Json,
    /// Its machines, a list of UUIDs.
    pub machine_ids: Json,
    /// What it said.
    pub spec: Json,
    /// When.
    pub change_time: DateTime<Utc>,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}
