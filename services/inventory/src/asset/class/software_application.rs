//! Software applications of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::software_application_query::Driving;
use cwpp_contracts::inventory::v1::{ApplicationKind, AssetClass, SoftwareApplicationOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 10] = [
    steady("kind"),
    steady("name"),
    steady("version"),
    steady("bin_path"),
    steady("config_path"),
    steady("process_count"),
    steady("description"),
    steady("package_name"),
    steady("escaped"),
    steady("container_id"),
];

const FIRST_SEEN: Order =
    Order { index: "asset_software_application_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_software_application_name", column: "name", of: Of::Text };
const PROCESS_COUNT: Order =
    Order { index: "asset_software_application_process_count", column: "process_count", of: Of::Unsigned };
static ORDERS: [Order; 3] = [FIRST_SEEN, NAME, PROCESS_COUNT];

/// Software applications of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_software_application")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, name, bin path, config path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// What it is for.
    pub kind: i16,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Path of the binary.
    pub bin_path: String,
    /// Path of its configuration.
    pub config_path: String,
    /// Number of its processes.
    pub process_count: u32,
    /// What it is.
    pub description: String,
    /// Package that it came with.
    pub package_name: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// Container that it is in.
    pub container_id: String,
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
pub struct SoftwareApplication;

impl Class for SoftwareApplication {
    fn class(&self) -> AssetClass {
        AssetClass::SoftwareApplication
    }

    fn name(&self) -> &'static str {
        "software_application"
    }

    fn table(&self) -> &'static str {
        "asset_software_application"
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
        let Item::SoftwareApplication(a) = item else { return };
        check.given::<ApplicationKind>("software_application.kind", a.kind);
        check.key("software_application.name", &a.name, 1, 255);
        check.clip(&mut a.version, 255);
        check.key("software_application.bin_path", &a.bin_path, 0, 4096);
        check.key("software_application.config_path", &a.config_path, 0, 4096);
        check.clip(&mut a.description, 1024);
        check.clip(&mut a.package_name, 255);
        check.key("software_application.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::SoftwareApplication(a) = item else { return };
        key.text(&a.container_id).text(&a.name).text(&a.bin_path).text(&a.config_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::SoftwareApplication(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.name);
        sink.text(&a.version);
        sink.text(&a.bin_path);
        sink.text(&a.config_path);
        sink.unsigned(a.process_count);
        sink.text(&a.description);
        sink.text(&a.package_name);
        sink.flag(Some(a.escaped));
        sink.text(&a.container_id);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::SoftwareApplication(api::SoftwareApplication {
            kind: m.kind.into(),
            name: m.name,
            version: m.version,
            bin_path: m.bin_path,
            config_path: m.config_path,
            process_count: m.process_count,
            description: m.description,
            package_name: m.package_name,
            escaped: m.escaped,
            container_id: m.container_id,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::SoftwareApplication(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.software_application.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.software_application.order", violations, |order| match order {
            SoftwareApplicationOrder::Name => NAME,
            SoftwareApplicationOrder::ProcessCount => PROCESS_COUNT,
            _ => FIRST_SEEN,
        });
        if enumerated::<ApplicationKind>("query.software_application.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        if same("query.software_application.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if same("query.software_application.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
