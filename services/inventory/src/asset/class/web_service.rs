//! Web services of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::web_service_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, WebServiceKind, WebServiceOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, enumerated, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 10] = [
    steady("kind"),
    steady("version"),
    steady("bin_path"),
    steady("install_path"),
    steady("config_path"),
    steady("user"),
    steady("process_count"),
    steady("package_name"),
    steady("container_id"),
    steady("escaped"),
];

const FIRST_SEEN: Order = Order { index: "asset_web_service_first_seen", column: "first_seen_at", of: Of::Moment };
const KIND: Order = Order { index: "asset_web_service_kind", column: "kind", of: Of::Small };
const PROCESS_COUNT: Order =
    Order { index: "asset_web_service_process_count", column: "process_count", of: Of::Unsigned };
static ORDERS: [Order; 3] = [FIRST_SEEN, KIND, PROCESS_COUNT];

/// Web services of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_web_service")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, kind, bin path, config path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// The product.
    pub kind: i16,
    /// Version.
    pub version: String,
    /// Path of the binary.
    pub bin_path: String,
    /// Folder of the installation.
    pub install_path: String,
    /// Path of its configuration.
    pub config_path: String,
    /// User that it runs as.
    pub user: String,
    /// Number of its processes.
    pub process_count: u32,
    /// Package that it came with.
    pub package_name: String,
    /// Container that it runs in.
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
pub struct WebService;

impl Class for WebService {
    fn class(&self) -> AssetClass {
        AssetClass::WebService
    }

    fn name(&self) -> &'static str {
        "web_service"
    }

    fn table(&self) -> &'static str {
        "asset_web_service"
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
        "kind"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::WebService(a) = item else { return };
        check.given::<WebServiceKind>("web_service.kind", a.kind);
        check.clip(&mut a.version, 255);
        check.key("web_service.bin_path", &a.bin_path, 0, 4096);
        check.clip(&mut a.install_path, 4096);
        check.key("web_service.config_path", &a.config_path, 0, 4096);
        check.clip(&mut a.user, 255);
        check.clip(&mut a.package_name, 255);
        check.key("web_service.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::WebService(a) = item else { return };
        key.text(&a.container_id).number(a.kind.into()).text(&a.bin_path).text(&a.config_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::WebService(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.version);
        sink.text(&a.bin_path);
        sink.text(&a.install_path);
        sink.text(&a.config_path);
        sink.text(&a.user);
        sink.unsigned(a.process_count);
        sink.text(&a.package_name);
        sink.text(&a.container_id);
        sink.flag(Some(a.escaped));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::WebService(api::WebService {
            kind: m.kind.into(),
            version: m.version,
            bin_path: m.bin_path,
            install_path: m.install_path,
            config_path: m.config_path,
            user: m.user,
            process_count: m.process_count,
            package_name: m.package_name,
            container_id: m.container_id,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::WebService(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Kind(by)) => {
                if !enumerated::<WebServiceKind>("query.web_service.kind", *by, violations) && *by == 0 {
                    violations.push("query.web_service.kind", "must be given");
                }
                Plan::new(KIND, true).ranged(Condition::all().add(Column::Kind.eq(*by as i16)))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.web_service.order", violations, |order| match order {
            WebServiceOrder::Kind => KIND,
            WebServiceOrder::ProcessCount => PROCESS_COUNT,
            _ => FIRST_SEEN,
        });
        if same("query.web_service.user", &q.user, violations) {
            plan = plan.and(Column::User.eq(q.user.as_str()));
        }
        if same("query.web_service.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if same("query.web_service.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
