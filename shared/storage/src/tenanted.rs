//! Statements that start from the tenant.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DbErr, DeleteMany, EntityTrait, QueryFilter, Select, UpdateMany, Value,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use crate::guard::{HasTenant, Writes};

/// Rows in one statement; more buys nothing, and few shapes of statement stay prepared.
const BATCH: usize = 200;

/// An entity whose rows belong to tenants. One line makes it one:
/// `impl Tenanted for Entity { const APP_ID: Column = Column::AppId; }`.
#[async_trait::async_trait]
pub trait Tenanted: EntityTrait {
    /// The tenant's column.
    const APP_ID: Self::Column;

    /// Selects the tenant's rows.
    #[allow(clippy::disallowed_methods, reason = "the one place where a select of tenants' rows starts")]
    fn of(tenant: &impl HasTenant) -> Select<Self> {
        Self::find().filter(Self::APP_ID.eq(tenant.app_id().get()))
    }

    /// Updates the tenant's rows.
    #[allow(clippy::disallowed_methods, reason = "the one place where an update of tenants' rows starts")]
    fn update_of(tenant: &impl HasTenant) -> UpdateMany<Self> {
        Self::update_many().filter(Self::APP_ID.eq(tenant.app_id().get()))
    }

    /// Deletes the tenant's rows.
    #[allow(clippy::disallowed_methods, reason = "the one place where a deletion of tenants' rows starts")]
    fn delete_of(tenant: &impl HasTenant) -> DeleteMany<Self> {
        Self::delete_many().filter(Self::APP_ID.eq(tenant.app_id().get()))
    }

    /// Inserts one row of the guard's tenant; its `app_id` may be left unset.
    async fn insert_of<A>(tx: &impl Writes, row: A) -> Result<(), DbErr>
    where
        A: ActiveModelTrait<Entity = Self> + Send,
    {
        let row = own::<Self, A>(tx, row)?;
        Self::insert(row).exec_without_returning(tx).await.map(|_| ())
    }

    /// Inserts rows of the guard's tenant, some hundred a statement. Sort them by key before.
    async fn insert_all_of<A>(tx: &impl Writes, rows: Vec<A>) -> Result<(), DbErr>
    where
        A: ActiveModelTrait<Entity = Self> + Send,
    {
        for batch in batches::<Self, A>(tx, rows)? {
            Self::insert_many(batch).exec_without_returning(tx).await?;
        }
        Ok(())
    }

    /// Inserts rows, or refreshes these columns where the primary key is there. Sort them by key before.
    /// The table must have no other unique key: MySQL would take that for the conflict too.
    async fn upsert_all_of<A>(tx: &impl Writes, rows: Vec<A>, refresh: &[Self::Column]) -> Result<(), DbErr>
    where
        A: ActiveModelTrait<Entity = Self> + Send,
    {
        let mut conflict = on_key::<Self>();
        conflict.update_columns(refresh.iter().copied());
        insert_or(tx, rows, &conflict).await
    }

    /// Inserts rows, or adds a number to a column where the primary key is there. Sort them by key before.
    /// The table must have no other unique key: MySQL would take that for the conflict too.
    async fn insert_or_add_of<A>(tx: &impl Writes, rows: Vec<A>, column: Self::Column, number: u32) -> Result<(), DbErr>
    where
        A: ActiveModelTrait<Entity = Self> + Send,
    {
        let mut conflict = on_key::<Self>();
        conflict.value(column, Expr::col(column).add(number));
        insert_or(tx, rows, &conflict).await
    }
}

fn on_key<E: EntityTrait>() -> OnConflict {
    use sea_orm::{Iterable, PrimaryKeyToColumn};
    OnConflict::columns(E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column))
}

async fn insert_or<E: Tenanted, A>(tx: &impl Writes, rows: Vec<A>, conflict: &OnConflict) -> Result<(), DbErr>
where
    A: ActiveModelTrait<Entity = E> + Send,
{
    for batch in batches::<E, A>(tx, rows)? {
        E::insert_many(batch).on_conflict(conflict.clone()).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Sets the tenant of a row, or refuses another's.
fn own<E: Tenanted, A: ActiveModelTrait<Entity = E>>(tx: &impl HasTenant, mut row: A) -> Result<A, DbErr> {
    let ours = Value::from(tx.app_id().get());
    match row.get(E::APP_ID) {
        ActiveValue::NotSet => row.set(E::APP_ID, ours),
        ActiveValue::Set(v) | ActiveValue::Unchanged(v) if v == ours => {}
        _ => return Err(DbErr::Custom("a row of another tenant than the transaction's".to_owned())),
    }
    Ok(row)
}

fn batches<E: Tenanted, A: ActiveModelTrait<Entity = E>>(
    tx: &impl HasTenant,
    rows: Vec<A>,
) -> Result<Vec<Vec<A>>, DbErr> {
    let mut batches = Vec::with_capacity(rows.len() / BATCH + 1);
    let mut batch = Vec::with_capacity(rows.len().min(BATCH));
    for row in rows {
        batch.push(own::<E, A>(tx, row)?);
        if batch.len() == BATCH {
            batches.push(std::mem::take(&mut batch));
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    Ok(batches)
}
