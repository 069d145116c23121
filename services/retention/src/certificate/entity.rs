//! The table of certificates.

use sea_orm::entity::prelude::*;

/// A certificate as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "certificate")]
pub struct Model {
    /// The deletion.
    #[sea_orm(primary_key, auto_increment = false)]
    pub deletion_id: Uuid,
    /// The text that is handed out.
    pub body: String,
    /// The key (PEM) that it is signed with.
    pub public_key: String,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
