//! Web applications of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::web_application_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, WebApplicationOrder, WebServiceKind};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, records, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 11] = [
    steady("name"),
    steady("version"),
    steady("root_path"),
    steady("service"),
    steady("domain"),
    steady("virtual_path"),
    steady("plugins"),
    steady("plugin_count"),
    steady("user"),
    steady("escaped"),
    steady("container_id"),
];

const FIRST_SEEN: Order = Order { index: "asset_web_application_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_web_application_name", column: "name", of: Of::Text };
const DOMAIN: Order = Order { index: "asset_web_application_domain", column: "domain", of: Of::Text };
const PLUGIN_COUNT: Order =
    Order { index: "asset_web_application_plugin_count", column: "plugin_count", of: Of::Unsigned };
static ORDERS: [Order; 4] = [FIRST_SEEN, NAME, DOMAIN, PLUGIN_COUNT];

/// Web applications of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_web_application")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, name, root path, domain, virtual path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Name, for example "WordPress".
    pub name: String,
    /// Version.
    pub version: String,
    /// Root folder.
    pub root_path: String,
    /// The web service that serves it.
    pub service: i16,
    /// Domain.
    pub domain: String,
    /// Path below the domain.
    pub virtual_path: String,
    /// Plugins, at most 500.
    pub plugins: Json,
    /// Number of plugins found.
    pub plugin_count: u32,
    /// Owner of the root folder.
    pub user: String,
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

fn web_plugin_texts(r: &api::WebPlugin) -> Vec<String> {
    vec![r.name.clone(), r.version.clone(), r.description.clone(), r.link.clone()]
}

fn web_plugin(texts: Vec<String>) -> api::WebPlugin {
    let mut texts = texts.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    api::WebPlugin { name: next(), version: next(), description: next(), link: next() }
}

/// The class.
#[derive(Debug)]
pub struct WebApplication;

impl Class for WebApplication {
    fn class(&self) -> AssetClass {
        AssetClass::WebApplication
    }

    fn name(&self) -> &'static str {
        "web_application"
    }

    fn table(&self) -> &'static str {
        "asset_web_application"
    }

    fn revision(&self) -> u32 {
        2
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
        let Item::WebApplication(a) = item else { return };
        check.key("web_application.name", &a.name, 1, 255);
        check.clip(&mut a.version, 255);
        check.key("web_application.root_path", &a.root_path, 0, 4096);
        check.known::<WebServiceKind>("web_application.service", a.service);
        check.key("web_application.domain", &a.domain, 0, 255);
        check.key("web_application.virtual_path", &a.virtual_path, 0, 1024);
        check.clip_list(&mut a.plugins, 500);
        for r in &mut a.plugins {
            check.redact(&mut r.link);
            for text in [&mut r.name, &mut r.version, &mut r.description, &mut r.link] {
                check.clip(text, 1024);
            }
        }
        check.clip(&mut a.user, 255);
        check.key("web_application.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::WebApplication(a) = item else { return };
        key.text(&a.container_id).text(&a.name).text(&a.root_path).text(&a.domain).text(&a.virtual_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::WebApplication(a) = item else { return };
        sink.text(&a.name);
        sink.text(&a.version);
        sink.text(&a.root_path);
        sink.small(a.service as i16);
        sink.text(&a.domain);
        sink.text(&a.virtual_path);
        sink.records(&a.plugins.iter().map(web_plugin_texts).collect::<Vec<_>>());
        sink.unsigned(a.plugin_count);
        sink.text(&a.user);
        sink.flag(Some(a.escaped));
        sink.text(&a.container_id);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::WebApplication(api::WebApplication {
            name: m.name,
            version: m.version,
            root_path: m.root_path,
            service: m.service.into(),
            domain: m.domain,
            virtual_path: m.virtual_path,
            plugins: records(m.plugins, web_plugin)?,
            plugin_count: m.plugin_count,
            user: m.user,
            escaped: m.escaped,
            container_id: m.container_id,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::WebApplication(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.web_application.name", violations))
            }
            Some(Driving::Domain(by)) => {
                Plan::new(DOMAIN, true).ranged(drive("domain", by, "query.web_application.domain", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.web_application.order", violations, |order| match order {
            WebApplicationOrder::Name => NAME,
            WebApplicationOrder::Domain => DOMAIN,
            WebApplicationOrder::PluginCount => PLUGIN_COUNT,
            _ => FIRST_SEEN,
        });
        plan = plan.also_text("name", q.also_name.as_ref(), "query.web_application.also_name", violations);
        plan = plan.also_text("domain", q.also_domain.as_ref(), "query.web_application.also_domain", violations);
        if enumerated::<WebServiceKind>("query.web_application.service", q.service, violations) {
            plan = plan.and(Column::Service.eq(q.service as i16));
        }
        if same("query.web_application.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if same("query.web_application.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
