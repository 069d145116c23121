//! Statements on whitelists.

use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::entity::{cursor, machine, whitelist};
use crate::incident::entity::number;

/// Reads how far the feed was followed; empty before the first.
#[allow(clippy::disallowed_methods, reason = "a cursor of the whole feed belongs to no tenant")]
pub(super) async fn cursor(on: &impl ConnectionTrait, source: &str) -> StoreResult<String> {
    let row = cursor::Entity::find().filter(cursor::Column::Source.eq(source)).one(on).await?;
    Ok(row.map(|row| row.position).unwrap_or_default())
}

/// Writes how far the feed was followed.
pub(super) async fn follow(on: &impl ConnectionTrait, source: &str, position: &str) -> StoreResult<()> {
    let row = cursor::ActiveModel { source: Set(source.to_owned()), position: Set(position.to_owned()) };
    let replace = OnConflict::column(cursor::Column::Source).update_column(cursor::Column::Position).to_owned();
    cursor::Entity::insert(row).on_conflict(replace).exec_without_returning(on).await?;
    Ok(())
}

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
        );
    let select = whitelist::Entity::of(tx).filter(covers).order_by_asc(whitelist::Column::PolicyId);
    Ok(select.all(tx).await?)
}

/// Stores a whitelist and the machines that it lists, in place of what was there.
pub(super) async fn put(tx: &TenantTx, row: whitelist::Model, machine_ids: Vec<Uuid>) -> StoreResult<()> {
    use whitelist::Column::{Revision, ScopeKind, Spec};
    let policy_id = row.policy_id;
    whitelist::Entity::upsert_all_of(tx, vec![row.into_active_model()], &[ScopeKind, Spec, Revision]).await?;
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
