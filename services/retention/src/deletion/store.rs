//! SQL of deletions.
#![allow(clippy::disallowed_methods, reason = "deletions are keyed by incarnation and hold nothing of tenants")]

use chrono::{DateTime, Utc};
use cwpp_access::AppId;
use cwpp_chassis::Error;
use cwpp_storage::{Dialect, StoreError, StoreResult, fence};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Unchanged, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::SimpleExpr,
};
use uuid::Uuid;

use super::entity::{count, deletion, service};
use super::state::State;

/// A deletion with all its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The deletion.
    pub deletion: deletion::Model,
    /// Its progress, in the order of the purge.
    pub services: Vec<service::Model>,
    /// Rows deleted, per table.
    pub counts: Vec<count::Model>,
}

/// What the worker looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The deletion.
    pub id: Uuid,
    /// The life of its tenant, by which it is leased.
    pub incarnation: Uuid,
}

/// A tenant's fence in this service.
#[derive(Debug, Clone, Copy)]
pub struct Fence {
    /// Its life.
    pub incarnation: Uuid,
    /// Its state here.
    pub state: fence::State,
}

impl Run {
    /// Returns where it stands.
    pub fn state(&self) -> StoreResult<State> {
        State::from_number(self.deletion.state).ok_or_else(|| {
            let number = self.deletion.state;
            StoreError::Refused(Error::internal(anyhow::anyhow!("deletion state {number} is none of ours")))
        })
    }
}

/// Stores a new deletion; the tenant's running one makes it fail as a key that is taken.
pub async fn create(tx: &impl ConnectionTrait, run: Run) -> StoreResult<()> {
    deletion::Entity::insert(run.deletion.into_active_model().reset_all()).exec_without_returning(tx).await?;
    let services = run.services.into_iter().map(|row| row.into_active_model().reset_all());
    service::Entity::insert_many(services).exec_without_returning(tx).await?;
    Ok(())
}

/// Reads a deletion.
pub async fn get(on: &impl ConnectionTrait, id: Uuid) -> StoreResult<Option<Run>> {
    let Some(deletion) = deletion::Entity::find().filter(deletion::Column::Id.eq(id)).one(on).await? else {
        return Ok(None);
    };
    Ok(with_progress(on, vec![deletion]).await?.pop())
}

/// Reads the deletion of this life that is not over.
pub async fn running(on: &impl ConnectionTrait, incarnation: Uuid) -> StoreResult<Option<Run>> {
    let found = deletion::Entity::find().filter(deletion::Column::RunningOf.eq(incarnation)).one(on).await?;
    match found {
        Some(deletion) => Ok(with_progress(on, vec![deletion]).await?.pop()),
        None => Ok(None),
    }
}

/// Lists deletions, the newest first. Ids rise with time; the primary key serves it.
pub async fn list(on: &impl ConnectionTrait, after: Option<Uuid>, limit: u64) -> StoreResult<Vec<Run>> {
    with_progress(on, list_query(after, limit).all(on).await?).await
}

/// The query of [`list`].
pub fn list_query(after: Option<Uuid>, limit: u64) -> Select<deletion::Entity> {
    let older = after.map_or_else(Condition::all, |id| Condition::all().add(deletion::Column::Id.lt(id)));
    deletion::Entity::find().filter(older).order_by_desc(deletion::Column::Id).limit(limit)
}

async fn with_progress(on: &impl ConnectionTrait, deletions: Vec<deletion::Model>) -> StoreResult<Vec<Run>> {
    let ids: Vec<Uuid> = deletions.iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut services = service::Entity::find().filter(service::Column::DeletionId.is_in(ids.clone())).all(on).await?;
    let mut counts = count::Entity::find().filter(count::Column::DeletionId.is_in(ids)).all(on).await?;
    services.sort_by_key(|row| super::place(&row.service));
    counts.sort_by(|a, b| (&a.service, &a.table_name).cmp(&(&b.service, &b.table_name)));
    let runs = deletions.into_iter().map(|deletion| Run {
        services: services.iter().filter(|row| row.deletion_id == deletion.id).cloned().collect(),
        counts: counts.iter().filter(|row| row.deletion_id == deletion.id).cloned().collect(),
        deletion,
    });
    Ok(runs.collect())
}

/// Finds deletions with something to do, the most urgent first. `deletion_due` serves it.
pub async fn due(on: &impl ConnectionTrait, dialect: Dialect, now: DateTime<Utc>, limit: u64) -> StoreResult<Vec<Due>> {
    let rows = due_query(dialect, now, limit).all(on).await?;
    Ok(rows.into_iter().map(|row| Due { id: row.id, incarnation: row.incarnation }).collect())
}

/// The query of [`due`].
pub fn due_query(dialect: Dialect, now: DateTime<Utc>, limit: u64) -> Select<deletion::Entity> {
    deletion::Entity::find()
        .filter(deletion::Column::DueTime.lte(now))
        .filter(is_awake(dialect))
        .order_by_asc(deletion::Column::DueTime)
        .limit(limit)
}

/// Says whether a deletion's wait after a failed step is over.
pub async fn awake(on: &impl ConnectionTrait, dialect: Dialect, id: Uuid) -> StoreResult<bool> {
    let found =
        deletion::Entity::find().filter(deletion::Column::Id.eq(id)).filter(is_awake(dialect)).count(on).await?;
    Ok(found > 0)
}

fn is_awake(dialect: Dialect) -> SimpleExpr {
    Expr::col(deletion::Column::RetryMicros).lte(Expr::cust(dialect.now_micros()))
}

/// Stores a deletion with its progress, unless it changed since it was read; says whether it did not.
pub async fn update(tx: &impl ConnectionTrait, run: &Run) -> StoreResult<bool> {
    let version = run.deletion.version;
    let mut row = deletion::Model { version: version + 1, ..run.deletion.clone() }.into_active_model().reset_all();
    row.id = Unchanged(run.deletion.id);
    let changed = deletion::Entity::update_many()
        .set(row)
        .filter(deletion::Column::Id.eq(run.deletion.id))
        .filter(deletion::Column::Version.eq(version))
        .exec(tx)
        .await?;
    if changed.rows_affected != 1 {
        return Ok(false);
    }
    upsert_services(tx, &run.services).await?;
    upsert_counts(tx, &run.counts).await?;
    Ok(true)
}

async fn upsert_services(tx: &impl ConnectionTrait, rows: &[service::Model]) -> StoreResult<()> {
    use service::Column as C;
    let mut replace = OnConflict::columns([C::DeletionId, C::Service]);
    replace.update_columns([
        C::Fenced,
        C::Epoch,
        C::Purged,
        C::PassedMicros,
        C::Verified,
        C::Closed,
        C::TablesCounted,
        C::RegistryHash,
        C::ServerId,
    ]);
    let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
    service::Entity::insert_many(rows).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(())
}

async fn upsert_counts(tx: &impl ConnectionTrait, rows: &[count::Model]) -> StoreResult<()> {
    use count::Column as C;
    if rows.is_empty() {
        return Ok(());
    }
    let mut replace = OnConflict::columns([C::DeletionId, C::Service, C::TableName]);
    replace.update_columns([C::DataClass, C::RowCount]);
    let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
    count::Entity::insert_many(rows).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(())
}

/// Leaves nothing to do for former deletions of this life: a new one takes their place.
pub async fn supersede(tx: &impl ConnectionTrait, incarnation: Uuid) -> StoreResult<()> {
    deletion::Entity::update_many()
        .col_expr(deletion::Column::DueTime, Expr::value(None::<DateTime<Utc>>))
        .col_expr(deletion::Column::Version, Expr::col(deletion::Column::Version).add(1))
        .filter(deletion::Column::Incarnation.eq(incarnation))
        .filter(deletion::Column::State.eq(State::Cancelled.number()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Ends the wait after a failed step.
pub async fn retry(tx: &impl ConnectionTrait, id: Uuid) -> StoreResult<()> {
    deletion::Entity::update_many()
        .col_expr(deletion::Column::RetryMicros, Expr::value(0i64))
        .filter(deletion::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// Counts deletions that began to seal after a time. `deletion_sealing` serves it.
pub async fn sealed_after(tx: &impl ConnectionTrait, time: DateTime<Utc>) -> StoreResult<u64> {
    Ok(sealed_query(time).count(tx).await?)
}

/// The query of [`sealed_after`].
pub fn sealed_query(time: DateTime<Utc>) -> Select<deletion::Entity> {
    deletion::Entity::find().filter(deletion::Column::SealingTime.gt(time))
}

/// Reads the deletions that are not over; for metrics.
pub async fn all_running(on: &impl ConnectionTrait, limit: u64) -> StoreResult<Vec<deletion::Model>> {
    let running = deletion::Entity::find().filter(deletion::Column::RunningOf.is_not_null());
    Ok(running.limit(limit).all(on).await?)
}

/// Reads a tenant's fence in this service.
pub async fn fence(on: &impl ConnectionTrait, app_id: AppId) -> StoreResult<Option<Fence>> {
    let row = fence::Entity::find().filter(fence::Column::AppId.eq(app_id.get())).one(on).await?;
    Ok(row.map(|row| Fence { incarnation: row.incarnation, state: row.state }))
}

/// Finds the number of a tenant by its life. The fence row is the only place that knows both, and goes last.
pub async fn tenant(on: &impl ConnectionTrait, incarnation: Uuid) -> StoreResult<Option<AppId>> {
    let row = fence::Entity::find().filter(fence::Column::Incarnation.eq(incarnation)).one(on).await?;
    Ok(row.map(|row| AppId::from_row(row.app_id)))
}
