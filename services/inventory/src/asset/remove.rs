//! Removes what a machine that is gone reported, with its counts.

use std::collections::BTreeMap;

use cwpp_storage::{StoreResult, TenantTx};
use uuid::Uuid;

use super::class::by_number;
use super::count::{self, Count};
use super::{snapshot, store};

/// Deletes at most `room` assets of a machine, class by class, with what they add to the counts; returns the room that is
/// left, and has deleted everything where that is not 0.
pub async fn machine(tx: &TenantTx, machine_id: Uuid, mut room: usize) -> StoreResult<usize> {
    let mut counts: BTreeMap<i16, Count> = BTreeMap::new();
    for snapshot in snapshot::lock_all(tx, machine_id).await? {
        let keys: Vec<Uuid> = match by_number(snapshot.asset_class.into()) {
            Some(class) => {
                let keys: Vec<Uuid> =
                    store::hashes(tx, class, machine_id).await?.into_iter().map(|(key, _)| key).take(room).collect();
                store::remove(tx, machine_id, class, &keys).await?;
                keys
            }
            // A class of a later release, whose rows the registry knows as little.
            None => Vec::new(),
        };
        room -= keys.len();
        let count = counts.entry(snapshot.asset_class).or_default();
        count.items -= keys.len() as i64;
        if room == 0 {
            let items = snapshot.items - keys.len() as i64;
            snapshot::put(tx, snapshot::Model { items, complete: false, version: snapshot.version + 1, ..snapshot })
                .await?;
            break;
        }
        count.machines -= i64::from(!snapshot.is_new());
        snapshot::delete(tx, machine_id, snapshot.asset_class).await?;
    }
    count::add(tx, &counts).await?;
    Ok(room)
}
