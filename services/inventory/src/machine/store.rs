//! Machines and their signs of life in the database.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cwpp_chassis::{Error, Reason};
use cwpp_contracts::inventory::v1::HostColumns;
use cwpp_storage::{HasTenant, OrRefuse, StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};
use uuid::Uuid;

use super::ops::Registration;
use super::{address, entity, liveness, tag, watch};
use crate::asset::check::instant;
use crate::asset::natural_key::short;
use crate::shape;

/// Hashes what a machine is found by; clones have what tells them apart in it.
fn identity(new: &Registration) -> Uuid {
    let (kind, value) = match new.quuid.is_empty() {
        false => (b'q', new.quuid.as_bytes()),
        true => (b'h', new.host_id_hash.as_slice()),
    };
    short(&match &new.distinct {
        None => blake3::hash(&[&[1, kind], value].concat()),
        Some(distinct) => blake3::hash(&[&[2, kind], distinct.as_bytes().as_slice(), value].concat()),
    })
}

/// Makes what tells a clone apart from the machine that it is a clone of; the same however often its agent asks.
pub fn distinct(machine_id: Uuid, nonce: &[u8]) -> Uuid {
    short(&blake3::hash(&[b"clone".as_slice(), machine_id.as_bytes(), nonce].concat()))
}

/// Finds the machine of a registration and locks it.
pub async fn find(tx: &TenantTx, new: &Registration) -> StoreResult<Option<entity::Model>> {
    identified(tx, identity(new)).await
}

/// Finds the machine that was enrolled by the host's id, before its cloud's was known, and locks it: it has the same name
/// and serial number, which tell it from most copies of its disk.
pub async fn find_earlier(tx: &TenantTx, new: &Registration) -> StoreResult<Option<entity::Model>> {
    let facts = &new.facts;
    if new.quuid.is_empty() || new.host_id_hash.is_empty() || facts.serial_number.is_empty() {
        return Ok(None);
    }
    let before = Registration { quuid: String::new(), ..new.clone() };
    let found = identified(tx, identity(&before)).await?;
    Ok(found.filter(|row| row.serial_number == facts.serial_number && row.name == facts.name))
}

async fn identified(tx: &TenantTx, identity: Uuid) -> StoreResult<Option<entity::Model>> {
    let of = entity::Entity::of(tx).filter(entity::Column::Identity.eq(identity));
    Ok(of.lock(LockType::Update).one(tx).await?)
}

fn enrolled_meanwhile() -> Error {
    Error::new(Reason::AlreadyExists, "the machine was enrolled by another call")
}

/// Enrols a machine that was not found.
pub async fn enrol(tx: &TenantTx, new: &Registration, now: DateTime<Utc>) -> StoreResult<entity::Model> {
    let row = described(new, entity::Model::new(tx.app_id().get(), Uuid::now_v7(), identity(new), now));
    entity::Entity::insert_of(tx, row.clone().into_active_model()).await.or_exists(enrolled_meanwhile)?;
    address::change(tx, row.machine_id, &[], &known_by(&row)).await?;
    watch::changed(tx, &[row.machine_id]).await?;
    Ok(row)
}

/// Takes the facts of a machine where they differ.
pub async fn describe(
    tx: &TenantTx,
    old: entity::Model,
    new: &Registration,
    now: DateTime<Utc>,
) -> StoreResult<entity::Model> {
    let same = described(new, old.clone());
    if same == old {
        return Ok(old);
    }
    address::change(tx, old.machine_id, &known_by(&old), &known_by(&same)).await?;
    let row = entity::Model { updated_at: now, version: old.version + 1, ..same };
    let mut set = row.clone().into_active_model().reset_all();
    (set.app_id, set.machine_id) = (ActiveValue::NotSet, ActiveValue::NotSet);
    let of = entity::Entity::update_of(tx).filter(entity::Column::MachineId.eq(row.machine_id));
    of.set(set).exec(tx).await.or_exists(enrolled_meanwhile)?;
    watch::changed(tx, &[row.machine_id]).await?;
    Ok(row)
}

/// The addresses by which a machine is found.
fn known_by(row: &entity::Model) -> Vec<String> {
    let public = Some(row.public_ip_address.clone()).filter(|address| !address.is_empty());
    row.addresses().into_iter().chain(public).collect()
}

/// Forgets when a person logged in to a machine last.
pub async fn forget_login(tx: &TenantTx, machine_id: Uuid) -> StoreResult<()> {
    match lock_many(tx, &[machine_id]).await?.remove(&machine_id) {
        Some(old) if old.last_user_login_at.is_some() => {
            let now = tx.database_time().await?;
            update(tx, &entity::Model { last_user_login_at: None, ..old }, now).await
        }
        _ => Ok(()),
    }
}

/// Describes a machine anew by its registration; what it does not say of itself stays.
fn described(new: &Registration, old: entity::Model) -> entity::Model {
    let facts = &new.facts;
    entity::Model {
        identity: identity(new),
        quuid: new.quuid.clone(),
        host_id_hash: new.host_id_hash.clone(),
        name: facts.name.clone(),
        ip_address: facts.ip_addresses.first().cloned().unwrap_or_default(),
        ip_addresses: facts.ip_addresses.clone().into(),
        public_ip_address: facts.public_ip_address.clone(),
        machine_type: facts.machine_type as i16,
        os_type: facts.os_type as i16,
        os_name: facts.os_name.clone(),
        kernel_version: facts.kernel_version.clone(),
        architecture: facts.architecture.clone(),
        agent_version: facts.agent_version.clone(),
        agent_installed_at: instant(facts.agent_install_time),
        booted_at: instant(facts.boot_time),
        last_user_login_at: instant(facts.last_user_login_time),
        provider: facts.provider.clone(),
        instance_id: facts.instance_id.clone(),
        region: facts.region.clone(),
        serial_number: facts.serial_number.clone(),
        product_name: facts.product_name.clone(),
        components: entity::components(&facts.components),
        ..old
    }
}

/// Finds one machine.
pub async fn get(read: &TenantRead, id: Uuid) -> StoreResult<Option<entity::Model>> {
    Ok(entity::Entity::of(read).filter(entity::Column::MachineId.eq(id)).one(read).await?)
}

/// Finds the first machines after one, in the order of their ids.
pub async fn ids(read: &TenantRead, after: Uuid, most: u64) -> StoreResult<Vec<Uuid>> {
    let of = entity::Entity::of(read).filter(entity::Column::MachineId.gt(after));
    let of = of.order_by_asc(entity::Column::MachineId).limit(most).select_only().column(entity::Column::MachineId);
    Ok(of.into_tuple().all(read).await?)
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

/// Finds the columns that stand on every row of a list.
pub async fn hosts(read: &TenantRead, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, HostColumns>> {
    let mut tags = tag::of_machines(read, ids).await?;
    let found = get_many(read, ids).await?;
    Ok(found.into_iter().map(|(id, row)| (id, row.host(tags.remove(&id).unwrap_or_default()))).collect())
}

/// Returns which of these machines there are, and keeps them from being removed until the transaction ends.
pub async fn hold(tx: &TenantTx, ids: &[Uuid]) -> StoreResult<std::collections::HashSet<Uuid>> {
    let mut known = std::collections::HashSet::with_capacity(ids.len());
    for ids in shape::padded(ids) {
        let mut select = entity::Entity::of(tx).filter(entity::Column::MachineId.is_in(ids)).into_query();
        select.clear_selects().column(entity::Column::MachineId).lock(LockType::Share);
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

/// Finds the last signs of life of machines, which are sorted, and locks them.
pub async fn lock_livenesses(tx: &TenantTx, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, liveness::Model>> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in shape::padded(ids) {
        let of = liveness::Entity::of(tx).filter(liveness::Column::MachineId.is_in(ids));
        for row in of.lock(LockType::Update).all(tx).await? {
            found.insert(row.machine_id, row);
        }
    }
    Ok(found)
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

/// Locks machines in the order of their ids and returns those that there are.
pub async fn lock_many(tx: &TenantTx, ids: &[Uuid]) -> StoreResult<HashMap<Uuid, entity::Model>> {
    let of = entity::Entity::of(tx).filter(entity::Column::MachineId.is_in(ids.iter().copied()));
    let rows = of.order_by_asc(entity::Column::MachineId).lock(LockType::Update).all(tx).await?;
    Ok(rows.into_iter().map(|row| (row.machine_id, row)).collect())
}

/// Writes what people and the cloud say of a machine that is locked, and what is no longer known of it.
pub async fn update(tx: &TenantTx, row: &entity::Model, now: DateTime<Utc>) -> StoreResult<()> {
    let set = entity::ActiveModel {
        instance_state: ActiveValue::Set(row.instance_state),
        remark: ActiveValue::Set(row.remark.clone()),
        last_user_login_at: ActiveValue::Set(row.last_user_login_at),
        updated_at: ActiveValue::Set(now),
        version: ActiveValue::Set(row.version + 1),
        ..Default::default()
    };
    entity::Entity::update_of(tx).filter(entity::Column::MachineId.eq(row.machine_id)).set(set).exec(tx).await?;
    watch::changed(tx, &[row.machine_id]).await
}
