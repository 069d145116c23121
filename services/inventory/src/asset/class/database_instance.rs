//! Database servers of a machine; instances only, never contents.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::database_instance_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, DatabaseInstanceOrder, DatabaseKind, TransportProtocol};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, enumerated, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 18] = [
    steady("kind"),
    steady("version"),
    steady("bind_address"),
    steady("port"),
    steady("protocol"),
    steady("user"),
    steady("bin_path"),
    steady("config_path"),
    steady("data_path"),
    steady("log_path"),
    steady("error_log_path"),
    steady("plugin_path"),
    steady("command_line"),
    steady("pid"),
    steady("package_name"),
    steady("container_id"),
    steady("escaped"),
    steady("data_permission"),
];

const FIRST_SEEN: Order =
    Order { index: "asset_database_instance_first_seen", column: "first_seen_at", of: Of::Moment };
const KIND: Order = Order { index: "asset_database_instance_kind", column: "kind", of: Of::Small };
const PORT: Order = Order { index: "asset_database_instance_port", column: "port", of: Of::Unsigned };
static ORDERS: [Order; 3] = [FIRST_SEEN, KIND, PORT];

/// Database servers of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_database_instance")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, kind, bind address, port, bin path, data path.
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
    /// Address that it listens on.
    pub bind_address: String,
    /// Port.
    pub port: u32,
    /// Protocol of the port.
    pub protocol: i16,
    /// User that it runs as.
    pub user: String,
    /// Path of the binary.
    pub bin_path: String,
    /// Path of its configuration.
    pub config_path: String,
    /// Path of its data.
    pub data_path: String,
    /// Path of its log.
    pub log_path: String,
    /// Path of its log of errors.
    pub error_log_path: String,
    /// Path of its plugins.
    pub plugin_path: String,
    /// Command line without secrets.
    pub command_line: String,
    /// Id of its process.
    pub pid: Option<u32>,
    /// Package that it came with.
    pub package_name: String,
    /// Container that it runs in.
    pub container_id: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// Permission bits of the folder of its data in octal.
    pub data_permission: String,
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
pub struct DatabaseInstance;

impl Class for DatabaseInstance {
    fn class(&self) -> AssetClass {
        AssetClass::DatabaseInstance
    }

    fn name(&self) -> &'static str {
        "database_instance"
    }

    fn table(&self) -> &'static str {
        "asset_database_instance"
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
        let Item::DatabaseInstance(a) = item else { return };
        check.given::<DatabaseKind>("database_instance.kind", a.kind);
        check.clip(&mut a.version, 255);
        check.key("database_instance.bind_address", &a.bind_address, 0, 63);
        check.at_most("database_instance.port", a.port, 65535);
        check.known::<TransportProtocol>("database_instance.protocol", a.protocol);
        check.clip(&mut a.user, 255);
        check.key("database_instance.bin_path", &a.bin_path, 0, 4096);
        check.clip(&mut a.config_path, 4096);
        check.key("database_instance.data_path", &a.data_path, 0, 4096);
        check.clip(&mut a.log_path, 4096);
        check.clip(&mut a.error_log_path, 4096);
        check.clip(&mut a.plugin_path, 4096);
        check.command(&mut a.command_line);
        check.clip(&mut a.package_name, 255);
        check.key("database_instance.container_id", &a.container_id, 0, 64);
        check.clip(&mut a.data_permission, 15);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::DatabaseInstance(a) = item else { return };
        key.text(&a.container_id).number(a.kind.into()).text(&a.bind_address).number(a.port.into());
        if a.port == 0 {
            key.text(&a.bin_path).text(&a.data_path);
        }
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::DatabaseInstance(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.version);
        sink.text(&a.bind_address);
        sink.unsigned(a.port);
        sink.small(a.protocol as i16);
        sink.text(&a.user);
        sink.text(&a.bin_path);
        sink.text(&a.config_path);
        sink.text(&a.data_path);
        sink.text(&a.log_path);
        sink.text(&a.error_log_path);
        sink.text(&a.plugin_path);
        sink.text(&a.command_line);
        sink.number(a.pid);
        sink.text(&a.package_name);
        sink.text(&a.container_id);
        sink.flag(Some(a.escaped));
        sink.text(&a.data_permission);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::DatabaseInstance(api::DatabaseInstance {
            kind: m.kind.into(),
            version: m.version,
            bind_address: m.bind_address,
            port: m.port,
            protocol: m.protocol.into(),
            user: m.user,
            bin_path: m.bin_path,
            config_path: m.config_path,
            data_path: m.data_path,
            log_path: m.log_path,
            error_log_path: m.error_log_path,
            plugin_path: m.plugin_path,
            command_line: m.command_line,
            pid: m.pid,
            package_name: m.package_name,
            container_id: m.container_id,
            escaped: m.escaped,
            data_permission: m.data_permission,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::DatabaseInstance(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Kind(by)) => {
                if !enumerated::<DatabaseKind>("query.database_instance.kind", *by, violations) && *by == 0 {
                    violations.push("query.database_instance.kind", "must be given");
                }
                Plan::new(KIND, true).ranged(Condition::all().add(Column::Kind.eq(*by as i16)))
            }
            Some(Driving::Port(by)) => Plan::new(PORT, true).ranged(Condition::all().add(Column::Port.eq(*by))),
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.database_instance.order", violations, |order| match order {
            DatabaseInstanceOrder::Kind => KIND,
            DatabaseInstanceOrder::Port => PORT,
            _ => FIRST_SEEN,
        });
        if enumerated::<DatabaseKind>("query.database_instance.also_kind", q.also_kind, violations) {
            plan = plan.also("kind", Some(q.also_kind as i16));
        }
        plan = plan.also("port", q.also_port);
        if same("query.database_instance.user", &q.user, violations) {
            plan = plan.and(Column::User.eq(q.user.as_str()));
        }
        if enumerated::<TransportProtocol>("query.database_instance.protocol", q.protocol, violations) {
            plan = plan.and(Column::Protocol.eq(q.protocol as i16));
        }
        if same("query.database_instance.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if same("query.database_instance.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
