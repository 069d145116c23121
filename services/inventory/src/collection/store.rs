//! Statements on collection settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cwpp_chassis::Error;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::CollectionSettings;
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use prost::Message;
use sea_orm::{ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::entity::{machine, policy};
use super::settings::Settings;
use crate::machine::tag;
use crate::shape;

/// Reads what holds for machines; those for which nothing is said may be left out.
pub async fn settings(db: &(impl ConnectionTrait + HasTenant), ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Settings>> {
    let policies = policy::Entity::of(db).all(db).await?;
    let mut found: HashMap<Uuid, Settings> = HashMap::new();
    // Most tenants have none, and their negotiations ask no more than that.
    if policies.is_empty() {
        return Ok(found);
    }
    let mut listed: BTreeSet<(Uuid, Uuid)> = BTreeSet::new();
    for ids in shape::padded(ids) {
        for row in machine::Entity::of(db).filter(machine::Column::MachineId.is_in(ids)).all(db).await? {
            listed.insert((row.machine_id, row.policy_id));
        }
    }
    let mut tags = HashMap::new();
    if policies.iter().any(|policy| policy.scope_kind == MachineScopeKind::Tagged as i16) {
        tags = tag::of_machines(db, ids).await?;
    }
    for policy in policies {
        let named: BTreeSet<String> = serde_json::from_value(policy.tags).map_err(Error::internal)?;
        let spec = CollectionSettings::decode(policy.spec.as_slice()).map_err(Error::internal)?;
        let kind = MachineScopeKind::try_from(i32::from(policy.scope_kind)).map_err(Error::internal)?;
        for id in ids {
            let is_listed = listed.contains(&(*id, policy.policy_id));
            let is_tagged = || tags.get(id).is_some_and(|tags| tags.iter().any(|tag| named.contains(tag)));
            let covered = match kind {
                MachineScopeKind::All => true,
                MachineScopeKind::Selected => is_listed,
                MachineScopeKind::AllExcept => !is_listed,
                MachineScopeKind::Tagged => is_tagged(),
                MachineScopeKind::Unspecified => false,
            };
            if covered {
                found.entry(*id).or_default().take(&spec, policy.since);
            }
        }
    }
    Ok(found)
}

/// Says whether any policy switches a class off on some machine.
pub async fn is_off_anywhere(db: &(impl ConnectionTrait + HasTenant), class: i16) -> StoreResult<bool> {
    for policy in policy::Entity::of(db).all(db).await? {
        if flags(&policy.spec)?.get(&i32::from(class)) == Some(&false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores a policy and the machines that it lists, in place of what was there.
pub async fn put(tx: &TenantTx, mut row: policy::Model, machine_ids: &[Uuid]) -> StoreResult<()> {
    use policy::Column::{ScopeKind, Since, Spec, Tags};
    let policy_id = row.policy_id;
    let old = policy::Entity::of(tx).filter(policy::Column::PolicyId.eq(policy_id)).one(tx).await?;
    // Another interval alone does not make what is stored out of date.
    if let Some(old) = old
        && flags(&old.spec)? == flags(&row.spec)?
        && (old.scope_kind, &old.tags) == (row.scope_kind, &row.tags)
    {
        row.since = old.since;
    }
    policy::Entity::upsert_all_of(tx, vec![row.into_active_model()], &[ScopeKind, Tags, Spec, Since]).await?;
    delete_machines(tx, policy_id).await?;
    let app_id = tx.app_id().get();
    let ids: BTreeSet<Uuid> = machine_ids.iter().copied().collect();
    let rows = ids.into_iter().map(|machine_id| machine::Model { app_id, machine_id, policy_id }.into_active_model());
    machine::Entity::insert_all_of(tx, rows.collect()).await?;
    Ok(())
}

fn flags(spec: &[u8]) -> StoreResult<BTreeMap<i32, bool>> {
    let spec = CollectionSettings::decode(spec).map_err(Error::internal)?;
    Ok(spec.classes.iter().map(|class| (class.asset_class, class.enabled)).collect())
}

/// Removes a policy.
pub async fn delete(tx: &TenantTx, policy_id: Uuid) -> StoreResult<()> {
    policy::Entity::delete_of(tx).filter(policy::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    delete_machines(tx, policy_id).await
}

async fn delete_machines(tx: &TenantTx, policy_id: Uuid) -> StoreResult<()> {
    machine::Entity::delete_of(tx).filter(machine::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    Ok(())
}
