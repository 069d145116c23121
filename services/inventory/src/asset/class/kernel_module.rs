//! Kernel modules of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::kernel_module_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, KernelModuleOrder};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, records, same, steady, texts, volatile};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 11] = [
    steady("name"),
    steady("description"),
    steady("path"),
    steady("version"),
    steady("size_bytes"),
    volatile("use_count"),
    steady("dependencies"),
    volatile("used_by"),
    volatile("parameters"),
    steady("escaped"),
    steady("dependency_count"),
];

const FIRST_SEEN: Order = Order { index: "asset_kernel_module_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_kernel_module_name", column: "name", of: Of::Text };
const SIZE: Order = Order { index: "asset_kernel_module_size", column: "size_bytes", of: Of::Unsigned };
const DEPENDENCIES: Order =
    Order { index: "asset_kernel_module_dependency_count", column: "dependency_count", of: Of::Unsigned };
static ORDERS: [Order; 4] = [FIRST_SEEN, NAME, SIZE, DEPENDENCIES];

/// Kernel modules of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_kernel_module")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: name.
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
    /// What it is.
    pub description: String,
    /// Path of its file.
    pub path: String,
    /// Version.
    pub version: String,
    /// Size in memory in bytes.
    pub size_bytes: u32,
    /// How often it is in use.
    pub use_count: Option<u32>,
    /// Modules that it needs, at most 256.
    pub dependencies: Json,
    /// Modules that need it, at most 256.
    pub used_by: Json,
    /// Parameters, at most 256.
    pub parameters: Json,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// How many modules it needs.
    pub dependency_count: u32,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

fn module_parameter_texts(r: &api::ModuleParameter) -> Vec<String> {
    vec![r.name.clone(), r.value.clone()]
}

fn module_parameter(texts: Vec<String>) -> api::ModuleParameter {
    let mut texts = texts.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    api::ModuleParameter { name: next(), value: next() }
}

/// The class.
#[derive(Debug)]
pub struct KernelModule;

impl Class for KernelModule {
    fn class(&self) -> AssetClass {
        AssetClass::KernelModule
    }

    fn name(&self) -> &'static str {
        "kernel_module"
    }

    fn table(&self) -> &'static str {
        "asset_kernel_module"
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
        let Item::KernelModule(a) = item else { return };
        check.key("kernel_module.name", &a.name, 1, 255);
        check.clip(&mut a.description, 1024);
        check.clip(&mut a.path, 4096);
        check.clip(&mut a.version, 255);
        check.clip_list(&mut a.dependencies, 256);
        a.dependencies.iter_mut().for_each(|t| check.clip(t, 255));
        check.clip_list(&mut a.used_by, 256);
        a.used_by.iter_mut().for_each(|t| check.clip(t, 255));
        check.clip_list(&mut a.parameters, 256);
        for r in &mut a.parameters {
            r.value = cwpp_redaction::named(&r.name, &r.value);
            for text in [&mut r.name, &mut r.value] {
                check.clip(text, 1024);
            }
        }
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::KernelModule(a) = item else { return };
        key.text(&a.name);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::KernelModule(a) = item else { return };
        sink.text(&a.name);
        sink.text(&a.description);
        sink.text(&a.path);
        sink.text(&a.version);
        sink.unsigned(a.size_bytes);
        sink.number(a.use_count);
        sink.texts(&a.dependencies);
        sink.texts(&a.used_by);
        sink.records(&a.parameters.iter().map(module_parameter_texts).collect::<Vec<_>>());
        sink.flag(Some(a.escaped));
        sink.unsigned(u32::try_from(a.dependencies.len()).unwrap_or(u32::MAX));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::KernelModule(api::KernelModule {
            name: m.name,
            description: m.description,
            path: m.path,
            version: m.version,
            size_bytes: m.size_bytes,
            use_count: m.use_count,
            dependencies: texts(m.dependencies)?,
            used_by: texts(m.used_by)?,
            parameters: records(m.parameters, module_parameter)?,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::KernelModule(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.kernel_module.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.kernel_module.order", violations, |order| match order {
            KernelModuleOrder::Name => NAME,
            KernelModuleOrder::SizeBytes => SIZE,
            KernelModuleOrder::DependencyCount => DEPENDENCIES,
            _ => FIRST_SEEN,
        });
        if same("query.kernel_module.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
