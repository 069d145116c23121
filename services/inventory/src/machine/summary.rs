//! What a tenant's machines are, in numbers: read from the narrow tables of machines, never from assets.

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_contracts::inventory::v1::LoadBucket;
use cwpp_storage::{StoreResult, TenantRead, Tenanted};
use sea_orm::sea_query::{Alias, CaseStatement, Condition, Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::query::{bounds, name_of};
use super::{entity, liveness, store};

/// A machine counts as new for so long after its enrolment.
pub const NEW: TimeDelta = TimeDelta::days(15);
/// Machines of the highest load that are named.
const TOP: u64 = 5;

/// The loads that are told.
pub const LOADS: [liveness::Column; 3] =
    [liveness::Column::CpuPercent, liveness::Column::MemoryPercent, liveness::Column::DiskPercent];
/// The buckets of a load, in the order of their numbers.
pub const BUCKETS: [LoadBucket; 5] =
    [LoadBucket::Unknown, LoadBucket::UpTo20, LoadBucket::UpTo50, LoadBucket::UpTo80, LoadBucket::UpTo100];

/// The columns of a kind of machines, in the order of the index that counts them.
const KIND: [entity::Column; 4] =
    [entity::Column::OsType, entity::Column::MachineType, entity::Column::InstanceState, entity::Column::Provider];

/// The numbers.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Machines whose agent is online, offline, uninstalled.
    pub agents: [u64; 3],
    /// Machines by operating system, type and state of the instance (their numbers in the contract), and by cloud.
    pub kinds: Vec<Kind>,
    /// Machines by bucket, and those of the highest values, for processor, memory and disk.
    pub loads: [Load; 3],
}

/// Machines of one operating system, type, state of the instance and cloud.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The operating system.
    pub os_type: i16,
    /// The type.
    pub machine_type: i16,
    /// The state of the instance.
    pub instance_state: i16,
    /// The cloud.
    pub provider: String,
    /// How many there are.
    pub machines: u64,
    /// How many of them are new.
    pub new: u64,
}

/// The machines by one load.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// By bucket, in the order of [`BUCKETS`].
    pub buckets: [u64; 5],
    /// The highest, with their values in percent.
    pub top: Vec<(entity::Model, f64)>,
}

/// Reads the numbers of a tenant. Online are machines that were seen since.
pub async fn read(read: &TenantRead, since: DateTime<Utc>, now: DateTime<Utc>) -> StoreResult<Summary> {
    let (agents, buckets) = alive(read, since).await?;
    let mut summary = Summary { agents, kinds: kinds(read, now - NEW).await?, ..Summary::default() };
    let mut top = Vec::new();
    for column in LOADS {
        top.push(highest(read, column, since).await?);
    }
    let mut ids: Vec<Uuid> = top.iter().flatten().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let machines = store::get_many(read, &ids).await?;
    for ((load, buckets), top) in summary.loads.iter_mut().zip(buckets).zip(top) {
        load.buckets = buckets;
        load.top = top.into_iter().filter_map(|(id, value)| Some((machines.get(&id)?.clone(), value))).collect();
    }
    Ok(summary)
}

/// Counts agents that are online, offline, uninstalled, and the machines that were enrolled since.
pub async fn of_day(
    read: &TenantRead,
    since: DateTime<Utc>,
    enrolled_since: DateTime<Utc>,
) -> StoreResult<([u64; 3], u64)> {
    let (agents, _) = alive(read, since).await?;
    Ok((agents, kinds(read, enrolled_since).await?.iter().map(|kind| kind.new).sum()))
}

/// Spells what holds for a machine that is online.
fn online(since: DateTime<Utc>) -> Condition {
    Condition::all().add(liveness::Column::LastSeenAt.gte(since)).add(liveness::Column::UninstalledAt.is_null())
}

/// Spells how many rows meet a condition.
fn count(condition: Condition) -> Expr {
    let one: Expr = CaseStatement::new().case(condition, 1).finally(0).into();
    let sum = Func::coalesce([Expr::from(Func::sum(one)), Expr::val(0)]);
    Expr::from(sum).cast_as(Alias::new("signed"))
}

/// Counts agents and buckets in one walk over the signs of life. Buckets are told as "at most", which is one comparison a
/// row: a condition per bucket cost three times as much.
async fn alive(read: &TenantRead, since: DateTime<Utc>) -> StoreResult<([u64; 3], [[u64; 5]; 3])> {
    let mut select = liveness::Entity::of(read).into_query();
    let gone = Condition::all().add(liveness::Column::UninstalledAt.is_not_null());
    select
        .clear_selects()
        .expr(Expr::from(Func::count(Expr::col(liveness::Column::AppId))).cast_as(Alias::new("signed")));
    select.expr(count(gone)).expr(count(online(since)));
    for column in LOADS {
        // The load of a machine that is not online is not known.
        let value: Expr = CaseStatement::new().case(online(since), Expr::col(column)).into();
        for most in BUCKETS.into_iter().filter_map(bounds).map(|(_, most)| most) {
            let sum = Func::coalesce([Expr::from(Func::sum(value.clone().lte(most))), Expr::val(0)]);
            select.expr(Expr::from(sum).cast_as(Alias::new("signed")));
        }
    }
    let Some(row) = read.query_one(&select).await? else { return Ok(([0; 3], [[0; 5]; 3])) };
    let number = |at: usize| row.try_get_by_index::<i64>(at).map(i64::unsigned_abs);
    let (all, gone, online) = (number(0)?, number(1)?, number(2)?);
    let mut buckets = [[0; 5]; 3];
    for (load, buckets) in buckets.iter_mut().enumerate() {
        let mut below = 0;
        for (at, machines) in buckets.iter_mut().enumerate().skip(1) {
            let most = number(2 + load * (BUCKETS.len() - 1) + at)?;
            *machines = most - below;
            below = most;
        }
        buckets[0] = all - below;
    }
    Ok(([online, all - gone - online, gone], buckets))
}

/// Counts machines by kind, which an index of just these columns answers.
async fn kinds(read: &TenantRead, new_since: DateTime<Utc>) -> StoreResult<Vec<Kind>> {
    let mut select = entity::Entity::of(read).into_query();
    select
        .clear_selects()
        .columns(KIND)
        .expr(Expr::from(Func::count(Expr::col(entity::Column::AppId))).cast_as(Alias::new("signed")))
        .expr(count(Condition::all().add(entity::Column::CreatedAt.gt(new_since))))
        .group_by_columns(KIND);
    let mut kinds = Vec::new();
    for row in read.query_all(&select).await? {
        kinds.push(Kind {
            os_type: row.try_get_by_index(0)?,
            machine_type: row.try_get_by_index(1)?,
            instance_state: row.try_get_by_index(2)?,
            provider: row.try_get_by_index(3)?,
            machines: row.try_get_by_index::<i64>(4)?.unsigned_abs(),
            new: row.try_get_by_index::<i64>(5)?.unsigned_abs(),
        });
    }
    Ok(kinds)
}

/// Finds the machines of the highest load among those that are online.
async fn highest(read: &TenantRead, column: liveness::Column, since: DateTime<Utc>) -> StoreResult<Vec<(Uuid, f64)>> {
    let of = liveness::Entity::of(read).filter(online(since)).filter(column.is_not_null());
    let mut select = of.order_by_desc(column).order_by_asc(liveness::Column::MachineId).limit(TOP).into_query();
    select.clear_selects().columns([liveness::Column::MachineId, column]);
    let mut highest = Vec::new();
    for row in read.query_all(&select).await? {
        highest.push((row.try_get("", "machine_id")?, row.try_get("", name_of(column))?));
    }
    Ok(highest)
}
