//! SQL of certificates.
#![allow(clippy::disallowed_methods, reason = "certificates hold nothing of tenants")]

use cwpp_storage::StoreResult;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::entity::{ActiveModel, Column, Entity, Model};
use super::ops::Signed;

/// Stores a certificate; there is one per deletion.
pub async fn create(tx: &impl ConnectionTrait, deletion_id: Uuid, signed: &Signed) -> StoreResult<()> {
    let row = ActiveModel {
        deletion_id: Set(deletion_id),
        body: Set(signed.text.clone()),
        public_key: Set(signed.public_key.clone()),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Reads the certificate of a deletion.
pub async fn get(on: &impl ConnectionTrait, deletion_id: Uuid) -> StoreResult<Option<Model>> {
    Ok(Entity::find().filter(Column::DeletionId.eq(deletion_id)).one(on).await?)
}
