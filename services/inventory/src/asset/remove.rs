//! Takes items away without a report: of a machine that is deleted, or chosen ones. The erasure engine deletes their rows;
//! counts follow in the same transaction.

use std::collections::{BTreeMap, HashMap};

use cwpp_chassis::Error;
use cwpp_storage::{Registry, StoreResult, TenantTx, erase_chosen};
use uuid::Uuid;

use super::class::{Class, by_number};
use super::count::{self, Change, Value};
use super::tally::Tally;
use super::{snapshot, store, watch};

/// Removes items of one class of a machine by their keys, and returns the keys of those that there were, sorted.
///
/// The machine's next report of the class is asked for whole, and one that is being written in slices begins anew. A
/// transaction has a second: give it at most [`super::apply::SLICE`] keys.
pub async fn items(
    tx: &TenantTx,
    registry: &Registry,
    machine_id: Uuid,
    class: &dyn Class,
    keys: &[Uuid],
) -> StoreResult<Vec<Uuid>> {
    let number = class.class() as i16;
    let Some(snapshot) = snapshot::hold(tx, machine_id, number).await? else { return Ok(Vec::new()) };
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let (removed, change) = take_out(tx, registry, machine_id, class, &keys).await?;
    if !removed.is_empty() {
        put(tx, snapshot, &change).await?;
        count::add(tx, &BTreeMap::from([(number, change)])).await?;
        if watch::is_told(class) {
            watch::changed(tx, &[machine_id]).await?;
        }
    }
    Ok(removed)
}

/// Removes at most `room` items of one class of a machine, and returns how many: where they are fewer, all of them are gone,
/// and so is what was remembered of its reports.
pub async fn class(
    tx: &TenantTx,
    registry: &Registry,
    machine_id: Uuid,
    class: &dyn Class,
    room: usize,
) -> StoreResult<usize> {
    let number = class.class() as i16;
    let Some(snapshot) = snapshot::hold(tx, machine_id, number).await? else { return Ok(0) };
    let (removed, change) = clear(tx, registry, snapshot, room).await?;
    count::add(tx, &BTreeMap::from([(number, change)])).await?;
    if removed > 0 && watch::is_told(class) {
        watch::changed(tx, &[machine_id]).await?;
    }
    Ok(removed)
}

/// Removes at most `room` items of a machine, class by class, and returns the room that is left: where that is not 0, all of
/// them are gone, also what was remembered of its reports, and no count knows the machine.
pub async fn machine(tx: &TenantTx, registry: &Registry, machine_id: Uuid, mut room: usize) -> StoreResult<usize> {
    let mut changes = BTreeMap::new();
    for snapshot in snapshot::lock_all(tx, machine_id).await? {
        let number = snapshot.asset_class;
        let (removed, change) = clear(tx, registry, snapshot, room).await?;
        changes.insert(number, change);
        room -= removed;
        if room == 0 {
            break;
        }
    }
    count::add(tx, &changes).await?;
    Ok(room)
}

/// Deletes at most `room` rows of a snapshot that is locked, and the snapshot too where they are fewer; returns how many, and
/// what that changes in the counts.
async fn clear(
    tx: &TenantTx,
    registry: &Registry,
    snapshot: snapshot::Model,
    room: usize,
) -> StoreResult<(usize, Change)> {
    let (machine_id, number) = (snapshot.machine_id, snapshot.asset_class);
    // A class of a later release has rows that the registry does not know either.
    let (removed, mut change) = match by_number(number.into()) {
        Some(class) => {
            let keys = store::keys(tx, class, machine_id, room as u64).await?;
            take_out(tx, registry, machine_id, class, &keys).await?
        }
        None => (Vec::new(), Change::default()),
    };
    if removed.len() >= room {
        // There may be more of it.
        put(tx, snapshot, &change).await?;
    } else {
        change.total.machines -= i64::from(!snapshot.is_new());
        snapshot::delete(tx, machine_id, number).await?;
    }
    Ok((removed.len(), change))
}

/// Deletes rows of a machine whose snapshot is locked, and returns their keys, sorted, and what that changes in the counts.
async fn take_out(
    tx: &TenantTx,
    registry: &Registry,
    machine_id: Uuid,
    class: &dyn Class,
    keys: &[Uuid],
) -> StoreResult<(Vec<Uuid>, Change)> {
    let before = store::before(tx, class, machine_id, keys, false).await?;
    let mut change = Change::default();
    if before.is_empty() {
        return Ok((Vec::new(), change));
    }
    let mut there: HashMap<Value, i64> = before.values().map(|row| (row.value.clone(), 0)).collect();
    store::held(tx, class, machine_id, &mut there).await?;
    let mut tally = Tally::of(there);
    let mut keys: Vec<Uuid> = before.keys().copied().collect();
    keys.sort_unstable();
    let table = registry.erasable_table(class.table());
    let table = table.ok_or_else(|| Error::internal(anyhow::anyhow!("{} is not registered", class.table())))?;
    erase_chosen(tx, table, machine_id, &keys).await?;
    for row in before.values() {
        change.total.items -= 1;
        *change.days.entry(row.day).or_default() -= 1;
        tally.put(&row.value, -1, &mut change);
    }
    change.settle();
    Ok((keys, change))
}

/// Writes a snapshot whose rows are not those of any report any more: what the next one brings back is no change.
async fn put(tx: &TenantTx, old: snapshot::Model, change: &Change) -> StoreResult<()> {
    let new_items = old.new_items + change.days.get(&old.new_day).copied().unwrap_or_default();
    let (items, version) = (old.items + change.total.items, old.version + 1);
    snapshot::put(
        tx,
        snapshot::Model { digest: Vec::new(), fingerprint: Uuid::nil(), items, new_items, version, ..old },
    )
    .await
}
