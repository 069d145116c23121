//! Deletes assets that a caller chose, and those of classes that are switched off. Nothing else remembers them: what a
//! machine still has comes back with its next report.

use std::collections::{BTreeMap, BTreeSet};

use cwpp_access::TenantScope;
use cwpp_chassis::Result;
use cwpp_contracts::inventory::v1::AssetClass;
use cwpp_storage::{Db, Registry, StoreResult, TenantRead, TenantTx, fault};
use uuid::Uuid;

use super::class::{Class, Item};
use super::{account_change, remove, snapshot, store, tally, unread};
use crate::policy::collection;
use crate::{bulk, machine};

/// Machines that are looked at in one read.
const LOOKED_AT: u64 = 500;
/// Rows that one transaction deletes of a whole class.
const CHUNK: usize = 1000;

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

/// Deletes chosen assets of a class, one machine a transaction; or only looks which there are.
pub async fn chosen(
    db: &Db,
    scope: &TenantScope,
    class: &'static dyn Class,
    names: &[Name],
    only_look: bool,
) -> Result<Deleted> {
    let mut machines: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for (machine_id, asset_id) in names {
        machines.entry(*machine_id).or_default().push(*asset_id);
    }
    let mut deleted = Deleted::default();
    for (machine_id, keys) in &machines {
        let found = match only_look {
            true => db.read(scope, |read| async move { look(&read, class, *machine_id, keys).await }).await?,
            false => {
                // The history first: a call that ends in between may be repeated.
                while !db.write(scope, |tx| async move { forget(&tx, class, *machine_id, keys).await }).await? {}
                db.write(scope, |tx| async move { take(&tx, db.registry(), class, *machine_id, keys).await }).await?
            }
        };
        deleted.assets += found.len() as u64;
        deleted.machines += u64::from(!found.is_empty());
        if !only_look {
            told(db, class, found.len());
            fault::point("deletion", "committed").await;
        }
        deleted.chosen.extend(found.into_iter().map(|key| (*machine_id, key)));
    }
    Ok(deleted)
}

async fn look(read: &TenantRead, class: &dyn Class, machine_id: Uuid, keys: &[Uuid]) -> StoreResult<Vec<Uuid>> {
    // The rows that a removed machine left are none of anybody's.
    match machine::store::get(read, machine_id).await? {
        Some(_) => store::there(read, class, machine_id, keys).await,
        None => Ok(Vec::new()),
    }
}

async fn take(
    tx: &TenantTx,
    registry: &Registry,
    class: &dyn Class,
    machine_id: Uuid,
    keys: &[Uuid],
) -> StoreResult<Vec<Uuid>> {
    match machine::store::hold(tx, &[machine_id]).await?.is_empty() {
        false => {
            // What a report under way writes of them is there once the snapshot is held.
            snapshot::hold(tx, machine_id, class.class() as i16).await?;
            while !forget(tx, class, machine_id, keys).await? {}
            let removed = remove::items(tx, registry, machine_id, class, keys).await?;
            fault::point("deletion", "written").await;
            Ok(removed)
        }
        true => Ok(Vec::new()),
    }
}

/// Deletes what is remembered of chosen accounts, a chunk of it; says whether that was all.
async fn forget(tx: &TenantTx, class: &dyn Class, machine_id: Uuid, keys: &[Uuid]) -> StoreResult<bool> {
    if class.class() != AssetClass::Account {
        return Ok(true);
    }
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let accounts = store::before(tx, class, machine_id, &keys, true).await?;
    let name = |row: tally::Before| match row.item {
        Some(Item::Account(account)) => Some(account.name),
        _ => None,
    };
    let names: Vec<String> = accounts.into_values().filter_map(name).collect();
    account_change::forget_named(tx, machine_id, &names, CHUNK).await
}

/// Deletes all assets of a class on the machines on which it is switched off, as long as the caller waits; or only counts
/// them.
pub async fn switched_off(db: &Db, scope: &TenantScope, class: &'static dyn Class, only_look: bool) -> Result<Deleted> {
    let number = class.class() as i16;
    let (mut deleted, mut after) = (Deleted::default(), Uuid::nil());
    loop {
        let page = db.read(scope, |read| async move { off(&read, number, after).await }).await?;
        for (machine_id, items) in page.machines {
            let before = deleted.assets;
            if only_look {
                deleted.assets += items;
            } else {
                deleted.more = !empty(db, scope, class, machine_id, &mut deleted.assets).await?;
            }
            deleted.machines += u64::from(deleted.assets > before);
            if deleted.more {
                return Ok(deleted);
            }
        }
        match page.next {
            Some(_) if bulk::is_over() => return Ok(Deleted { more: true, ..deleted }),
            Some(machine_id) => after = machine_id,
            None => return Ok(deleted),
        }
    }
}

/// Machines on which a class is switched off and of which something is known, with their items, and the last machine that
/// was looked at where more may follow.
struct Off {
    machines: BTreeMap<Uuid, u64>,
    next: Option<Uuid>,
}

async fn off(read: &TenantRead, class: i16, after: Uuid) -> StoreResult<Off> {
    let mut off = Off { machines: BTreeMap::new(), next: None };
    if !collection::is_off_anywhere(read, class).await? {
        return Ok(off);
    }
    let ids = machine::store::ids(read, after, LOOKED_AT).await?;
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(off) };
    off.next = (ids.len() as u64 == LOOKED_AT).then_some(*last);
    let settings = collection::settings(read, &ids).await?;
    // Also where nothing but the reason is known why it could not be read.
    off.machines.extend(unread::between(read, class, *first, *last).await?.into_iter().map(|id| (id, 0)));
    let snapshots = snapshot::between(read, class, *first, *last).await?;
    off.machines.extend(snapshots.into_iter().map(|s| (s.machine_id, s.items.unsigned_abs())));
    off.machines.retain(|id, _| settings.get(id).is_some_and(|settings| settings.class(class).off));
    Ok(off)
}

/// Deletes a machine's assets of a class in chunks, and their history, for as long as it is switched off; false where time
/// is over before. A call with little time does one chunk.
async fn empty(
    db: &Db,
    scope: &TenantScope,
    class: &'static dyn Class,
    machine_id: Uuid,
    assets: &mut u64,
) -> Result<bool> {
    loop {
        let chunk = |tx: TenantTx| async move {
            let settings = collection::settings(&tx, &[machine_id]).await?;
            let is_off = settings.get(&machine_id).is_some_and(|settings| settings.class(class.class() as i16).off);
            // It was switched on, or the machine removed, meanwhile.
            if !is_off || machine::store::hold(&tx, &[machine_id]).await?.is_empty() {
                return Ok((0, true));
            }
            // The history first: what is left of the snapshot brings the next call here.
            if class.class() == AssetClass::Account && !account_change::forget(&tx, machine_id, CHUNK).await? {
                return Ok((0, false));
            }
            unread::forget(&tx, machine_id, class.class() as i16).await?;
            let removed = remove::class(&tx, db.registry(), machine_id, class, CHUNK).await?;
            if class.class() == AssetClass::Account && removed < CHUNK {
                machine::store::forget_login(&tx, machine_id).await?;
            }
            Ok((removed, removed < CHUNK))
        };
        let (removed, is_done) = db.write(scope, chunk).await?;
        *assets += removed as u64;
        told(db, class, removed);
        if is_done || bulk::is_over() {
            return Ok(is_done);
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
