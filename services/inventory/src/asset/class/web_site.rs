//! Web sites of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::web_site_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, WebProtocol, WebServiceKind, WebSiteOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, records, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 15] = [
    steady("domain"),
    steady("port"),
    steady("protocol"),
    steady("bind_address"),
    steady("service"),
    steady("root_path"),
    steady("root_owner"),
    steady("root_permission"),
    steady("user"),
    steady("config_path"),
    steady("command_line"),
    steady("paths"),
    steady("path_count"),
    steady("escaped"),
    steady("container_id"),
];

const FIRST_SEEN: Order = Order { index: "asset_web_site_first_seen", column: "first_seen_at", of: Of::Moment };
const DOMAIN: Order = Order { index: "asset_web_site_domain", column: "domain", of: Of::Text };
const PORT: Order = Order { index: "asset_web_site_port", column: "port", of: Of::Unsigned };
const PATH_COUNT: Order = Order { index: "asset_web_site_path_count", column: "path_count", of: Of::Unsigned };
static ORDERS: [Order; 4] = [FIRST_SEEN, DOMAIN, PORT, PATH_COUNT];

/// Web sites of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_web_site")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, domain, port, protocol, bind address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Domain.
    pub domain: String,
    /// Port.
    pub port: u32,
    /// Protocol.
    pub protocol: i16,
    /// Address that it is bound to.
    pub bind_address: String,
    /// The web service that serves it.
    pub service: i16,
    /// Root folder.
    pub root_path: String,
    /// Owner of the root folder.
    pub root_owner: String,
    /// Permission bits of the root folder in octal.
    pub root_permission: String,
    /// User that the service runs as.
    pub user: String,
    /// Path of its configuration.
    pub config_path: String,
    /// Command line of the service without secrets.
    pub command_line: String,
    /// Paths, at most 500.
    pub paths: Json,
    /// Number of paths found.
    pub path_count: u32,
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

fn web_site_path_texts(r: &api::WebSitePath) -> Vec<String> {
    vec![r.virtual_path.clone(), r.real_path.clone(), r.owner.clone(), r.group.clone(), r.permission.clone()]
}

fn web_site_path(texts: Vec<String>) -> api::WebSitePath {
    let mut texts = texts.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    api::WebSitePath { virtual_path: next(), real_path: next(), owner: next(), group: next(), permission: next() }
}

/// The class.
#[derive(Debug)]
pub struct WebSite;

impl Class for WebSite {
    fn class(&self) -> AssetClass {
        AssetClass::WebSite
    }

    fn name(&self) -> &'static str {
        "web_site"
    }

    fn table(&self) -> &'static str {
        "asset_web_site"
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
        "domain"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::WebSite(a) = item else { return };
        check.key("web_site.domain", &a.domain, 0, 255);
        check.at_most("web_site.port", a.port, 65535);
        check.given::<WebProtocol>("web_site.protocol", a.protocol);
        check.key("web_site.bind_address", &a.bind_address, 0, 63);
        check.known::<WebServiceKind>("web_site.service", a.service);
        check.clip(&mut a.root_path, 4096);
        check.clip(&mut a.root_owner, 255);
        check.clip(&mut a.root_permission, 15);
        check.clip(&mut a.user, 255);
        check.clip(&mut a.config_path, 4096);
        check.command(&mut a.command_line);
        check.clip_list(&mut a.paths, 500);
        for r in &mut a.paths {
            for text in [&mut r.virtual_path, &mut r.real_path, &mut r.owner, &mut r.group, &mut r.permission] {
                check.clip(text, 1024);
            }
        }
        check.key("web_site.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::WebSite(a) = item else { return };
        key.text(&a.container_id).text(&a.domain).number(a.port.into()).number(a.protocol.into()).text(&a.bind_address);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::WebSite(a) = item else { return };
        sink.text(&a.domain);
        sink.unsigned(a.port);
        sink.small(a.protocol as i16);
        sink.text(&a.bind_address);
        sink.small(a.service as i16);
        sink.text(&a.root_path);
        sink.text(&a.root_owner);
        sink.text(&a.root_permission);
        sink.text(&a.user);
        sink.text(&a.config_path);
        sink.text(&a.command_line);
        sink.records(&a.paths.iter().map(web_site_path_texts).collect::<Vec<_>>());
        sink.unsigned(a.path_count);
        sink.flag(Some(a.escaped));
        sink.text(&a.container_id);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::WebSite(api::WebSite {
            domain: m.domain,
            port: m.port,
            protocol: m.protocol.into(),
            bind_address: m.bind_address,
            service: m.service.into(),
            root_path: m.root_path,
            root_owner: m.root_owner,
            root_permission: m.root_permission,
            user: m.user,
            config_path: m.config_path,
            command_line: m.command_line,
            paths: records(m.paths, web_site_path)?,
            path_count: m.path_count,
            escaped: m.escaped,
            container_id: m.container_id,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::WebSite(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Domain(by)) => {
                Plan::new(DOMAIN, true).ranged(drive("domain", by, "query.web_site.domain", violations))
            }
            Some(Driving::Port(by)) => Plan::new(PORT, true).ranged(Condition::all().add(Column::Port.eq(*by))),
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.web_site.order", violations, |order| match order {
            WebSiteOrder::Domain => DOMAIN,
            WebSiteOrder::Port => PORT,
            WebSiteOrder::PathCount => PATH_COUNT,
            _ => FIRST_SEEN,
        });
        plan = plan.also_text("domain", q.also_domain.as_ref(), "query.web_site.also_domain", violations);
        plan = plan.also("port", q.also_port);
        if enumerated::<WebProtocol>("query.web_site.protocol", q.protocol, violations) {
            plan = plan.and(Column::Protocol.eq(q.protocol as i16));
        }
        if enumerated::<WebServiceKind>("query.web_site.service", q.service, violations) {
            plan = plan.and(Column::Service.eq(q.service as i16));
        }
        if same("query.web_site.user", &q.user, violations) {
            plan = plan.and(Column::User.eq(q.user.as_str()));
        }
        if same("query.web_site.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
