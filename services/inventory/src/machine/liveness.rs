//! Signs of life: one narrow row a machine, apart from the facts, so that the many small writes stay small.

use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// The last sign of life of a machine.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_liveness")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// When it was heard of last.
    pub last_seen_at: DateTimeUtc,
    /// The host's clock minus the server's in microseconds, at most a day either way.
    pub clock_skew_us: i64,
    /// Whether the clock is more than a day off.
    pub clock_clamped: bool,
    /// The number that the agent drew at its start; empty where it gave none.
    pub instance_nonce: Vec<u8>,
    /// Processor load in percent.
    pub cpu_percent: Option<f64>,
    /// Memory in use in percent.
    pub memory_percent: Option<f64>,
    /// Space in use of the fullest disk in percent.
    pub disk_percent: Option<f64>,
    /// When a report was found unchanged last: it writes nothing else.
    pub last_checked_at: Option<DateTimeUtc>,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

impl Model {
    /// Makes the first row of a machine.
    pub fn new(app_id: i64, machine_id: Uuid, now: DateTimeUtc) -> Self {
        Self {
            app_id,
            machine_id,
            last_seen_at: now,
            clock_skew_us: 0,
            clock_clamped: false,
            instance_nonce: Vec::new(),
            cpu_percent: None,
            memory_percent: None,
            disk_percent: None,
            last_checked_at: None,
        }
    }
}

/// The columns that a sign of life refreshes: all but the key.
pub const REFRESHED: [Column; 8] = [
    Column::LastSeenAt,
    Column::ClockSkewUs,
    Column::ClockClamped,
    Column::InstanceNonce,
    Column::CpuPercent,
    Column::MemoryPercent,
    Column::DiskPercent,
    Column::LastCheckedAt,
];
