//! Snapshots: one row per machine and class, which is the lock of the machine's rows, remembers what was applied last,
//! and counts what is stored.

use std::collections::HashMap;

use cwpp_contracts::inventory::v1::Decision;
use cwpp_storage::{HasTenant, StoreResult, TenantRead, TenantTx, Tenanted};
use prost_types::Duration;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LockType;
use sea_orm::{IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use super::class::{by_number, fingerprint};
use super::form::Forms;
use crate::policy::collection::Class as Settings;
use crate::shape;

/// What is stored of one class of one machine.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_snapshot")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The class (`AssetClass`).
    #[sea_orm(primary_key, auto_increment = false)]
    pub asset_class: i16,
    /// The digest that the host gave for what was applied; empty while a report is being applied in slices.
    pub digest: Vec<u8>,
    /// How the server that applied it stores the class; nil until a report was applied whole.
    pub fingerprint: Uuid,
    /// Time of the newest report token that was used, in microseconds; 0 in a row that was only just locked.
    pub token_us: i64,
    /// Rows stored.
    pub items: i64,
    /// Items that the host has, where more than were sent; 0 otherwise.
    pub found: i64,
    /// The newest day on which an item of it was first seen, counted from 1970.
    pub new_day: i32,
    /// How many of the items were first seen on that day.
    pub new_items: i64,
    /// Whether all slices of the report were applied.
    pub complete: bool,
    /// When it was applied.
    pub applied_at: DateTimeUtc,
    /// Rises with each write: whoever writes in slices sees by it whether somebody came in between.
    pub version: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

impl Model {
    /// Says whether nothing was ever applied under this row.
    pub fn is_new(&self) -> bool {
        self.token_us == 0
    }

    /// Says whether a report was ever applied whole under this row.
    pub fn was_whole(&self) -> bool {
        !self.fingerprint.is_nil()
    }

    /// Counts the items that were first seen on this day.
    pub fn new_on(&self, day: i32) -> i64 {
        if self.new_day == day { self.new_items } else { 0 }
    }
}

/// What a host says it has of a class.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The class.
    pub class: i16,
    /// The host's digest; empty where it has not read the class.
    pub digest: Vec<u8>,
}

impl Offer {
    /// Says whether the host has read the class.
    pub fn is_read(&self) -> bool {
        !self.digest.is_empty()
    }

    /// Says what the host shall do with it.
    pub fn decide(
        &self,
        snapshot: Option<&Model>,
        scope_epoch: i64,
        settings: Settings,
        asks: (&Forms, DateTimeUtc),
    ) -> Verdict {
        let decision = match settings.off {
            true => Decision::Disabled,
            false if snapshot.is_some_and(|s| self.is_stored(s, scope_epoch, settings.since, asks)) => {
                Decision::Unchanged
            }
            false => Decision::Send,
        };
        Verdict { decision, interval: settings.interval() }
    }

    /// Says whether that is what is stored, and stored as this server would store it; in another form also until the
    /// machine's turn comes.
    fn is_stored(&self, snapshot: &Model, scope_epoch: i64, since: i64, (forms, now): (&Forms, DateTimeUtc)) -> bool {
        let Some(class) = by_number(self.class.into()) else { return false };
        let (form, decided) = fingerprint(class, scope_epoch, since).as_u64_pair();
        let stored = snapshot.fingerprint.as_u64_pair();
        let is_same = self.is_read() && snapshot.complete && snapshot.digest == self.digest && stored.1 == decided;
        is_same && (stored.0 == form || !forms.is_due(self.class, snapshot.machine_id, now))
    }
}

/// What a host shall do with a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether to send it.
    pub decision: Decision,
    /// How often the tenant wants it collected, where that is said.
    pub interval: Option<Duration>,
}

/// Finds the snapshots of machines, by machine and class.
pub async fn of_machines(tx: &TenantTx, ids: &[Uuid]) -> StoreResult<HashMap<(Uuid, i16), Model>> {
    let mut found = HashMap::with_capacity(ids.len() * 2);
    for ids in shape::padded(ids) {
        for row in Entity::of(tx).filter(Column::MachineId.is_in(ids)).all(tx).await? {
            found.insert((row.machine_id, row.asset_class), row);
        }
    }
    Ok(found)
}

/// Locks the snapshots of a machine's classes, which are sorted, and returns them. Rows that were not there are made,
/// and seen by nobody else before the commit.
pub async fn lock(tx: &TenantTx, machine_id: Uuid, classes: &[i16], now: DateTimeUtc) -> StoreResult<Vec<Model>> {
    let row = |class: &i16| Model {
        app_id: tx.app_id().get(),
        machine_id,
        asset_class: *class,
        digest: Vec::new(),
        fingerprint: Uuid::nil(),
        token_us: 0,
        items: 0,
        found: 0,
        new_day: 0,
        new_items: 0,
        complete: false,
        applied_at: now,
        version: 0,
    };
    // Refreshing a part of the key changes nothing and still takes the lock.
    let rows = classes.iter().map(row).map(IntoActiveModel::into_active_model).collect();
    Entity::upsert_all_of(tx, rows, &[Column::AssetClass]).await?;
    let classes = classes.iter().copied();
    Ok(Entity::of(tx)
        .filter(Column::MachineId.eq(machine_id))
        .filter(Column::AssetClass.is_in(classes))
        .order_by_asc(Column::AssetClass)
        .all(tx)
        .await?)
}

/// Locks the snapshot of one class of a machine, where it is there.
pub async fn hold(tx: &TenantTx, machine_id: Uuid, class: i16) -> StoreResult<Option<Model>> {
    let select = Entity::of(tx).filter(Column::MachineId.eq(machine_id)).filter(Column::AssetClass.eq(class));
    Ok(select.lock(LockType::Update).one(tx).await?)
}

/// Writes a snapshot that is locked.
pub async fn put(tx: &TenantTx, row: Model) -> StoreResult<()> {
    let refreshed = [
        Column::Digest,
        Column::Fingerprint,
        Column::TokenUs,
        Column::Items,
        Column::Found,
        Column::NewDay,
        Column::NewItems,
        Column::Complete,
        Column::AppliedAt,
        Column::Version,
    ];
    Ok(Entity::upsert_all_of(tx, vec![row.into_active_model()], &refreshed).await?)
}

/// Locks all snapshots of a machine and returns them.
pub async fn lock_all(tx: &TenantTx, machine_id: Uuid) -> StoreResult<Vec<Model>> {
    let of = Entity::of(tx).filter(Column::MachineId.eq(machine_id)).order_by_asc(Column::AssetClass);
    Ok(of.lock(LockType::Update).all(tx).await?)
}

/// Deletes a snapshot that is locked.
pub async fn delete(tx: &TenantTx, machine_id: Uuid, class: i16) -> StoreResult<()> {
    let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
    of.filter(Column::AssetClass.eq(class)).exec(tx).await?;
    Ok(())
}

/// Finds the snapshots of one machine.
pub async fn of_machine(db: &(impl ConnectionTrait + HasTenant), machine_id: Uuid) -> StoreResult<Vec<Model>> {
    Ok(Entity::of(db).filter(Column::MachineId.eq(machine_id)).all(db).await?)
}

/// Finds the snapshots of a class from one machine up to another.
pub async fn between(read: &TenantRead, class: i16, from: Uuid, to: Uuid) -> StoreResult<Vec<Model>> {
    let select = Entity::of(read).filter(Column::MachineId.gte(from)).filter(Column::MachineId.lte(to));
    Ok(select.filter(Column::AssetClass.eq(class)).all(read).await?)
}
