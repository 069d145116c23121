//! Machines and their signs of life in the database.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_chassis::{Error, Reason, Violations};
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::{AgentState, ListMachinesRequest, MachineOrder};
use cwpp_storage::{HasTenant, OrRefuse, StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Func, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, FromQueryResult, IntoActiveModel, QueryFilter,
    QueryTrait,
};
use uuid::Uuid;

use super::ops::Registration;
use super::{entity, liveness, watch};
use crate::asset::check::instant;
use crate::asset::class::drive;
use crate::asset::natural_key::short;
use crate::keyset::{By, Cursor, List, Of};
use crate::shape;

/// How a list of machines is answered.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The index that spells the order.
    pub index: &'static str,
    /// The column of the order, before the machine's id.
    pub by: By,
    /// The driving filter.
    pub range: Condition,
}

/// The orders of machines with their indexes.
pub const ORDERS: [(&str, By); 3] = [
    ("machine_created", By { column: "created_at", of: Of::Time }),
    ("machine_name", By { column: "name", of: Of::Text }),
    ("machine_ip_address", By { column: "ip_address", of: Of::Text }),
];

/// Chooses the driving filter and its order.
pub fn plan(request: &ListMachinesRequest, violations: &mut Violations) -> Plan {
    let (order, range) = match &request.filter {
        Some(Filter::Name(by)) => (1, drive("name", by, "name", violations)),
        Some(Filter::IpAddress(by)) => (2, drive("ip_address", by, "ip_address", violations)),
        None => (usize::from(request.order == MachineOrder::Name as i32), Condition::all()),
    };
    let (index, by) = ORDERS[order];
    Plan { index, by, range }
}

/// Hashes what a machine is found by.
fn identity(registration: &Registration) -> Uuid {
    let (kind, value) = match registration.quuid.is_empty() {
        false => (b'q', registration.quuid.as_bytes()),
        true => (b'h', registration.host_id_hash.as_slice()),
    };
    short(&blake3::hash(&[&[1, kind], value].concat()))
}

/// Finds the machine and takes its facts where they differ, or enrols it; true where it is new.
pub async fn register(tx: &TenantTx, new: &Registration, now: DateTime<Utc>) -> StoreResult<(entity::Model, bool)> {
    let identity = identity(new);
    let found = entity::Entity::of(tx).filter(entity::Column::Identity.eq(identity)).one(tx).await?;
    let Some(old) = found else {
        let row = described(new, tx.app_id().get(), Uuid::now_v7(), identity, (now, now, 1));
        entity::Entity::insert_of(tx, row.clone().into_active_model())
            .await
            .or_exists(|| Error::new(Reason::AlreadyExists, "the machine was enrolled by another call"))?;
        watch::changed(tx, &[row.machine_id]).await?;
        return Ok((row, true));
    };
    let same = described(new, old.app_id, old.machine_id, identity, (old.created_at, old.updated_at, old.version));
    if same == old {
        return Ok((old, false));
    }
    let row = entity::Model { updated_at: now, version: old.version + 1, ..same };
    let mut set = row.clone().into_active_model().reset_all();
    (set.app_id, set.machine_id) = (ActiveValue::NotSet, ActiveValue::NotSet);
    entity::Entity::update_of(tx).filter(entity::Column::MachineId.eq(row.machine_id)).set(set).exec(tx).await?;
    watch::changed(tx, &[row.machine_id]).await?;
    Ok((row, false))
}

fn described(
    new: &Registration,
    app_id: i64,
    machine_id: Uuid,
    identity: Uuid,
    (created_at, updated_at, version): (DateTime<Utc>, DateTime<Utc>, i64),
) -> entity::Model {
    let facts = &new.facts;
    entity::Model {
        app_id,
        machine_id,
        identity,
        quuid: new.quuid.clone(),
        host_id_hash: new.host_id_hash.clone(),
        name: facts.name.clone(),
        ip_address: facts.ip_addresses.first().cloned().unwrap_or_default(),
        ip_addresses: facts.ip_addresses.clone().into(),
        machine_type: facts.machine_type as i16,
        os_type: facts.os_type as i16,
        os_name: facts.os_name.clone(),
        kernel_version: facts.kernel_version.clone(),
        architecture: facts.architecture.clone(),
        agent_version: facts.agent_version.clone(),
        agent_installed_at: instant(facts.agent_install_time),
        booted_at: instant(facts.boot_time),
        last_user_login_at: instant(facts.last_user_login_time),
        created_at,
        updated_at,
        version,
    }
}

/// Finds one machine.
pub async fn get(read: &TenantRead, id: Uuid) -> StoreResult<Option<entity::Model>> {
    Ok(entity::Entity::of(read).filter(entity::Column::MachineId.eq(id)).one(read).await?)
}

/// Finds machines by their ids.
pub async fn get_many(read: &TenantRead, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, entity::Model>> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in shape::padded(ids) {
        for row in entity::Entity::of(read).filter(entity::Column::MachineId.is_in(ids)).all(read).await? {
            found.insert(row.machine_id, row);
        }
    }
    Ok(found)
}

/// Returns which of these machines there are.
pub async fn known(tx: &TenantTx, ids: &[Uuid]) -> StoreResult<std::collections::HashSet<Uuid>> {
    let mut known = std::collections::HashSet::with_capacity(ids.len());
    for ids in shape::padded(ids) {
        let mut select = entity::Entity::of(tx).filter(entity::Column::MachineId.is_in(ids)).into_query();
        select.clear_selects().column(entity::Column::MachineId);
        for row in tx.query_all(&select).await? {
            known.insert(row.try_get("", "machine_id")?);
        }
    }
    Ok(known)
}

/// Finds a machine's last sign of life.
pub async fn liveness(db: &(impl ConnectionTrait + HasTenant), id: Uuid) -> StoreResult<Option<liveness::Model>> {
    Ok(liveness::Entity::of(db).filter(liveness::Column::MachineId.eq(id)).one(db).await?)
}

/// Finds the last signs of life of machines.
pub async fn livenesses(
    db: &(impl ConnectionTrait + HasTenant),
    ids: &[Uuid],
) -> StoreResult<HashMap<Uuid, liveness::Model>> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in shape::padded(ids) {
        for row in liveness::Entity::of(db).filter(liveness::Column::MachineId.is_in(ids)).all(db).await? {
            found.insert(row.machine_id, row);
        }
    }
    Ok(found)
}

/// Writes signs of life, which are sorted by machine.
pub async fn touch(tx: &TenantTx, rows: Vec<liveness::Model>) -> StoreResult<()> {
    let mut rows = rows.into_iter();
    for size in shape::split(rows.len()) {
        let batch = rows.by_ref().take(size).map(IntoActiveModel::into_active_model).collect();
        liveness::Entity::upsert_all_of(tx, batch, &liveness::REFRESHED).await?;
    }
    Ok(())
}

/// Spells a list of machines.
pub fn list(read: &impl HasTenant, plan: &Plan, state: AgentState, since: DateTime<Utc>) -> List {
    let range = entity::Entity::of(read).filter(plan.range.clone()).into_query();
    // A scalar subquery, which stays behind the ordered index; EXISTS would become a join that drives.
    let seen = || {
        let live = Alias::new("live");
        let select = Query::select()
            .column((live.clone(), liveness::Column::LastSeenAt))
            .from_as(liveness::Entity, live.clone())
            .and_where(Expr::col((live.clone(), liveness::Column::AppId)).eq(read.app_id().get()))
            .and_where(
                Expr::col((live, liveness::Column::MachineId)).equals((entity::Entity, entity::Column::MachineId)),
            )
            .to_owned();
        let never: Expr = Expr::val(DateTime::<Utc>::UNIX_EPOCH);
        Expr::from(Func::coalesce([Expr::from(select), never]))
    };
    let residual = match state {
        AgentState::Unspecified => None,
        AgentState::Online => Some(Condition::all().add(seen().gte(since))),
        AgentState::Offline => Some(Condition::all().add(seen().lt(since))),
    };
    List { range, order: vec![plan.by, By { column: "machine_id", of: Of::Key }], index: Some(plan.index), residual }
}

/// A machine and its last sign of life.
pub type Row = (entity::Model, Option<liveness::Model>);

/// Reads a page of machines with their last signs of life, and where to go on.
pub async fn page(
    read: &TenantRead,
    list: &List,
    after: Option<&Cursor>,
    size: u64,
) -> StoreResult<(Vec<Row>, Option<Cursor>)> {
    let (rows, next) = list.page(read, after, size).await?;
    let mut machines = Vec::with_capacity(rows.len());
    for row in &rows {
        machines.push(entity::Model::from_query_result(row, "")?);
    }
    let ids: Vec<Uuid> = machines.iter().map(|m| m.machine_id).collect();
    let mut live = livenesses(read, &ids).await?;
    Ok((
        machines
            .into_iter()
            .map(|m| {
                let l = live.remove(&m.machine_id);
                (m, l)
            })
            .collect(),
        next,
    ))
}
