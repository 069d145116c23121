//! Scheduled tasks of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::scheduled_task_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, ScheduleKind, ScheduledTaskOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 8] = [
    steady("kind"),
    steady("name"),
    steady("schedule"),
    steady("command"),
    steady("user"),
    steady("config_path"),
    steady("enabled"),
    steady("escaped"),
];

const FIRST_SEEN: Order = Order { index: "asset_scheduled_task_first_seen", column: "first_seen_at", of: Of::Moment };
const USER: Order = Order { index: "asset_scheduled_task_user", column: "user", of: Of::Text };
static ORDERS: [Order; 2] = [FIRST_SEEN, USER];

/// Scheduled tasks of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_scheduled_task")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: schedule, command, user, config path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Who runs it.
    pub kind: i16,
    /// Name of a timer.
    pub name: String,
    /// When it runs, as it is written: a cron expression or a calendar event.
    pub schedule: String,
    /// What it runs without secrets.
    pub command: String,
    /// User that it runs as.
    pub user: String,
    /// File that says so.
    pub config_path: String,
    /// Whether it runs at all.
    pub enabled: bool,
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
pub struct ScheduledTask;

impl Class for ScheduledTask {
    fn class(&self) -> AssetClass {
        AssetClass::ScheduledTask
    }

    fn name(&self) -> &'static str {
        "scheduled_task"
    }

    fn table(&self) -> &'static str {
        "asset_scheduled_task"
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
        "user"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::ScheduledTask(a) = item else { return };
        check.given::<ScheduleKind>("scheduled_task.kind", a.kind);
        check.clip(&mut a.name, 255);
        check.key("scheduled_task.schedule", &a.schedule, 0, 1024);
        check.redact(&mut a.command);
        check.key("scheduled_task.command", &a.command, 1, 4096);
        check.key("scheduled_task.user", &a.user, 0, 255);
        check.key("scheduled_task.config_path", &a.config_path, 0, 4096);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::ScheduledTask(a) = item else { return };
        key.text(&a.schedule).text(&a.command).text(&a.user).text(&a.config_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::ScheduledTask(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.name);
        sink.text(&a.schedule);
        sink.text(&a.command);
        sink.text(&a.user);
        sink.text(&a.config_path);
        sink.flag(Some(a.enabled));
        sink.flag(Some(a.escaped));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::ScheduledTask(api::ScheduledTask {
            kind: m.kind.into(),
            name: m.name,
            schedule: m.schedule,
            command: m.command,
            user: m.user,
            config_path: m.config_path,
            enabled: m.enabled,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::ScheduledTask(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::User(by)) => {
                Plan::new(USER, true).ranged(drive("user", by, "query.scheduled_task.user", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.scheduled_task.order", violations, |order| match order {
            ScheduledTaskOrder::User => USER,
            _ => FIRST_SEEN,
        });
        if enumerated::<ScheduleKind>("query.scheduled_task.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        if let Some(enabled) = q.enabled {
            plan = plan.and(Column::Enabled.eq(enabled));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
