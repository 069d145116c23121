//! Packages of the package managers, and distributions of Python.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::system_package_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, PackageKind, SystemPackageOrder};
use cwpp_storage::{Registry, Tenanted};
use cwpp_versions::Ecosystem;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady, within};
use crate::asset::check::{Check, instant, timestamp};
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::asset::sieve::{Bound, Sieve};
use crate::keyset::Of;

static COLUMNS: [Own; 11] = [
    steady("kind"),
    steady("name"),
    steady("version"),
    steady("architecture"),
    steady("source_name"),
    steady("source_version"),
    steady("installed_at"),
    steady("purl"),
    steady("escaped"),
    steady("description"),
    steady("path"),
];

const FIRST_SEEN: Order = Order { index: "asset_system_package_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_system_package_name", column: "name", of: Of::Text };
const INSTALLED: Order = Order { index: "asset_system_package_installed", column: "installed_at", of: Of::Time };
static ORDERS: [Order; 3] = [FIRST_SEEN, NAME, INSTALLED];

/// A package as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_system_package")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: kind, name, architecture, version, path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// The package manager (`PackageKind`).
    pub kind: i16,
    /// Name.
    pub name: String,
    /// Version as the package manager writes it.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// Name of the source package.
    pub source_name: String,
    /// Version of the source package.
    pub source_version: String,
    /// When it was installed or upgraded.
    pub installed_at: Option<DateTimeUtc>,
    /// Package URL.
    pub purl: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// What it is, in one line.
    pub description: String,
    /// Folder that it is installed in, of PyPI.
    pub path: String,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// The orders of versions that come into question where no kind is asked for.
const ANY: [Ecosystem; 3] = [Ecosystem::Dpkg, Ecosystem::Rpm, Ecosystem::PyPi];

/// Returns whose order of versions a package manager has.
fn ecosystem(kind: i32) -> Option<Ecosystem> {
    match PackageKind::try_from(kind).ok()? {
        PackageKind::Unspecified => None,
        PackageKind::Rpm => Some(Ecosystem::Rpm),
        PackageKind::Dpkg => Some(Ecosystem::Dpkg),
        PackageKind::Pypi => Some(Ecosystem::PyPi),
    }
}

/// The class.
#[derive(Debug)]
pub struct SystemPackage;

impl Class for SystemPackage {
    fn class(&self) -> AssetClass {
        AssetClass::SystemPackage
    }

    fn name(&self) -> &'static str {
        "system_package"
    }

    fn table(&self) -> &'static str {
        "asset_system_package"
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
        let Item::SystemPackage(p) = item else { return };
        if p.kind == 0 {
            check.refuse("system_package.kind", "must be given");
        } else {
            check.known::<PackageKind>("system_package.kind", p.kind);
        }
        check.key("system_package.name", &p.name, 1, 255);
        check.key("system_package.version", &p.version, 1, 255);
        check.key("system_package.architecture", &p.architecture, 0, 63);
        check.time("system_package.install_time", &mut p.install_time);
        check.clip(&mut p.source_name, 255);
        check.clip(&mut p.source_version, 255);
        check.clip(&mut p.purl, 1024);
        check.clip(&mut p.description, 255);
        check.key("system_package.path", &p.path, 0, 4096);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        if let Item::SystemPackage(p) = item {
            key.number(p.kind.into()).text(&p.name).text(&p.architecture).text(&p.version).text(&p.path);
        }
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::SystemPackage(p) = item else { return };
        sink.small(p.kind as i16);
        sink.text(&p.name);
        sink.text(&p.version);
        sink.text(&p.architecture);
        sink.text(&p.source_name);
        sink.text(&p.source_version);
        sink.time(instant(p.install_time));
        sink.text(&p.purl);
        sink.flag(Some(p.escaped));
        sink.text(&p.description);
        sink.text(&p.path);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::SystemPackage(api::SystemPackage {
            kind: m.kind.into(),
            name: m.name,
            version: m.version,
            architecture: m.architecture,
            source_name: m.source_name,
            source_version: m.source_version,
            install_time: m.installed_at.map(timestamp),
            purl: m.purl,
            escaped: m.escaped,
            description: m.description,
            path: m.path,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::SystemPackage(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.system_package.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.system_package.order", violations, |order| match order {
            SystemPackageOrder::Name => NAME,
            SystemPackageOrder::InstallTime => INSTALLED,
            _ => FIRST_SEEN,
        });
        if same("query.system_package.version", &q.version, violations) {
            plan = plan.and(Column::Version.eq(q.version.as_str()));
        }
        if enumerated::<PackageKind>("query.system_package.kind", q.kind, violations) {
            plan = plan.and(Column::Kind.eq(q.kind as i16));
        }
        let installed = within("query.system_package.installed", q.installed_from, q.installed_until, violations);
        plan = plan.span("installed_at", installed);
        let name = q.driving.as_ref().map(|Driving::Name(by)| by);
        let ecosystems = ecosystem(q.kind).map_or_else(|| ANY.to_vec(), |one| vec![one]);
        let bound = Bound::read("query.system_package", &q.version_below, name, &ecosystems, violations);
        plan.sift(bound.map(|bound| {
            Sieve::new(move |item| match item {
                Item::SystemPackage(p) => ecosystem(p.kind).is_some_and(|of| bound.is_above(of, &p.version)),
                _ => false,
            })
        }))
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
