//! Processes of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::process_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, ProcessOrder, ProcessState};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady, volatile, within};
use crate::asset::check::{Check, instant, timestamp};
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 20] = [
    steady("pid"),
    steady("boot_id"),
    steady("start_ticks"),
    steady("parent_pid"),
    steady("parent_name"),
    steady("name"),
    steady("path"),
    steady("command_line"),
    steady("user"),
    steady("uid"),
    steady("group_name"),
    volatile("start_at"),
    steady("terminal"),
    volatile("state"),
    steady("sha256"),
    steady("package_name"),
    steady("package_version"),
    steady("container_runtime"),
    steady("container_id"),
    steady("escaped"),
];

const FIRST_SEEN: Order = Order { index: "asset_process_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_process_name", column: "name", of: Of::Text };
const USER: Order = Order { index: "asset_process_user", column: "user", of: Of::Text };
const STARTED: Order = Order { index: "asset_process_started", column: "start_at", of: Of::Time };
static ORDERS: [Order; 4] = [FIRST_SEEN, NAME, USER, STARTED];

/// Processes of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_process")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: pid, boot id, start ticks.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Process id.
    pub pid: u32,
    /// Id of the boot (UUID).
    pub boot_id: String,
    /// Start in clock ticks since boot.
    pub start_ticks: i64,
    /// Id of the parent.
    pub parent_pid: u32,
    /// Name of the parent.
    pub parent_name: String,
    /// Name.
    pub name: String,
    /// Path of the executable.
    pub path: String,
    /// Command line without secrets.
    pub command_line: String,
    /// User that it runs as.
    pub user: String,
    /// Id of that user.
    pub uid: u32,
    /// Group that it runs as.
    pub group_name: String,
    /// When it was started, by the boot time at the first look.
    pub start_at: Option<DateTimeUtc>,
    /// Terminal.
    pub terminal: String,
    /// State.
    pub state: i16,
    /// SHA-256 of the executable (32 bytes).
    pub sha256: Vec<u8>,
    /// Package that owns the executable.
    pub package_name: String,
    /// Version of that package.
    pub package_version: String,
    /// Runtime of the container that it runs in.
    pub container_runtime: String,
    /// Id of the container that it runs in.
    pub container_id: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// The class.
#[derive(Debug)]
pub struct Process;

impl Class for Process {
    fn class(&self) -> AssetClass {
        AssetClass::Process
    }

    fn name(&self) -> &'static str {
        "process"
    }

    fn table(&self) -> &'static str {
        "asset_process"
    }

    fn revision(&self) -> u32 {
        1
    }

    fn columns(&self) -> &'static [Own] {
        &COLUMNS
    }

    fn orders(&self) -> &'static [Order] {
        &ORDERS
    }

    fn counted(&self) -> &'static str {
        "name"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::Process(a) = item else { return };
        check.key("process.boot_id", &a.boot_id, 0, 36);
        check.size("process.start_ticks", Some(a.start_ticks));
        check.clip(&mut a.parent_name, 255);
        check.clip(&mut a.name, 255);
        check.clip(&mut a.path, 4096);
        check.command(&mut a.command_line);
        check.clip(&mut a.user, 255);
        check.clip(&mut a.group_name, 255);
        check.time("process.start_time", &mut a.start_time);
        check.clip(&mut a.terminal, 63);
        check.known::<ProcessState>("process.state", a.state);
        check.bytes("process.sha256", &a.sha256, 32);
        check.clip(&mut a.package_name, 255);
        check.clip(&mut a.package_version, 255);
        check.clip(&mut a.container_runtime, 63);
        check.clip(&mut a.container_id, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::Process(a) = item else { return };
        key.number(a.pid.into()).text(&a.boot_id).number(a.start_ticks.cast_signed());
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::Process(a) = item else { return };
        sink.unsigned(a.pid);
        sink.text(&a.boot_id);
        sink.big(Some(a.start_ticks.cast_signed()));
        sink.unsigned(a.parent_pid);
        sink.text(&a.parent_name);
        sink.text(&a.name);
        sink.text(&a.path);
        sink.text(&a.command_line);
        sink.text(&a.user);
        sink.unsigned(a.uid);
        sink.text(&a.group_name);
        sink.time(instant(a.start_time));
        sink.text(&a.terminal);
        sink.small(a.state as i16);
        sink.bytes(&a.sha256);
        sink.text(&a.package_name);
        sink.text(&a.package_version);
        sink.text(&a.container_runtime);
        sink.text(&a.container_id);
        sink.flag(Some(a.escaped));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::Process(api::Process {
            pid: m.pid,
            boot_id: m.boot_id,
            start_ticks: m.start_ticks.cast_unsigned(),
            parent_pid: m.parent_pid,
            parent_name: m.parent_name,
            name: m.name,
            path: m.path,
            command_line: m.command_line,
            user: m.user,
            uid: m.uid,
            group_name: m.group_name,
            start_time: m.start_at.map(timestamp),
            terminal: m.terminal,
            state: m.state.into(),
            sha256: m.sha256,
            package_name: m.package_name,
            package_version: m.package_version,
            container_runtime: m.container_runtime,
            container_id: m.container_id,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::Process(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.process.name", violations))
            }
            Some(Driving::User(by)) => {
                Plan::new(USER, true).ranged(drive("user", by, "query.process.user", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.process.order", violations, |order| match order {
            ProcessOrder::Name => NAME,
            ProcessOrder::User => USER,
            ProcessOrder::StartTime => STARTED,
            _ => FIRST_SEEN,
        });
        plan = plan.also_text("name", q.also_name.as_ref(), "query.process.also_name", violations);
        plan = plan.also_text("user", q.also_user.as_ref(), "query.process.also_user", violations);
        if let Some(pid) = q.pid {
            plan = plan.and(Column::Pid.eq(pid));
        }
        if let Some(parent_pid) = q.parent_pid {
            plan = plan.and(Column::ParentPid.eq(parent_pid));
        }
        if same("query.process.group_name", &q.group_name, violations) {
            plan = plan.and(Column::GroupName.eq(q.group_name.as_str()));
        }
        if enumerated::<ProcessState>("query.process.state", q.state, violations) {
            plan = plan.and(Column::State.eq(q.state as i16));
        }
        if same("query.process.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        if same("query.process.package_name", &q.package_name, violations) {
            plan = plan.and(Column::PackageName.eq(q.package_name.as_str()));
        }
        if let Some(packaged) = q.packaged {
            plan = plan.and(if packaged { Column::PackageName.ne("") } else { Column::PackageName.eq("") });
        }
        plan.span("start_at", within("query.process.started", q.started_from, q.started_until, violations))
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
