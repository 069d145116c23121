//! A short series of a machine's load: one value an hour, the last 24, in a ring of as many rows.

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_storage::{StoreResult, TenantRead, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder};

use super::contact::Load;
use super::liveness;
use crate::shape;

/// Values that are kept.
const SLOTS: i64 = 24;
/// Seconds between them.
const STEP: i64 = 3600;

/// The load of a machine in one hour.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_load")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The place in the ring.
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i16,
    /// When it was heard.
    pub at: DateTimeUtc,
    /// Processor load in percent.
    pub cpu_percent: Option<f64>,
    /// Memory in use in percent.
    pub memory_percent: Option<f64>,
    /// Space in use of the fullest disk in percent.
    pub disk_percent: Option<f64>,
    /// Processes that ran or waited to, on average over a minute.
    pub load_average: Option<f64>,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Numbers the hours of a machine. Those of different machines begin at different minutes, so that the values of a fleet
/// are not all written at once.
fn hour(machine_id: Uuid, at: DateTime<Utc>) -> i64 {
    let offset = i64::try_from(machine_id.as_u128() % STEP as u128).unwrap_or_default();
    (at.timestamp() + offset).div_euclid(STEP)
}

/// Takes a load into the liveness row, and returns the row of the ring where it is the first of its hour.
pub fn take(live: &mut liveness::Model, load: Load, now: DateTime<Utc>) -> Option<Model> {
    (live.cpu_percent, live.memory_percent, live.disk_percent) = (load.cpu, load.memory, load.disk);
    live.load_average = load.average;
    if [load.cpu, load.memory, load.disk, load.average].iter().all(Option::is_none) {
        return None;
    }
    let this = hour(live.machine_id, now);
    if live.load_at.is_some_and(|at| hour(live.machine_id, at) == this) {
        return None;
    }
    live.load_at = Some(now);
    Some(Model {
        app_id: live.app_id,
        machine_id: live.machine_id,
        slot: i16::try_from(this.rem_euclid(SLOTS)).unwrap_or_default(),
        at: now,
        cpu_percent: load.cpu,
        memory_percent: load.memory,
        disk_percent: load.disk,
        load_average: load.average,
    })
}

/// Writes rows of rings, which are sorted by machine.
pub async fn put(tx: &TenantTx, rows: Vec<Model>) -> StoreResult<()> {
    let refreshed = [Column::At, Column::CpuPercent, Column::MemoryPercent, Column::DiskPercent, Column::LoadAverage];
    let mut rows = rows.into_iter();
    for size in shape::split(rows.len()) {
        let batch = rows.by_ref().take(size).map(IntoActiveModel::into_active_model).collect();
        Entity::upsert_all_of(tx, batch, &refreshed).await?;
    }
    Ok(())
}

/// Reads the series of a machine, oldest first. What a silent machine left in the ring is no longer of the last day.
pub async fn series(read: &TenantRead, machine_id: Uuid, now: DateTime<Utc>) -> StoreResult<Vec<Model>> {
    let since = now - TimeDelta::seconds(SLOTS * STEP);
    let of = Entity::of(read).filter(Column::MachineId.eq(machine_id)).filter(Column::At.gt(since));
    let mut rows = of.order_by_asc(Column::Slot).all(read).await?;
    rows.sort_by_key(|r| r.at);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_one_value_and_a_day_twenty_four() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut live = liveness::Model::new(1, Uuid::from_u128(1234), start);
        let load = Load { cpu: Some(1.0), memory: None, disk: None, average: None };
        let taken: Vec<Model> =
            (0..2880).filter_map(|minute| take(&mut live, load, start + TimeDelta::minutes(minute))).collect();
        assert!((48..=49).contains(&taken.len()));
        let mut slots: Vec<i16> = taken[..24].iter().map(|r| r.slot).collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..24).collect::<Vec<i16>>());
        assert_eq!(taken[0].slot, taken[24].slot);
        let unknown = Load { cpu: None, ..load };
        assert!(take(&mut live, unknown, start + TimeDelta::days(9)).is_none());
        assert_eq!(live.cpu_percent, None);
    }
}
