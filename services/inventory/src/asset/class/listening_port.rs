//! Ports on which programs of a machine listen.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::listening_port_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, ListeningPortOrder, TransportProtocol};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady, volatile, within};
use crate::asset::check::{Check, instant, timestamp};
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 19] = [
    steady("protocol"),
    steady("bind_address"),
    steady("port"),
    steady("pid"),
    steady("process_name"),
    steady("process_path"),
    steady("command_line"),
    steady("user"),
    steady("group_name"),
    steady("parent_pid"),
    steady("parent_name"),
    volatile("start_at"),
    steady("package_name"),
    steady("package_version"),
    steady("container_id"),
    steady("escaped"),
    steady("sha256"),
    steady("terminal"),
    steady("own_network"),
];

const FIRST_SEEN: Order = Order { index: "asset_listening_port_first_seen", column: "first_seen_at", of: Of::Moment };
const PORT: Order = Order { index: "asset_listening_port_port", column: "port", of: Of::Unsigned };
const PROCESS_NAME: Order = Order { index: "asset_listening_port_process_name", column: "process_name", of: Of::Text };
const STARTED: Order = Order { index: "asset_listening_port_started", column: "start_at", of: Of::Time };
static ORDERS: [Order; 4] = [FIRST_SEEN, PORT, PROCESS_NAME, STARTED];

/// Ports on which programs of a machine listen, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_listening_port")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: protocol, bind address, port, process path, and in a network of its own the container, or
    /// that there is none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// The protocol.
    pub protocol: i16,
    /// Address that is listened on, as text without port.
    pub bind_address: String,
    /// The port, 0 to 65,535.
    pub port: u32,
    /// Id of the process.
    pub pid: Option<u32>,
    /// Name of the process.
    pub process_name: String,
    /// Path of its executable.
    pub process_path: String,
    /// Its command line without secrets.
    pub command_line: String,
    /// User that it runs as.
    pub user: String,
    /// Group that it runs as.
    pub group_name: String,
    /// Id of its parent.
    pub parent_pid: Option<u32>,
    /// Name of its parent.
    pub parent_name: String,
    /// When it was started.
    pub start_at: Option<DateTimeUtc>,
    /// Package that owns the executable.
    pub package_name: String,
    /// Version of that package.
    pub package_version: String,
    /// Container that it runs in.
    pub container_id: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// SHA-256 of the executable (32 bytes).
    pub sha256: Vec<u8>,
    /// Terminal.
    pub terminal: String,
    /// Whether it is in a network of its own.
    pub own_network: bool,
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
pub struct ListeningPort;

impl Class for ListeningPort {
    fn class(&self) -> AssetClass {
        AssetClass::ListeningPort
    }

    fn name(&self) -> &'static str {
        "listening_port"
    }

    fn table(&self) -> &'static str {
        "asset_listening_port"
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
        "port"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::ListeningPort(a) = item else { return };
        check.given::<TransportProtocol>("listening_port.protocol", a.protocol);
        check.key("listening_port.bind_address", &a.bind_address, 1, 63);
        check.at_most("listening_port.port", a.port, 65535);
        check.clip(&mut a.process_name, 255);
        check.key("listening_port.process_path", &a.process_path, 0, 4096);
        check.command(&mut a.command_line);
        check.clip(&mut a.user, 255);
        check.clip(&mut a.group_name, 255);
        check.clip(&mut a.parent_name, 255);
        check.time("listening_port.start_time", &mut a.start_time);
        check.clip(&mut a.package_name, 255);
        check.clip(&mut a.package_version, 255);
        check.key("listening_port.container_id", &a.container_id, 0, 64);
        check.bytes("listening_port.sha256", &a.sha256, 32);
        check.clip(&mut a.terminal, 63);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::ListeningPort(a) = item else { return };
        let key = key.number(a.protocol.into()).text(&a.bind_address).number(a.port.into()).text(&a.process_path);
        // In the host's network a container that is started anew listens on the same port as before. An empty text is one
        // more part, so that a network of its own without a container is not the host's.
        if a.own_network {
            key.text(&a.container_id);
        }
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::ListeningPort(a) = item else { return };
        sink.small(a.protocol as i16);
        sink.text(&a.bind_address);
        sink.unsigned(a.port);
        sink.number(a.pid);
        sink.text(&a.process_name);
        sink.text(&a.process_path);
        sink.text(&a.command_line);
        sink.text(&a.user);
        sink.text(&a.group_name);
        sink.number(a.parent_pid);
        sink.text(&a.parent_name);
        sink.time(instant(a.start_time));
        sink.text(&a.package_name);
        sink.text(&a.package_version);
        sink.text(&a.container_id);
        sink.flag(Some(a.escaped));
        sink.bytes(&a.sha256);
        sink.text(&a.terminal);
        sink.flag(Some(a.own_network));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::ListeningPort(api::ListeningPort {
            protocol: m.protocol.into(),
            bind_address: m.bind_address,
            port: m.port,
            pid: m.pid,
            process_name: m.process_name,
            process_path: m.process_path,
            command_line: m.command_line,
            user: m.user,
            group_name: m.group_name,
            parent_pid: m.parent_pid,
            parent_name: m.parent_name,
            start_time: m.start_at.map(timestamp),
            package_name: m.package_name,
            package_version: m.package_version,
            container_id: m.container_id,
            escaped: m.escaped,
            sha256: m.sha256,
            terminal: m.terminal,
            own_network: m.own_network,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::ListeningPort(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Port(by)) => Plan::new(PORT, true).ranged(Condition::all().add(Column::Port.eq(*by))),
            Some(Driving::ProcessName(by)) => Plan::new(PROCESS_NAME, true).ranged(drive(
                "process_name",
                by,
                "query.listening_port.process_name",
                violations,
            )),
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.listening_port.order", violations, |order| match order {
            ListeningPortOrder::Port => PORT,
            ListeningPortOrder::ProcessName => PROCESS_NAME,
            ListeningPortOrder::StartTime => STARTED,
            _ => FIRST_SEEN,
        });
        plan = plan.also("port", q.also_port);
        plan = plan.also_text(
            "process_name",
            q.also_process_name.as_ref(),
            "query.listening_port.also_process_name",
            violations,
        );
        if enumerated::<TransportProtocol>("query.listening_port.protocol", q.protocol, violations) {
            plan = plan.and(Column::Protocol.eq(q.protocol as i16));
        }
        if same("query.listening_port.bind_address", &q.bind_address, violations) {
            plan = plan.and(Column::BindAddress.eq(q.bind_address.as_str()));
        }
        if same("query.listening_port.user", &q.user, violations) {
            plan = plan.and(Column::User.eq(q.user.as_str()));
        }
        if let Some(pid) = q.pid {
            plan = plan.and(Column::Pid.eq(pid));
        }
        if let Some(parent_pid) = q.parent_pid {
            plan = plan.and(Column::ParentPid.eq(parent_pid));
        }
        if same("query.listening_port.group_name", &q.group_name, violations) {
            plan = plan.and(Column::GroupName.eq(q.group_name.as_str()));
        }
        if let Some(own_network) = q.own_network {
            plan = plan.and(Column::OwnNetwork.eq(own_network));
        }
        if same("query.listening_port.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        plan.span("start_at", within("query.listening_port.started", q.started_from, q.started_until, violations))
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_its_own_is_told_from_the_hosts_with_and_without_a_container() {
        let key = |own_network: bool, container: &str| {
            let port = api::ListeningPort { own_network, container_id: container.to_owned(), ..Default::default() };
            let mut key = NaturalKey::default();
            ListeningPort.natural_key(&Item::ListeningPort(port), key.start(AssetClass::ListeningPort));
            key.finish()
        };
        assert_eq!(key(false, ""), key(false, "a"));
        assert_ne!(key(false, ""), key(true, ""));
        assert_ne!(key(true, ""), key(true, "a"));
    }
}
