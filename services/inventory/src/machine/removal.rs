//! Removes machines: first the machine itself, so that nothing is written under it any more, then what it left, in chunks.
//!
//! A machine that was removed stands in `machine_removal` until its last row is gone. The call that removed it works on
//! that as long as it may; what it leaves, a job goes on with.

use std::collections::HashMap;
use std::num::NonZeroU16;

use chrono::{DateTime, Utc};
use cwpp_access::{AppId, SystemScope, TenantScope};
use cwpp_chassis::{Reason, Result};
use cwpp_contracts::inventory::v1::DeleteMachinesRequest;
use cwpp_storage::{Db, Once, Registry, StoreResult, SystemRead, TenantRead, TenantTx, Tenanted, erase_machine, fault};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LockType;
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect};

use super::ops::ONLINE;
use super::{entity, liveness, removed_day, tag, watch};
use crate::asset::{remove, snapshot};
use crate::policy::offline::Rules;
use crate::{bulk, shape};

/// Rows that one transaction deletes.
const CHUNK: usize = 1000;
/// Machines that the rule for silent ones removes in one transaction.
const AT_ONCE: u64 = 100;

const METHOD: &str = "inventory/DeleteMachines";

/// A machine that was removed and left rows.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_removal")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// When it was removed.
    pub removed_at: DateTimeUtc,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// What a removal came to.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    /// The machines that there were.
    pub machines: Vec<Uuid>,
    /// Assets on them; none where the call repeats one that was done before.
    pub assets: Option<u64>,
}

/// Counts what a removal of these machines would remove.
pub async fn preview(db: &Db, scope: &TenantScope, ids: &[Uuid]) -> Result<Removed> {
    db.read(scope, |read| async move {
        let machines: Vec<Uuid> = super::store::get_many(&read, ids).await?.into_keys().collect();
        let mut assets = 0;
        for id in &machines {
            let snapshots = snapshot::of_machine(&read, *id).await?;
            assets += snapshots.iter().map(|s| s.items.unsigned_abs()).sum::<u64>();
        }
        Ok(Removed { machines, assets: Some(assets) })
    })
    .await
}

/// Removes machines; those that there are not are left out of the answer.
pub async fn delete(
    db: &Db,
    scope: &TenantScope,
    ids: &[Uuid],
    (request_id, request): (Option<Uuid>, &DeleteMachinesRequest),
    now: DateTime<Utc>,
) -> Result<Removed> {
    let done = db
        .write_once(scope, METHOD, request_id, request, |tx| async move {
            let removed = take(&tx, ids, None, now).await?;
            let machines = removed.machines.clone();
            Ok((removed, machines))
        })
        .await?;
    let removed = match done {
        Once::Done(removed) => removed,
        Once::Replayed(machines) => Removed { machines, assets: None },
    };
    db.feed_grew();
    fault::point("removal", "taken").await;
    drain(db, scope, &removed.machines).await;
    Ok(removed)
}

/// Takes machines out of the inventory; where times are given, only those that were not heard of since theirs. Reports and
/// signs of life that are under way were committed before, or find no machine.
pub async fn take(
    tx: &TenantTx,
    ids: &[Uuid],
    silent_since: Option<&HashMap<Uuid, DateTime<Utc>>>,
    now: DateTime<Utc>,
) -> StoreResult<Removed> {
    let of = entity::Entity::of(tx).filter(entity::Column::MachineId.is_in(ids.iter().copied()));
    let rows = of.order_by_asc(entity::Column::MachineId).lock(LockType::Update).all(tx).await?;
    let mut there: Vec<Uuid> = rows.into_iter().map(|m| m.machine_id).collect();
    if let Some(since) = silent_since {
        let live: HashMap<Uuid, liveness::Model> = super::store::lock_livenesses(tx, &there).await?;
        there.retain(|id| live.get(id).zip(since.get(id)).is_some_and(|(l, since)| l.last_seen_at < *since));
    }
    let mut assets = 0;
    for id in &there {
        let snapshots = snapshot::of_machine(tx, *id).await?;
        assets += snapshots.iter().map(|s| s.items.unsigned_abs()).sum::<u64>();
    }
    for ids in shape::padded(&there) {
        liveness::Entity::delete_of(tx).filter(liveness::Column::MachineId.is_in(ids.clone())).exec(tx).await?;
        entity::Entity::delete_of(tx).filter(entity::Column::MachineId.is_in(ids)).exec(tx).await?;
    }
    let row = |id: &Uuid| Model { app_id: tx.app_id().get(), machine_id: *id, removed_at: now }.into_active_model();
    Entity::insert_all_of(tx, there.iter().map(row).collect()).await?;
    removed_day::add(tx, there.len(), silent_since.is_some(), now).await?;
    tag::removed(tx, &there).await?;
    watch::removed(tx, &there).await?;
    crate::asset::watch::removed(tx, &there).await?;
    metrics::counter!("inventory_machines_removed_total").increment(there.len() as u64);
    Ok(Removed { machines: there, assets: Some(assets) })
}

/// Deletes what machines left, as long as the caller waits. What is left, the job goes on with.
async fn drain(db: &Db, scope: &TenantScope, ids: &[Uuid]) {
    for id in ids {
        loop {
            if bulk::is_over() {
                return;
            }
            match db.write(scope, |tx| async move { chunk(&tx, db.registry(), *id).await }).await {
                Ok(true) => break,
                Ok(false) => fault::point("removal", "committed").await,
                Err(error) => {
                    tracing::info!(error = ?error, "the rows of a removed machine are left to the job");
                    return;
                }
            }
        }
    }
}

/// Deletes a chunk of what a machine left; true where nothing is left. Tables come from the registry, so none is forgotten;
/// assets go through their counts.
pub async fn chunk(tx: &TenantTx, registry: &Registry, machine_id: Uuid) -> StoreResult<bool> {
    let of = Entity::of(tx).filter(Column::MachineId.eq(machine_id));
    if of.lock(LockType::Update).one(tx).await?.is_none() {
        // Somebody else has finished it.
        return Ok(true);
    }
    let mut room = remove::machine(tx, registry, machine_id, CHUNK).await?;
    fault::point("removal", "written").await;
    if room == 0 {
        return Ok(false);
    }
    let work = <Entity as sea_orm::EntityName>::table_name(&Entity);
    for table in registry.erasable_tables().filter(|t| t.has_machine() && t.table != work) {
        room -= erase_machine(tx, table, machine_id, room).await?.min(room);
        if room == 0 {
            return Ok(false);
        }
    }
    Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id)).exec(tx).await?;
    Ok(true)
}

/// Lists tenants that have rows of removed machines.
#[allow(clippy::disallowed_methods, reason = "looks for work across tenants, and reads nothing but their numbers")]
async fn tenants(read: &SystemRead) -> StoreResult<Vec<i64>> {
    Ok(Entity::find().select_only().column(Column::AppId).distinct().into_tuple::<i64>().all(read).await?)
}

/// Goes on with what calls left.
pub async fn finish(db: &Db, scope: &SystemScope) -> Result<()> {
    let mut failed = None;
    for app_id in db.system_read(scope, |read| async move { tenants(&read).await }).await? {
        let tenant = scope.tenant(AppId::from_row(app_id));
        let ids = db
            .read(&tenant, |read| async move {
                Ok(Entity::of(&read)
                    .limit(AT_ONCE)
                    .all(&read)
                    .await?
                    .into_iter()
                    .map(|r| r.machine_id)
                    .collect::<Vec<_>>())
            })
            .await;
        match ids {
            Ok(ids) => drain(db, &tenant, &ids).await,
            Err(e) if is_closed(e.reason()) => {}
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Removes the machines that have been silent for as long as a rule of their tenant says, or the one for all; returns how
/// many. While no machine of a tenant is heard of, none of it is removed: it may be this service that hears nothing.
pub async fn retire(db: &Db, scope: &SystemScope, all: Option<NonZeroU16>, now: DateTime<Utc>) -> Result<usize> {
    let (mut retired, mut failed) = (0, None);
    for tenant in db.tenants(scope).await? {
        match retire_of(db, &scope.tenant(tenant.app_id), all, now, &mut retired).await {
            Err(error) if !is_closed(error.reason()) => failed = failed.or(Some(error)),
            _ => {}
        }
    }
    failed.map_or(Ok(retired), Err)
}

async fn retire_of(
    db: &Db,
    tenant: &TenantScope,
    all: Option<NonZeroU16>,
    now: DateTime<Utc>,
    retired: &mut usize,
) -> Result<()> {
    let mut after = Uuid::nil();
    while let Some((last, ids)) = db.read(tenant, |read| async move { silent(&read, all, after, now).await }).await? {
        after = last;
        if ids.is_empty() {
            continue;
        }
        let ids = &ids;
        let removed = db.write(tenant, |tx| async move {
            // First the machines: whoever changes their tags meanwhile was before, or waits.
            super::store::lock_many(&tx, ids).await?;
            let since = Rules::read(&tx, all).await?.silent_since(&tx, ids, now).await?;
            take(&tx, ids, Some(&since), now).await
        });
        let removed = removed.await?;
        *retired += removed.machines.len();
        db.feed_grew();
        drain(db, tenant, &removed.machines).await;
    }
    Ok(())
}

/// Finds the next machines that a rule may remove: where to go on, and those among the next silent ones whose rule says so.
/// None where there are no more, or no rule, or none of the tenant's machines is heard of.
async fn silent(
    read: &TenantRead,
    all: Option<NonZeroU16>,
    after: Uuid,
    now: DateTime<Utc>,
) -> StoreResult<Option<(Uuid, Vec<Uuid>)>> {
    let rules = Rules::read(read, all).await?;
    let Some(shortest) = rules.shortest(now)? else { return Ok(None) };
    let heard = liveness::Entity::of(read).filter(liveness::Column::LastSeenAt.gte(now - ONLINE)).limit(1);
    if heard.one(read).await?.is_none() {
        return Ok(None);
    }
    let of = liveness::Entity::of(read).filter(liveness::Column::MachineId.gt(after));
    let of = of.filter(liveness::Column::LastSeenAt.lt(shortest)).order_by_asc(liveness::Column::MachineId);
    let rows = of.limit(AT_ONCE).all(read).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.machine_id).collect();
    let since = rules.silent_since(read, &ids, now).await?;
    let is_due = |row: &&liveness::Model| since.get(&row.machine_id).is_some_and(|since| row.last_seen_at < *since);
    let due = rows.iter().filter(is_due).map(|row| row.machine_id).collect();
    Ok(ids.last().map(|last| (*last, due)))
}

/// Says whether a tenant takes no such work any more, or not yet.
pub(super) fn is_closed(reason: Reason) -> bool {
    matches!(reason, Reason::TenantFenced | Reason::TenantReadOnly | Reason::TenantUnknown | Reason::TenantOpening)
}
