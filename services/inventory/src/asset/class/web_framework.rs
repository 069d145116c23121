//! Web frameworks of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::web_framework_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, ProgrammingLanguage, WebFrameworkOrder, WebServiceKind};
use cwpp_storage::{Registry, Tenanted};
use cwpp_versions::Ecosystem;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady, volatile};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::asset::sieve::{Bound, Sieve};
use crate::keyset::Of;

static COLUMNS: [Own; 9] = [
    steady("name"),
    steady("version"),
    steady("language"),
    steady("service"),
    steady("path"),
    steady("jar_count"),
    volatile("pid"),
    steady("escaped"),
    steady("container_id"),
];

const FIRST_SEEN: Order = Order { index: "asset_web_framework_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_web_framework_name", column: "name", of: Of::Text };
const JAR_COUNT: Order = Order { index: "asset_web_framework_jar_count", column: "jar_count", of: Of::Unsigned };
static ORDERS: [Order; 3] = [FIRST_SEEN, NAME, JAR_COUNT];

/// Web frameworks of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_web_framework")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, name, version, path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// The language.
    pub language: i16,
    /// The web service that it runs in.
    pub service: i16,
    /// Where it lies.
    pub path: String,
    /// Number of its jar packages.
    pub jar_count: u32,
    /// Id of a process that uses it.
    pub pid: Option<u32>,
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

/// The orders in which versions of frameworks are compared.
const ECOSYSTEMS: [Ecosystem; 3] = [Ecosystem::PyPi, Ecosystem::Maven, Ecosystem::SemVer];

/// Returns where the packages of a language come from, where that is one place.
fn ecosystem(language: ProgrammingLanguage) -> Option<Ecosystem> {
    match language {
        ProgrammingLanguage::Python => Some(Ecosystem::PyPi),
        ProgrammingLanguage::Java => Some(Ecosystem::Maven),
        ProgrammingLanguage::Node => Some(Ecosystem::SemVer),
        _ => None,
    }
}

/// The class.
#[derive(Debug)]
pub struct WebFramework;

impl Class for WebFramework {
    fn class(&self) -> AssetClass {
        AssetClass::WebFramework
    }

    fn name(&self) -> &'static str {
        "web_framework"
    }

    fn table(&self) -> &'static str {
        "asset_web_framework"
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
        let Item::WebFramework(a) = item else { return };
        check.key("web_framework.name", &a.name, 1, 255);
        check.key("web_framework.version", &a.version, 0, 255);
        check.given::<ProgrammingLanguage>("web_framework.language", a.language);
        check.known::<WebServiceKind>("web_framework.service", a.service);
        check.key("web_framework.path", &a.path, 0, 4096);
        check.key("web_framework.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::WebFramework(a) = item else { return };
        key.text(&a.container_id).text(&a.name).text(&a.version).text(&a.path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::WebFramework(a) = item else { return };
        sink.text(&a.name);
        sink.text(&a.version);
        sink.small(a.language as i16);
        sink.small(a.service as i16);
        sink.text(&a.path);
        sink.unsigned(a.jar_count);
        sink.number(a.pid);
        sink.flag(Some(a.escaped));
        sink.text(&a.container_id);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::WebFramework(api::WebFramework {
            name: m.name,
            version: m.version,
            language: m.language.into(),
            service: m.service.into(),
            path: m.path,
            jar_count: m.jar_count,
            pid: m.pid,
            escaped: m.escaped,
            container_id: m.container_id,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::WebFramework(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.web_framework.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.web_framework.order", violations, |order| match order {
            WebFrameworkOrder::Name => NAME,
            WebFrameworkOrder::JarCount => JAR_COUNT,
            _ => FIRST_SEEN,
        });
        if enumerated::<ProgrammingLanguage>("query.web_framework.language", q.language, violations) {
            plan = plan.and(Column::Language.eq(q.language as i16));
        }
        if enumerated::<WebServiceKind>("query.web_framework.service", q.service, violations) {
            plan = plan.and(Column::Service.eq(q.service as i16));
        }
        if same("query.web_framework.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if same("query.web_framework.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        let name = q.driving.as_ref().map(|Driving::Name(by)| by);
        let bound = Bound::read("query.web_framework", &q.version_below, name, &ECOSYSTEMS, violations);
        plan.sift(bound.map(|bound| {
            Sieve::new(move |item| match item {
                Item::WebFramework(f) => ecosystem(f.language()).is_some_and(|of| bound.is_above(of, &f.version)),
                _ => false,
            })
        }))
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
