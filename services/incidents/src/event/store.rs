//! Statements on spools and buckets.

use chrono::{DateTime, Utc};
use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::entity::{bucket, machine, spool};

/// Ranges of buckets that one statement reads.
const RANGES: usize = 50;

/// Minutes of a source at a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) source_key: Uuid,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Locks a machine: batches of its spools are taken one after the other.
pub(super) async fn lock_machine(tx: &TenantTx, machine_id: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
    let row = machine::ActiveModel { machine_id: Set(machine_id), update_time: Set(now), ..Default::default() };
    machine::Entity::upsert_all_of(tx, vec![row], &[machine::Column::UpdateTime]).await?;
    Ok(())
}

/// Reads a spool.
pub(super) async fn spool(tx: &TenantTx, machine_id: Uuid, spool_id: Uuid) -> StoreResult<Option<spool::Model>> {
    let select = spool::Entity::of(tx)
        .filter(spool::Column::MachineId.eq(machine_id))
        .filter(spool::Column::SpoolId.eq(spool_id));
    Ok(select.one(tx).await?)
}

/// Writes a spool.
pub(super) async fn save_spool(tx: &TenantTx, row: spool::Model) -> StoreResult<()> {
    let refresh = [spool::Column::NextSequence, spool::Column::ClampedEvents, spool::Column::UpdateTime];
    spool::Entity::upsert_all_of(tx, vec![row.into_active_model()], &refresh).await?;
    Ok(())
}

/// Reads buckets of a machine.
pub(super) async fn buckets(tx: &TenantTx, machine_id: Uuid, ranges: &[Range]) -> StoreResult<Vec<bucket::Model>> {
    let mut found = Vec::new();
    for ranges in ranges.chunks(RANGES) {
        let mut any = Condition::any();
        for range in ranges {
            any = any.add(
                Condition::all()
                    .add(bucket::Column::SourceKey.eq(range.source_key))
                    .add(bucket::Column::Minute.between(range.from, range.to)),
            );
        }
        let select = bucket::Entity::of(tx).filter(bucket::Column::MachineId.eq(machine_id)).filter(any);
        found.extend(select.all(tx).await?);
    }
    Ok(found)
}

/// Writes buckets with their counts as they are now.
pub(super) async fn save_buckets(tx: &TenantTx, mut rows: Vec<bucket::Model>) -> StoreResult<()> {
    use bucket::Column::{
        Failures, FirstFailureTime, FirstSuccessTime, LastFailureTime, LastSuccessTime, Successes, UnknownFailures,
    };
    rows.sort_by_key(|row| (row.source_key, row.minute, row.account_key));
    let rows = rows.into_iter().map(|row| row.into_active_model()).collect();
    let refresh =
        [Failures, UnknownFailures, Successes, FirstFailureTime, LastFailureTime, FirstSuccessTime, LastSuccessTime];
    bucket::Entity::upsert_all_of(tx, rows, &refresh).await?;
    Ok(())
}
