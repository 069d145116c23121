//! SQL of the follower.

use cwpp_storage::{Dialect, StoreResult, TenantTx, Tenanted, Writes};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entity::{cursor, opening};

/// Reads how far a feed was followed; empty before the first.
#[allow(clippy::disallowed_methods, reason = "a cursor of the whole feed belongs to no tenant")]
pub async fn cursor(on: &impl ConnectionTrait, source: &str) -> StoreResult<String> {
    let row = cursor::Entity::find().filter(cursor::Column::Source.eq(source)).one(on).await?;
    Ok(row.map(|row| row.position).unwrap_or_default())
}

/// Writes how far a feed was followed.
pub async fn follow(tx: &impl ConnectionTrait, source: &str, position: &str) -> StoreResult<()> {
    let row = cursor::ActiveModel { source: Set(source.to_owned()), position: Set(position.to_owned()) };
    let replace = OnConflict::column(cursor::Column::Source).update_column(cursor::Column::Position).to_owned();
    cursor::Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(())
}

/// Notes that the tenant is to be opened everywhere.
pub async fn expect(tx: &TenantTx) -> StoreResult<()> {
    let row = opening::ActiveModel {
        incarnation: Set(tx.incarnation()),
        attempt: Set(0),
        retry_micros: Set(0),
        ..Default::default()
    };
    let refresh = [opening::Column::Incarnation, opening::Column::Attempt, opening::Column::RetryMicros];
    opening::Entity::upsert_all_of(tx, vec![row], &refresh).await?;
    Ok(())
}

/// Finds tenants that are not open everywhere yet. The table holds only those, so it is read whole.
#[allow(clippy::disallowed_methods, reason = "the opener looks for work across tenants")]
pub async fn pending(on: &impl ConnectionTrait, dialect: Dialect, limit: u64) -> StoreResult<Vec<opening::Model>> {
    let awake = Expr::col(opening::Column::RetryMicros).lte(Expr::cust(dialect.now_micros()));
    let rows = opening::Entity::find().filter(awake).order_by_asc(opening::Column::RetryMicros).limit(limit);
    Ok(rows.all(on).await?)
}

/// Notes that a try failed.
pub async fn postpone(tx: &TenantTx, attempt: i32, retry_micros: i64) -> StoreResult<()> {
    opening::Entity::update_of(tx)
        .col_expr(opening::Column::Attempt, Expr::value(attempt))
        .col_expr(opening::Column::RetryMicros, Expr::value(retry_micros))
        .exec(tx)
        .await?;
    Ok(())
}

/// Notes that this life of the tenant is open everywhere.
pub async fn opened(tx: &impl Writes, incarnation: Uuid) -> StoreResult<()> {
    opening::Entity::delete_of(tx).filter(opening::Column::Incarnation.eq(incarnation)).exec(tx).await?;
    Ok(())
}
