//! Statements on followed policies.

use std::collections::{BTreeSet, HashMap};

use cwpp_chassis::Error;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::PolicyKind;
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::{ColumnTrait, ConnectionTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::collection;
use super::entity::{machine, policy};
use crate::machine::tag;
use crate::shape;

/// Reads the policies of a kind that are in force.
pub async fn of_kind(db: &(impl ConnectionTrait + HasTenant), kind: PolicyKind) -> StoreResult<Vec<policy::Model>> {
    Ok(policy::Entity::of(db).filter(policy::Column::Kind.eq(kind as i16)).all(db).await?)
}

/// Finds which of these policies cover which machines; a machine that none covers is left out.
pub async fn covering<'a>(
    db: &(impl ConnectionTrait + HasTenant),
    policies: &'a [policy::Model],
    ids: &[Uuid],
) -> StoreResult<HashMap<Uuid, Vec<&'a policy::Model>>> {
    let mut found: HashMap<Uuid, Vec<&policy::Model>> = HashMap::new();
    // Most tenants have none, and nothing more is asked then.
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
        let named: BTreeSet<String> = serde_json::from_value(policy.tags.clone()).map_err(Error::internal)?;
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
                found.entry(*id).or_default().push(policy);
            }
        }
    }
    Ok(found)
}

/// Stores a policy and the machines that it lists, in place of what was there.
pub async fn put(tx: &TenantTx, mut row: policy::Model, machine_ids: &[Uuid]) -> StoreResult<()> {
    use policy::Column::{Kind, ScopeKind, Since, Spec, Tags};
    let policy_id = row.policy_id;
    let old = policy::Entity::of(tx).filter(policy::Column::PolicyId.eq(policy_id)).one(tx).await?;
    if let Some(old) = old
        && (old.kind, old.scope_kind, &old.tags) == (row.kind, row.scope_kind, &row.tags)
        && row.kind == PolicyKind::CollectionSettings as i16
        && collection::collects_the_same(&old.spec, &row.spec)?
    {
        row.since = old.since;
    }
    policy::Entity::upsert_all_of(tx, vec![row.into_active_model()], &[Kind, ScopeKind, Tags, Spec, Since]).await?;
    delete_machines(tx, policy_id).await?;
    let app_id = tx.app_id().get();
    let ids: BTreeSet<Uuid> = machine_ids.iter().copied().collect();
    let rows = ids.into_iter().map(|machine_id| machine::Model { app_id, machine_id, policy_id }.into_active_model());
    machine::Entity::insert_all_of(tx, rows.collect()).await?;
    Ok(())
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
