//! Resources of a machine: its hardware, disk partitions and network interfaces.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::resource_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, ResourceKind, ResourceOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, coarse, drive, enumerated, same, steady, texts};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 19] = [
    steady("kind"),
    steady("name"),
    steady("mount_path"),
    steady("filesystem"),
    steady("size_bytes"),
    coarse("used_bytes"),
    steady("mac_address"),
    steady("ip_addresses"),
    steady("gateway"),
    steady("dns_servers"),
    steady("up"),
    steady("cpu_model"),
    steady("cpu_count"),
    steady("swap_bytes"),
    steady("manufacturer"),
    steady("product_name"),
    steady("serial_number"),
    steady("escaped"),
    steady("partition_count"),
];

const FIRST_SEEN: Order = Order { index: "asset_resource_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_resource_name", column: "name", of: Of::Text };
const PARTITIONS: Order =
    Order { index: "asset_resource_partition_count", column: "partition_count", of: Of::Unsigned };
static ORDERS: [Order; 3] = [FIRST_SEEN, NAME, PARTITIONS];

/// Resources of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_resource")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: kind, name, mount path, mac address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// The kind.
    pub kind: i16,
    /// Name of the device or interface.
    pub name: String,
    /// Where a partition is mounted.
    pub mount_path: String,
    /// File system of a partition.
    pub filesystem: String,
    /// Size of a partition, or of the memory, in bytes.
    pub size_bytes: Option<i64>,
    /// Space in use of a partition, or memory in use, in bytes.
    pub used_bytes: Option<i64>,
    /// MAC address of an interface.
    pub mac_address: String,
    /// Addresses of an interface with prefix length, at most 64.
    pub ip_addresses: Json,
    /// Default gateway of an interface.
    pub gateway: String,
    /// Name servers, at most 16.
    pub dns_servers: Json,
    /// Whether an interface is up.
    pub up: Option<bool>,
    /// Model of the processor.
    pub cpu_model: String,
    /// Number of logical processors.
    pub cpu_count: Option<u32>,
    /// Size of the swap space in bytes.
    pub swap_bytes: Option<i64>,
    /// Maker of the machine.
    pub manufacturer: String,
    /// Model of the machine.
    pub product_name: String,
    /// Serial number of the machine.
    pub serial_number: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// How many partitions the machine has mounted; of the hardware.
    pub partition_count: u32,
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
pub struct Resource;

impl Class for Resource {
    fn class(&self) -> AssetClass {
        AssetClass::Resource
    }

    fn name(&self) -> &'static str {
        "resource"
    }

    fn table(&self) -> &'static str {
        "asset_resource"
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
        let Item::Resource(a) = item else { return };
        check.given::<ResourceKind>("resource.kind", a.kind);
        check.key("resource.name", &a.name, 0, 255);
        check.key("resource.mount_path", &a.mount_path, 0, 4096);
        check.clip(&mut a.filesystem, 63);
        check.size("resource.size_bytes", a.size_bytes);
        check.size("resource.used_bytes", a.used_bytes);
        check.key("resource.mac_address", &a.mac_address, 0, 63);
        check.clip_list(&mut a.ip_addresses, 64);
        a.ip_addresses.iter_mut().for_each(|t| check.clip(t, 63));
        check.clip(&mut a.gateway, 63);
        check.clip_list(&mut a.dns_servers, 16);
        a.dns_servers.iter_mut().for_each(|t| check.clip(t, 63));
        check.clip(&mut a.cpu_model, 255);
        check.size("resource.swap_bytes", a.swap_bytes);
        check.clip(&mut a.manufacturer, 255);
        check.clip(&mut a.product_name, 255);
        check.clip(&mut a.serial_number, 255);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::Resource(a) = item else { return };
        key.number(a.kind.into()).text(&a.name).text(&a.mount_path).text(&a.mac_address);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::Resource(a) = item else { return };
        sink.small(a.kind as i16);
        sink.text(&a.name);
        sink.text(&a.mount_path);
        sink.text(&a.filesystem);
        sink.big(a.size_bytes.map(u64::cast_signed));
        sink.big(a.used_bytes.map(u64::cast_signed));
        sink.text(&a.mac_address);
        sink.texts(&a.ip_addresses);
        sink.text(&a.gateway);
        sink.texts(&a.dns_servers);
        sink.flag(a.up);
        sink.text(&a.cpu_model);
        sink.number(a.cpu_count);
        sink.big(a.swap_bytes.map(u64::cast_signed));
        sink.text(&a.manufacturer);
        sink.text(&a.product_name);
        sink.text(&a.serial_number);
        sink.flag(Some(a.escaped));
        sink.unsigned(a.partition_count);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::Resource(api::Resource {
            kind: m.kind.into(),
            name: m.name,
            mount_path: m.mount_path,
            filesystem: m.filesystem,
            size_bytes: m.size_bytes.map(i64::cast_unsigned),
            used_bytes: m.used_bytes.map(i64::cast_unsigned),
            mac_address: m.mac_address,
            ip_addresses: texts(m.ip_addresses)?,
            gateway: m.gateway,
            dns_servers: texts(m.dns_servers)?,
            up: m.up,
            cpu_model: m.cpu_model,
            cpu_count: m.cpu_count,
            swap_bytes: m.swap_bytes.map(i64::cast_unsigned),
            manufacturer: m.manufacturer,
            product_name: m.product_name,
            serial_number: m.serial_number,
            escaped: m.escaped,
            partition_count: m.partition_count,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::Resource(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.resource.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.resource.order", violations, |order| match order {
            ResourceOrder::Name => NAME,
            ResourceOrder::PartitionCount => PARTITIONS,
            _ => FIRST_SEEN,
        });
        if enumerated::<ResourceKind>("query.resource.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        if same("query.resource.filesystem", &q.filesystem, violations) {
            plan = plan.and(Column::Filesystem.eq(q.filesystem.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
