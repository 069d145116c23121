//! Jar packages of a machine.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::jar_package_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, JarKind, JarPackageOrder};
use cwpp_storage::{Registry, Tenanted};
use cwpp_versions::Ecosystem;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{
    Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, records, same, steady, volatile,
};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::asset::sieve::{Bound, Sieve};
use crate::keyset::Of;

static COLUMNS: [Own; 12] = [
    steady("name"),
    steady("version"),
    steady("group_id"),
    steady("path"),
    steady("inner_path"),
    steady("sha256"),
    steady("kind"),
    steady("executable"),
    steady("purl"),
    volatile("processes"),
    steady("escaped"),
    steady("container_id"),
];

const FIRST_SEEN: Order = Order { index: "asset_jar_package_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_jar_package_name", column: "name", of: Of::Text };
static ORDERS: [Order; 2] = [FIRST_SEEN, NAME];

/// Jar packages of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_jar_package")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: container, path, inner path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Name: the artifact, else the file name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Maven group.
    pub group_id: String,
    /// Path of the outermost file.
    pub path: String,
    /// Path inside it, with ! between levels.
    pub inner_path: String,
    /// SHA-256 of the archive (32 bytes).
    pub sha256: Vec<u8>,
    /// What it belongs to.
    pub kind: i16,
    /// Whether it names a main class.
    pub executable: Option<bool>,
    /// Package URL.
    pub purl: String,
    /// Processes that loaded it, at most 64.
    pub processes: Json,
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

fn jar_process_texts(r: &api::JarProcess) -> Vec<String> {
    vec![r.pid.to_string(), r.name.clone()]
}

fn jar_process(texts: Vec<String>) -> api::JarProcess {
    let mut texts = texts.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    api::JarProcess { pid: next().parse().unwrap_or_default(), name: next() }
}

/// The class.
#[derive(Debug)]
pub struct JarPackage;

impl Class for JarPackage {
    fn class(&self) -> AssetClass {
        AssetClass::JarPackage
    }

    fn name(&self) -> &'static str {
        "jar_package"
    }

    fn table(&self) -> &'static str {
        "asset_jar_package"
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
        let Item::JarPackage(a) = item else { return };
        check.clip(&mut a.name, 255);
        check.clip(&mut a.version, 255);
        check.clip(&mut a.group_id, 255);
        check.key("jar_package.path", &a.path, 1, 4096);
        check.key("jar_package.inner_path", &a.inner_path, 0, 4096);
        check.bytes("jar_package.sha256", &a.sha256, 32);
        check.known::<JarKind>("jar_package.kind", a.kind);
        check.clip(&mut a.purl, 1024);
        check.clip_list(&mut a.processes, 64);
        for r in &mut a.processes {
            check.clip(&mut r.name, 1024);
        }
        check.key("jar_package.container_id", &a.container_id, 0, 64);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::JarPackage(a) = item else { return };
        key.text(&a.container_id).text(&a.path).text(&a.inner_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::JarPackage(a) = item else { return };
        sink.text(&a.name);
        sink.text(&a.version);
        sink.text(&a.group_id);
        sink.text(&a.path);
        sink.text(&a.inner_path);
        sink.bytes(&a.sha256);
        sink.small(a.kind as i16);
        sink.flag(a.executable);
        sink.text(&a.purl);
        sink.records(&a.processes.iter().map(jar_process_texts).collect::<Vec<_>>());
        sink.flag(Some(a.escaped));
        sink.text(&a.container_id);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::JarPackage(api::JarPackage {
            name: m.name,
            version: m.version,
            group_id: m.group_id,
            path: m.path,
            inner_path: m.inner_path,
            sha256: m.sha256,
            kind: m.kind.into(),
            executable: m.executable,
            purl: m.purl,
            processes: records(m.processes, jar_process)?,
            escaped: m.escaped,
            container_id: m.container_id,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::JarPackage(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.jar_package.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.jar_package.order", violations, |order| match order {
            JarPackageOrder::Name => NAME,
            _ => FIRST_SEEN,
        });
        if same("query.jar_package.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if enumerated::<JarKind>("query.jar_package.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        if let Some(executable) = q.executable {
            plan = plan.and(Column::Executable.eq(executable));
        }
        if same("query.jar_package.container_id", &q.container_id, violations) {
            plan = plan.and(Column::ContainerId.eq(q.container_id.as_str()));
        }
        let name = q.driving.as_ref().map(|Driving::Name(by)| by);
        let bound = Bound::read("query.jar_package", &q.version_below, name, &[Ecosystem::Maven], violations);
        plan.sift(bound.map(|bound| {
            Sieve::new(move |item| match item {
                Item::JarPackage(p) => bound.is_above(Ecosystem::Maven, &p.version),
                _ => false,
            })
        }))
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
