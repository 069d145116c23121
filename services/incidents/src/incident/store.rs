//! Statements on incidents.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::ProcessingStatus;
use cwpp_contracts::incidents::v1::IncidentKind;
use cwpp_storage::page::{after, desc};
use cwpp_storage::{HasTenant, StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entity::{Column, Entity, Model, account, number};
use crate::detection::AccountKey;

/// Keys that one statement asks for.
const KEYS: usize = 200;

/// What a list is driven by. Each one has an index that spells the whole order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// All incidents.
    All,
    /// Those of one kind.
    Kind(IncidentKind),
    /// Those of one machine.
    Machine(Uuid),
    /// Those of one source address.
    Source(String),
    /// Those of one status.
    Status(ProcessingStatus),
}

/// Where a page ended: the one last seen comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// When the last incident was seen last (microseconds since 1970).
    pub last_time: i64,
    /// The last incident.
    pub incident_id: Uuid,
}

impl Cursor {
    /// Returns the cursor that goes on after an incident.
    pub fn after(row: &Model) -> Self {
        Self { last_time: row.last_time.timestamp_micros(), incident_id: row.incident_id }
    }
}

/// Spells the query of a page.
pub fn list(tenant: &impl HasTenant, driver: &Driver, cursor: Option<Cursor>, limit: u64) -> Select<Entity> {
    let select = Entity::of(tenant);
    let (mut select, index) = match driver {
        Driver::All => (select, "incident_last"),
        Driver::Kind(kind) => (select.filter(Column::Kind.eq(number(*kind))), "incident_kind"),
        Driver::Machine(machine) => (select.filter(Column::MachineId.eq(*machine)), "incident_machine"),
        Driver::Source(source) => (select.filter(Column::SourceAddress.eq(source.as_str())), "incident_source"),
        Driver::Status(status) => (select.filter(Column::Status.eq(number(*status))), "incident_status"),
    };
    // Of few rows the optimizer may as well take another index, and keep to it when they are many.
    QueryTrait::query(&mut select).force_index(index, IndexHintScope::All);
    let select = match cursor {
        Some(cursor) => {
            let time = DateTime::<Utc>::from_timestamp_micros(cursor.last_time).unwrap_or_default();
            select.filter(after(&[desc(Column::LastTime, time), desc(Column::IncidentId, cursor.incident_id)]))
        }
        None => select,
    };
    select.order_by_desc(Column::LastTime).order_by_desc(Column::IncidentId).limit(limit)
}

/// Reads a page.
pub(super) async fn page(
    tx: &TenantRead,
    driver: &Driver,
    cursor: Option<Cursor>,
    limit: u64,
) -> StoreResult<Vec<Model>> {
    Ok(list(tx, driver, cursor, limit).all(tx).await?)
}

/// Reads one incident.
pub(super) async fn get(tx: &TenantRead, incident_id: Uuid) -> StoreResult<Option<Model>> {
    Ok(Entity::of(tx).filter(Column::IncidentId.eq(incident_id)).one(tx).await?)
}

/// Reads incidents and locks them, in the order of their keys.
pub(super) async fn lock(tx: &TenantTx, mut ids: Vec<Uuid>) -> StoreResult<Vec<Model>> {
    ids.sort_unstable();
    let select = Entity::of(tx).filter(Column::IncidentId.is_in(ids)).order_by_asc(Column::IncidentId);
    Ok(select.lock_exclusive().all(tx).await?)
}

/// Changes the status of an incident that is locked.
pub(super) async fn update(
    tx: &TenantTx,
    incident_id: Uuid,
    status: ProcessingStatus,
    note: &str,
    now: DateTime<Utc>,
) -> StoreResult<()> {
    Entity::update_of(tx)
        .filter(Column::IncidentId.eq(incident_id))
        .col_expr(Column::Status, Expr::value(number(status)))
        .col_expr(Column::Note, Expr::value(note))
        .col_expr(Column::UpdateTime, Expr::value(now))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .exec(tx)
        .await?;
    Ok(())
}

/// Reads a machine's incidents of natural keys that began at a moment or later, and locks them.
pub(super) async fn by_subjects(
    tx: &TenantTx,
    machine_id: Uuid,
    mut subjects: Vec<Uuid>,
    from: DateTime<Utc>,
) -> StoreResult<Vec<Model>> {
    subjects.sort_unstable();
    subjects.dedup();
    let mut found = Vec::new();
    for keys in subjects.chunks(KEYS) {
        let select = Entity::of(tx)
            .filter(Column::MachineId.eq(machine_id))
            .filter(Column::SubjectKey.is_in(keys.iter().copied()))
            .filter(Column::FirstTime.gte(from))
            .order_by_asc(Column::SubjectKey)
            .order_by_asc(Column::Series);
        found.extend(select.lock_exclusive().all(tx).await?);
    }
    Ok(found)
}

/// Stores incidents that were found.
pub(super) async fn insert(tx: &TenantTx, mut rows: Vec<Model>) -> StoreResult<()> {
    rows.sort_by_key(|row| row.incident_id);
    let rows = rows.into_iter().map(|row| row.into_active_model()).collect();
    Entity::insert_all_of(tx, rows).await?;
    Ok(())
}

/// Stores what detection found anew of an incident that is locked.
pub(super) async fn refresh(tx: &TenantTx, row: Model) -> StoreResult<()> {
    Entity::update_of(tx)
        .filter(Column::IncidentId.eq(row.incident_id))
        .col_expr(Column::Severity, Expr::value(row.severity))
        .col_expr(Column::Status, Expr::value(row.status))
        .col_expr(Column::FirstTime, Expr::value(row.first_time))
        .col_expr(Column::LastTime, Expr::value(row.last_time))
        .col_expr(Column::ThresholdTime, Expr::value(row.threshold_time))
        .col_expr(Column::Attempts, Expr::value(row.attempts))
        .col_expr(Column::Accounts, Expr::value(row.accounts))
        .col_expr(Column::Cracked, Expr::value(row.cracked))
        .col_expr(Column::AccountExists, Expr::value(row.account_exists))
        .col_expr(Column::UpdateTime, Expr::value(row.update_time))
        .col_expr(Column::Version, Expr::value(row.version))
        .exec(tx)
        .await?;
    Ok(())
}

/// Reads which of these accounts an incident counts already.
pub(super) async fn accounts(
    tx: &TenantTx,
    incident_id: Uuid,
    keys: &BTreeSet<AccountKey>,
) -> StoreResult<Vec<AccountKey>> {
    let keys: Vec<AccountKey> = keys.iter().copied().collect();
    let mut found = Vec::new();
    for keys in keys.chunks(KEYS) {
        let select = account::Entity::of(tx)
            .filter(account::Column::IncidentId.eq(incident_id))
            .filter(account::Column::AccountKey.is_in(keys.iter().copied()));
        found.extend(select.all(tx).await?.into_iter().map(|row| row.account_key));
    }
    Ok(found)
}

/// Stores accounts that an incident counts and has not counted yet.
pub(super) async fn add_accounts(tx: &TenantTx, incident_id: Uuid, keys: &BTreeSet<AccountKey>) -> StoreResult<()> {
    let app_id = tx.app_id().get();
    let row = |key: &AccountKey| account::Model { app_id, incident_id, account_key: *key }.into_active_model();
    account::Entity::insert_all_of(tx, keys.iter().map(row).collect()).await?;
    Ok(())
}

/// Forgets which accounts an incident counts.
pub(super) async fn delete_accounts(tx: &TenantTx, incident_id: Uuid) -> StoreResult<()> {
    account::Entity::delete_of(tx).filter(account::Column::IncidentId.eq(incident_id)).exec(tx).await?;
    Ok(())
}
