//! Statements on spools and buckets.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, IntoActiveModel, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::entity::{bucket, machine, spool};
use crate::detection::Bucket;

/// Keys or ranges of buckets that one statement reads.
const RANGES: usize = 50;

/// Minutes of a source at a service, of one account or of all.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) source_key: Uuid,
    pub(super) account_key: Option<Uuid>,
    pub(super) minutes: RangeInclusive<i64>,
}

/// The key of a bucket: source and service, minute, account.
pub(super) type Key = (Uuid, i64, Uuid);

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

/// Reads buckets of a machine by their keys.
pub(super) async fn buckets(tx: &TenantTx, machine_id: Uuid, keys: &[Key]) -> StoreResult<Vec<bucket::Model>> {
    let mut found = Vec::new();
    for keys in keys.chunks(RANGES) {
        let mut any = Condition::any();
        for (source_key, minute, account_key) in keys {
            any = any.add(
                Condition::all()
                    .add(bucket::Column::SourceKey.eq(*source_key))
                    .add(bucket::Column::Minute.eq(*minute))
                    .add(bucket::Column::AccountKey.eq(*account_key)),
            );
        }
        let select = bucket::Entity::of(tx).filter(bucket::Column::MachineId.eq(machine_id)).filter(any);
        found.extend(select.all(tx).await?);
    }
    Ok(found)
}

/// Reads what detection looks at, with the source that it is of.
pub(super) async fn counts(tx: &TenantTx, machine_id: Uuid, ranges: &[Range]) -> StoreResult<Vec<(Uuid, Bucket)>> {
    use bucket::Column::{
        AccountKey, Failures, FirstFailureTime, FirstSuccessTime, LastFailureTime, LastSuccessTime, Minute, SourceKey,
        Successes, UnknownFailures,
    };
    let mut found = Vec::new();
    for ranges in ranges.chunks(RANGES) {
        let mut any = Condition::any();
        for range in ranges {
            let all = Condition::all()
                .add(SourceKey.eq(range.source_key))
                .add_option(range.account_key.map(|account| AccountKey.eq(account)))
                .add(Minute.between(*range.minutes.start(), *range.minutes.end()));
            any = any.add(all);
        }
        // Texts stay where they are: an attacker decides how many rows this reads.
        let select = bucket::Entity::of(tx)
            .select_only()
            .columns([SourceKey, Minute, AccountKey, Failures, UnknownFailures, Successes])
            .columns([FirstFailureTime, LastFailureTime, FirstSuccessTime, LastSuccessTime])
            .filter(bucket::Column::MachineId.eq(machine_id))
            .filter(any);
        let rows = select.into_model::<bucket::Counts>().all(tx).await?;
        found.extend(rows.into_iter().map(|row| (row.source_key, row.counts())));
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
