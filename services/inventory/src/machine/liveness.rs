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
    /// The number that the agent that holds the id drew at its start; empty where it gave none.
    pub instance_nonce: Vec<u8>,
    /// When that agent spoke first under this id.
    pub nonce_since_at: Option<DateTimeUtc>,
    /// When it spoke last.
    pub nonce_seen_at: Option<DateTimeUtc>,
    /// Hash of the kernel's id of the start that it runs in; nil where it gave none.
    pub boot: Uuid,
    /// Processor load in percent.
    pub cpu_percent: Option<f64>,
    /// Memory in use in percent.
    pub memory_percent: Option<f64>,
    /// Space in use of the fullest disk in percent.
    pub disk_percent: Option<f64>,
    /// Processes that ran or waited to, on average over a minute.
    pub load_average: Option<f64>,
    /// When a report was found unchanged last: it writes nothing else.
    pub last_checked_at: Option<DateTimeUtc>,
    /// When a load was kept for the series last.
    pub load_at: Option<DateTimeUtc>,
    /// When the agent was uninstalled; none unless it is.
    pub uninstalled_at: Option<DateTimeUtc>,
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
            nonce_since_at: None,
            nonce_seen_at: None,
            boot: Uuid::nil(),
            cpu_percent: None,
            memory_percent: None,
            disk_percent: None,
            load_average: None,
            last_checked_at: None,
            load_at: None,
            uninstalled_at: None,
        }
    }
}

/// The columns that a sign of life refreshes: all but the key.
pub const REFRESHED: [Column; 14] = [
    Column::LastSeenAt,
    Column::ClockSkewUs,
    Column::ClockClamped,
    Column::InstanceNonce,
    Column::NonceSinceAt,
    Column::NonceSeenAt,
    Column::Boot,
    Column::CpuPercent,
    Column::MemoryPercent,
    Column::DiskPercent,
    Column::LoadAverage,
    Column::LastCheckedAt,
    Column::LoadAt,
    Column::UninstalledAt,
];
