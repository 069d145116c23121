//! Services that start with a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::startup_service_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, StartupKind, StartupServiceOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 10] = [
    steady("kind"),
    steady("name"),
    steady("path"),
    steady("user"),
    steady("enabled"),
    steady("auto_run"),
    steady("state"),
    steady("description"),
    steady("command_line"),
    steady("escaped"),
];

const FIRST_SEEN: Order = Order { index: "asset_startup_service_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_startup_service_name", column: "name", of: Of::Text };
const USER: Order = Order { index: "asset_startup_service_user", column: "user", of: Of::Text };
static ORDERS: [Order; 3] = [FIRST_SEEN, NAME, USER];

/// Services that start with a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_startup_service")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: kind, name, path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Who starts it.
    pub kind: i16,
    /// Name.
    pub name: String,
    /// Path of its unit or script.
    pub path: String,
    /// User that it runs as.
    pub user: String,
    /// Whether it may be started.
    pub enabled: Option<bool>,
    /// Whether it starts with the machine.
    pub auto_run: Option<bool>,
    /// State of its unit file, for example "enabled", "static", "masked".
    pub state: String,
    /// What it is.
    pub description: String,
    /// What it starts without secrets.
    pub command_line: String,
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
pub struct StartupService;

impl Class for StartupService {
    fn class(&self) -> AssetClass {
        AssetClass::StartupService
    }

    fn name(&self) -> &'static str {
        "startup_service"
    }

    fn table(&self) -> &'static str {
        "asset_startup_service"
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
        let Item::StartupService(a) = item else { return };
        check.given::<StartupKind>("startup_service.kind", a.kind);
        check.key("startup_service.name", &a.name, 1, 255);
        check.key("startup_service.path", &a.path, 0, 4096);
        check.clip(&mut a.user, 255);
        check.clip(&mut a.state, 63);
        check.clip(&mut a.description, 1024);
        check.command(&mut a.command_line);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::StartupService(a) = item else { return };
        key.number(a.kind.into()).text(&a.name).text(&a.path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::StartupService(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.name);
        sink.text(&a.path);
        sink.text(&a.user);
        sink.flag(a.enabled);
        sink.flag(a.auto_run);
        sink.text(&a.state);
        sink.text(&a.description);
        sink.text(&a.command_line);
        sink.flag(Some(a.escaped));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::StartupService(api::StartupService {
            kind: m.kind.into(),
            name: m.name,
            path: m.path,
            user: m.user,
            enabled: m.enabled,
            auto_run: m.auto_run,
            state: m.state,
            description: m.description,
            command_line: m.command_line,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::StartupService(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.startup_service.name", violations))
            }
            Some(Driving::User(by)) => {
                Plan::new(USER, true).ranged(drive("user", by, "query.startup_service.user", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.startup_service.order", violations, |order| match order {
            StartupServiceOrder::Name => NAME,
            StartupServiceOrder::User => USER,
            _ => FIRST_SEEN,
        });
        plan = plan.also_text("name", q.also_name.as_ref(), "query.startup_service.also_name", violations);
        plan = plan.also_text("user", q.also_user.as_ref(), "query.startup_service.also_user", violations);
        if enumerated::<StartupKind>("query.startup_service.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        if let Some(enabled) = q.enabled {
            plan = plan.and(Column::Enabled.eq(enabled));
        }
        if let Some(auto_run) = q.auto_run {
            plan = plan.and(Column::AutoRun.eq(auto_run));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
