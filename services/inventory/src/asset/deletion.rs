//! Deletes assets that a caller chose, and those of classes that are switched off. Nothing else remembers them: what a
//! machine still has comes back with its next report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cwpp_access::TenantScope;
use cwpp_chassis::{Result, deadline};
use cwpp_storage::{Db, StoreResult, TenantRead, TenantTx};
use uuid::Uuid;

use super::class::Class;
use super::{remove, snapshot, store};
use crate::collection;

/// Machines whose assets one transaction deletes.
const AT_ONCE: usize = 20;
/// Machines that are looked at in one read.
const LOOKED_AT: u64 = 500;
/// Rows that one transaction deletes of a whole class.
const CHUNK: usize = 1000;
/// What has to be left of a call's time for another chunk.
const ENOUGH: Duration = Duration::from_secs(2);

/// An asset of a class: its machine, and its id there.
pub type Name = (Uuid, Uuid);

/// What a deletion came to, or would.
#[derive(Debug, Clone, Default)]
pub struct Deleted {
    /// The chosen assets that there were.
    pub chosen: BTreeSet<Name>,
    /// Assets.
    pub assets: u64,
    /// Machines that had them.
    pub machines: u64,
    /// Whether some are left because the time was over.
    pub more: bool,
}

/// Deletes chosen assets of a class; or only looks which there are.
pub async fn chosen(
    db: &Db,
    scope: &TenantScope,
    class: &'static dyn Class,
    names: &[Name],
    only_look: bool,
) -> Result<Deleted> {
    let mut keys: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for (machine_id, asset_id) in names {
        keys.entry(*machine_id).or_default().push(*asset_id);
    }
    let keys: Vec<(Uuid, Vec<Uuid>)> = keys.into_iter().collect();
    let mut found = Vec::new();
    for keys in keys.chunks(AT_ONCE) {
        let part = match only_look {
            true => db.read(scope, |read| async move { look(&read, class, keys).await }).await?,
            false => db.write(scope, |tx| async move { take(&tx, class, keys).await }).await?,
        };
        found.extend(part);
    }
    if !only_look {
        told(db, class, found.len());
    }
    let machines: BTreeSet<Uuid> = found.iter().map(|(machine_id, _)| *machine_id).collect();
    let (assets, machines) = (found.len() as u64, machines.len() as u64);
    Ok(Deleted { chosen: found.into_iter().collect(), assets, machines, more: false })
}

async fn look(read: &TenantRead, class: &dyn Class, keys: &[(Uuid, Vec<Uuid>)]) -> StoreResult<Vec<Name>> {
    let mut found = Vec::new();
    for (machine_id, keys) in keys {
        let there = store::there(read, class, *machine_id, keys).await?;
        found.extend(there.into_iter().map(|key| (*machine_id, key)));
    }
    Ok(found)
}

/// Snapshots are locked in the order of their machines, as everywhere.
async fn take(tx: &TenantTx, class: &dyn Class, keys: &[(Uuid, Vec<Uuid>)]) -> StoreResult<Vec<Name>> {
    let mut found = Vec::new();
    for (machine_id, keys) in keys {
        let removed = remove::items(tx, *machine_id, class, keys).await?;
        found.extend(removed.into_iter().map(|key| (*machine_id, key)));
    }
    Ok(found)
}

/// Deletes all assets of a class on the machines on which it is switched off, as long as the caller waits; or only counts
/// them.
pub async fn switched_off(db: &Db, scope: &TenantScope, class: &'static dyn Class, only_look: bool) -> Result<Deleted> {
    let number = class.class() as i16;
    let (mut deleted, mut after) = (Deleted::default(), Uuid::nil());
    loop {
        let page = db.read(scope, |read| async move { off(&read, number, after).await }).await?;
        for snapshot in page.snapshots {
            let before = deleted.assets;
            if only_look {
                deleted.assets += snapshot.items.unsigned_abs();
            } else {
                deleted.more = !empty(db, scope, class, snapshot.machine_id, &mut deleted.assets).await?;
            }
            deleted.machines += u64::from(deleted.assets > before);
            if deleted.more {
                return Ok(deleted);
            }
        }
        match page.next {
            Some(machine_id) => after = machine_id,
            None => return Ok(deleted),
        }
    }
}

/// Snapshots of machines on which a class is switched off, and the last machine that was looked at where more may follow.
struct Off {
    snapshots: Vec<snapshot::Model>,
    next: Option<Uuid>,
}

async fn off(read: &TenantRead, class: i16, after: Uuid) -> StoreResult<Off> {
    if !collection::store::is_off_anywhere(read, class).await? {
        return Ok(Off { snapshots: Vec::new(), next: None });
    }
    let mut snapshots = snapshot::of_class(read, class, after, LOOKED_AT).await?;
    let next = (snapshots.len() as u64 == LOOKED_AT).then(|| snapshots.last().map(|s| s.machine_id)).flatten();
    let ids: Vec<Uuid> = snapshots.iter().map(|s| s.machine_id).collect();
    let settings = collection::store::settings(read, &ids).await?;
    snapshots.retain(|s| settings.get(&s.machine_id).is_some_and(|settings| settings.class(class).off));
    Ok(Off { snapshots, next })
}

/// Deletes a machine's assets of a class in chunks, for as long as it is switched off; false where time is over before.
async fn empty(
    db: &Db,
    scope: &TenantScope,
    class: &'static dyn Class,
    machine_id: Uuid,
    assets: &mut u64,
) -> Result<bool> {
    loop {
        if deadline::remaining().is_some_and(|left| left < ENOUGH) {
            return Ok(false);
        }
        let removed = db
            .write(scope, |tx| async move {
                let settings = collection::store::settings(&tx, &[machine_id]).await?;
                match settings.get(&machine_id).is_some_and(|settings| settings.class(class.class() as i16).off) {
                    true => remove::class(&tx, machine_id, class, CHUNK).await,
                    // It was switched on meanwhile.
                    false => Ok(0),
                }
            })
            .await?;
        *assets += removed as u64;
        told(db, class, removed);
        if removed < CHUNK {
            return Ok(true);
        }
    }
}

/// Wakes the followers, and counts.
fn told(db: &Db, class: &dyn Class, assets: usize) {
    if assets > 0 {
        db.feed_grew();
        metrics::counter!("inventory_assets_deleted_total", "class" => class.name()).increment(assets as u64);
    }
}
