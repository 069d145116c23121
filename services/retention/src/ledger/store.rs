//! The ledger's tables: appended to under the lock of the head, never changed.
#![allow(clippy::disallowed_methods, reason = "the ledger names no tenant")]

use cwpp_storage::{StoreError, StoreResult};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::entity::{entry, head};
use super::entry::{Entry, GENESIS, Line};

const HEAD: i16 = 1;

/// Locks the end of the ledger until the transaction ends, and reads it.
pub async fn lock(tx: &impl ConnectionTrait) -> StoreResult<head::Model> {
    // An update takes the lock on both databases, a select on one of them does not.
    for first in [true, false] {
        let touched = head::Entity::update_many()
            .col_expr(head::Column::Id, Expr::col(head::Column::Id))
            .filter(head::Column::Id.eq(HEAD))
            .exec(tx)
            .await?;
        if touched.rows_affected > 0 {
            break;
        }
        if first {
            let row = head::ActiveModel { id: Set(HEAD), seq: Set(0), hash: Set(GENESIS.to_owned()) };
            let once = OnConflict::column(head::Column::Id).update_column(head::Column::Id).to_owned();
            head::Entity::insert(row).on_conflict(once).exec_without_returning(tx).await?;
        }
    }
    let head = head::Entity::find().filter(head::Column::Id.eq(HEAD)).one(tx).await?;
    head.ok_or_else(|| internal("the ledger has no end"))
}

/// Appends an entry behind the locked end. Number and link of the entry are set here.
pub async fn append(tx: &impl ConnectionTrait, head: head::Model, mut new: Entry) -> StoreResult<head::Model> {
    new.seq = head.seq.unsigned_abs() + 1;
    new.prev = head.hash;
    let body = serde_jcs::to_string(&new).map_err(internal)?;
    let hash = new.hash().map_err(internal)?;
    let row = entry::ActiveModel {
        seq: Set(head.seq + 1),
        incarnation: Set(new.incarnation),
        state: Set(new.state),
        certificate: Set(new.certificate),
        body: Set(body),
        hash: Set(hash.clone()),
    };
    entry::Entity::insert(row).exec_without_returning(tx).await?;
    head::Entity::update_many()
        .col_expr(head::Column::Seq, Expr::value(head.seq + 1))
        .col_expr(head::Column::Hash, Expr::value(hash.clone()))
        .filter(head::Column::Id.eq(HEAD))
        .exec(tx)
        .await?;
    Ok(head::Model { id: HEAD, seq: head.seq + 1, hash })
}

/// Reads entries behind a number, in order.
pub async fn after(on: &impl ConnectionTrait, seq: i64, limit: u64) -> StoreResult<Vec<Line>> {
    let rows = entry::Entity::find()
        .filter(entry::Column::Seq.gt(seq))
        .order_by_asc(entry::Column::Seq)
        .limit(limit)
        .all(on)
        .await?;
    rows.into_iter()
        .map(|row| Ok(Line { entry: serde_json::from_str(&row.body).map_err(internal)?, hash: row.hash }))
        .collect()
}

/// Reads one entry.
pub async fn get(on: &impl ConnectionTrait, seq: i64) -> StoreResult<Option<entry::Model>> {
    Ok(entry::Entity::find().filter(entry::Column::Seq.eq(seq)).one(on).await?)
}

/// Says whether the ledger has the certificate of this hash.
pub async fn has_certificate(on: &impl ConnectionTrait, incarnation: Uuid, digest: &str) -> StoreResult<bool> {
    let found = entry::Entity::find()
        .filter(entry::Column::Incarnation.eq(incarnation))
        .filter(entry::Column::Certificate.eq(digest))
        .one(on)
        .await?;
    Ok(found.is_some())
}

fn internal(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(cwpp_chassis::Error::internal(anyhow::anyhow!("ledger: {error}")))
}
