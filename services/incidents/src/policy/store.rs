//! Statements on whitelists.

use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::{ColumnTrait, Condition, IntoActiveModel, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::entity::{machine, whitelist};
use crate::incident::entity::number;
use crate::tag;

/// Reads the whitelists that cover a machine, in the order of their ids.
pub(super) async fn covering(tx: &TenantTx, machine_id: Uuid) -> StoreResult<Vec<whitelist::Model>> {
    let listed: Vec<Uuid> = machine::Entity::of(tx)
        .filter(machine::Column::MachineId.eq(machine_id))
        .all(tx)
        .await?
        .into_iter()
        .map(|row| row.policy_id)
        .collect();
    let kind = |kind: MachineScopeKind| whitelist::Column::ScopeKind.eq(number(kind));
    let covers = Condition::any()
        .add(kind(MachineScopeKind::All))
        .add(
            Condition::all()
                .add(kind(MachineScopeKind::Selected))
                .add(whitelist::Column::PolicyId.is_in(listed.iter().copied())),
        )
        .add(
            Condition::all()
                .add(kind(MachineScopeKind::AllExcept))
                .add(whitelist::Column::PolicyId.is_not_in(listed.iter().copied())),
        )
        .add(kind(MachineScopeKind::Tagged));
    let select = whitelist::Entity::of(tx).filter(covers).order_by_asc(whitelist::Column::PolicyId);
    let mut found = select.all(tx).await?;
    let is_tagged = |row: &whitelist::Model| row.scope_kind == number(MachineScopeKind::Tagged);
    if found.iter().any(is_tagged) {
        let tags = tag::of(tx, machine_id).await?;
        found.retain(|row| !is_tagged(row) || named(row).iter().any(|name| tags.contains(name)));
    }
    Ok(found)
}

/// Returns the tags by which a whitelist goes.
fn named(row: &whitelist::Model) -> Vec<String> {
    serde_json::from_value(row.tags.clone()).unwrap_or_default()
}

/// Stores a whitelist and the machines that it lists, in place of what was there.
pub(super) async fn put(tx: &TenantTx, row: whitelist::Model, machine_ids: Vec<Uuid>) -> StoreResult<()> {
    use whitelist::Column::{Revision, ScopeKind, Spec, Tags};
    let policy_id = row.policy_id;
    whitelist::Entity::upsert_all_of(tx, vec![row.into_active_model()], &[ScopeKind, Tags, Spec, Revision]).await?;
    delete_machines(tx, policy_id).await?;
    let app_id = tx.app_id().get();
    let mut machine_ids = machine_ids;
    machine_ids.sort_unstable();
    machine_ids.dedup();
    let rows =
        machine_ids.into_iter().map(|machine_id| machine::Model { app_id, machine_id, policy_id }.into_active_model());
    machine::Entity::insert_all_of(tx, rows.collect()).await?;
    Ok(())
}

/// Removes a whitelist.
pub(super) async fn delete(tx: &TenantTx, policy_id: Uuid) -> StoreResult<()> {
    whitelist::Entity::delete_of(tx).filter(whitelist::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    delete_machines(tx, policy_id).await
}

async fn delete_machines(tx: &TenantTx, policy_id: Uuid) -> StoreResult<()> {
    machine::Entity::delete_of(tx).filter(machine::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    Ok(())
}
