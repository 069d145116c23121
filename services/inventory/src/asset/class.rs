//! Asset classes: the trait that a class implements, and the registry of all.
//!
//! Everything special about a class is in its file. To add one: the message, its file, a line in [`CLASSES`] and in
//! [`of_item`] and [`of_query`] (which do not compile without it), a migration, a fixture in the tests.

pub mod account;
pub mod database_instance;
pub mod environment_variable;
pub mod jar_package;
pub mod kernel_module;
pub mod listening_port;
pub mod process;
pub mod resource;
pub mod scheduled_task;
pub mod software_application;
pub mod startup_service;
pub mod system_package;
pub mod web_application;
pub mod web_framework;
pub mod web_service;
pub mod web_site;

use chrono::{DateTime, Utc};
use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::{StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::AssetClass;
pub use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_storage::{HasTenant, Registry};
use prost_types::Timestamp;
use sea_orm::prelude::Json;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Func, SelectStatement};
use sea_orm::{DbErr, QueryResult, Value};
use uuid::Uuid;

use super::check::{Check, instant};
use super::form;
use super::natural_key::{NaturalKey, short};
use super::row::Sink;
use super::sieve::Sieve;
use crate::keyset::Of;

pub use account::Account;
pub use database_instance::DatabaseInstance;
pub use environment_variable::EnvironmentVariable;
pub use jar_package::JarPackage;
pub use kernel_module::KernelModule;
pub use listening_port::ListeningPort;
pub use process::Process;
pub use resource::Resource;
pub use scheduled_task::ScheduledTask;
pub use software_application::SoftwareApplication;
pub use startup_service::StartupService;
pub use system_package::SystemPackage;
pub use web_application::WebApplication;
pub use web_framework::WebFramework;
pub use web_service::WebService;
pub use web_site::WebSite;

/// All classes, in the order of their numbers.
pub static CLASSES: [&dyn Class; 16] = [
    &Resource,
    &Account,
    &ListeningPort,
    &SoftwareApplication,
    &Process,
    &DatabaseInstance,
    &WebApplication,
    &WebService,
    &WebFramework,
    &WebSite,
    &JarPackage,
    &StartupService,
    &ScheduledTask,
    &EnvironmentVariable,
    &KernelModule,
    &SystemPackage,
];

/// The columns that every class has before its own, in the order of its table.
pub const COMMON: [&str; 6] = ["app_id", "machine_id", "item_key", "row_hash", "first_seen_at", "updated_at"];

/// Most items of one class that a report may hold.
pub const CAP: u32 = 30_000;

/// A column of a class's own.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether a new value alone is no change: it is not hashed, and written only along with a change.
    pub volatile: bool,
    /// Whether it is hashed coarsely all the same, so that what is stored does not grow old: a time by its day, a number by
    /// its first four bits. It is written then, and told as no change.
    pub coarse: bool,
}

/// A column whose new value is a change.
const fn steady(name: &'static str) -> Column {
    Column { name, volatile: false, coarse: false }
}

/// A column whose new value alone is no change.
const fn volatile(name: &'static str) -> Column {
    Column { name, volatile: true, coarse: false }
}

/// A column whose new value alone is no change until it is far from the old one.
const fn coarse(name: &'static str) -> Column {
    Column { name, volatile: true, coarse: true }
}

/// An order of a class's rows: its column, then the machine, then the item key, all in one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The index that spells it.
    pub index: &'static str,
    /// The column.
    pub column: &'static str,
    /// What the column holds.
    pub of: Of,
}

/// How a query is answered.
#[derive(Debug)]
pub struct Plan {
    /// The order, which is the driving filter's own where there is one.
    pub order: Order,
    /// Whether filter or order were asked for, so that the rows of one machine are put into this order as well.
    pub asked: bool,
    /// The driving filter: a range of the order's index.
    pub range: Condition,
    /// Conditions that are looked for among the rows of the range.
    pub residual: Option<Condition>,
    /// A condition that is asked of each row of the range, because the database cannot tell it.
    pub sieve: Option<Sieve>,
}

impl Plan {
    fn new(order: Order, asked: bool) -> Self {
        Self { order, asked, range: Condition::all(), residual: None, sieve: None }
    }

    fn sift(mut self, sieve: Option<Sieve>) -> Self {
        self.sieve = sieve;
        self
    }

    fn ranged(mut self, condition: Condition) -> Self {
        self.range = condition;
        self.asked = true;
        self
    }

    /// Takes the order that was asked for, zero being absent; a driving filter admits only its own.
    fn order<E: TryFrom<i32>>(
        &mut self,
        asked: i32,
        driven: bool,
        field: &str,
        violations: &mut Violations,
        spelled: impl Fn(E) -> Order,
    ) {
        match E::try_from(asked) {
            Ok(_) if asked == 0 => {}
            Ok(order) => {
                let wanted = spelled(order);
                if driven && wanted != self.order {
                    violations.push(field, "must be the order of the driving filter, or absent");
                }
                self.order = wanted;
                self.asked = true;
            }
            Err(_) => violations.push(field, format!("{asked} is no value of this enum")),
        }
    }

    /// Narrows to a span of time: a part of the order's index where the column is the order's own, else looked for.
    fn span(self, column: &'static str, span: Span) -> Self {
        let ordered = self.order.column == column;
        self.narrow(column, span, ordered)
    }

    fn narrow(mut self, column: &'static str, (from, until): Span, ordered: bool) -> Self {
        let ends: Vec<_> =
            [(">=", from), ("<", until)].into_iter().filter_map(|(compare, at)| Some((compare, at?))).collect();
        for (compare, at) in ends {
            // Beside another order, the sign keeps SQLite from that column's own index.
            let sign = if ordered { "" } else { "+" };
            let bound = Expr::cust_with_values(format!("{sign}{column} {compare} ?"), [at]);
            if ordered {
                self.range = self.range.add(bound);
                self.asked = true;
            } else {
                self = self.and(bound);
            }
        }
        self
    }

    /// Narrows to what was first seen in a span of time: by its index where that is the order, and may be.
    pub fn first_seen(self, span: Span, by_index: bool) -> Self {
        let ordered = by_index && self.order.column == "first_seen_at";
        self.narrow("first_seen_at", span, ordered)
    }

    fn and(mut self, condition: Expr) -> Self {
        self.residual = Some(self.residual.unwrap_or_else(Condition::all).add(condition));
        self
    }

    /// Looks among the rows for a value of a column that another query is driven by, if one is asked for.
    fn also<V: Into<Value>>(self, column: &'static str, value: Option<V>) -> Self {
        match value {
            // The sign keeps SQLite from that column's own index.
            Some(value) => self.and(Expr::cust_with_expr("+?", Expr::col(column)).eq(value.into())),
            None => self,
        }
    }

    /// As [`Plan::also`], for a text filter. It needs no index, so that it may ask for a part of the text.
    fn also_text(
        self,
        column: &'static str,
        by: Option<&StringMatch>,
        field: &str,
        violations: &mut Violations,
    ) -> Self {
        let Some(by) = by else { return self };
        let (which, text, least) = match &by.how {
            Some(How::Exact(text)) => ("exact", text.as_str(), 0),
            Some(How::Prefix(text)) => ("prefix", text.as_str(), 1),
            Some(How::Contains(text)) => ("contains", text.as_str(), 3),
            None => {
                violations.push(field, "exactly one of exact, prefix and contains must be set");
                return self;
            }
        };
        if !violations.characters(format!("{field}.{which}"), text, least, 255) {
            return self;
        }
        // Where the text begins, from 1; 0 where it is not there. No character of it is a wildcard.
        let place = Expr::from(Func::cust("INSTR").arg(Expr::col(column)).arg(text));
        match which {
            "exact" => self.also(column, Some(text)),
            "prefix" => self.and(place.eq(1)),
            _ => self.and(place.gte(1)),
        }
    }
}

/// Everything special about a class.
pub trait Class: std::fmt::Debug + Send + Sync {
    /// Its number in the contract.
    fn class(&self) -> AssetClass;
    /// Its name in labels and paths of fields.
    fn name(&self) -> &'static str;
    /// Its table.
    fn table(&self) -> &'static str;
    /// Rises when the same item is stored in another way than before: its schema or limits changed. Redactions have a
    /// revision of their own.
    fn revision(&self) -> u32;
    /// Its own columns, in the order of its table and of [`Class::store`].
    fn columns(&self) -> &'static [Column];
    /// Every order of its rows, each with its own index.
    fn orders(&self) -> &'static [Order];
    /// The one of its own columns whose values are counted, over all machines: a text of at most 255 characters that is
    /// never absent, or a number or stored enum, which is counted as its digits.
    fn counted(&self) -> &'static str;
    /// Most items of a report.
    fn cap(&self) -> u32 {
        CAP
    }
    /// Checks an item, cuts long texts, redacts.
    fn check(&self, item: &mut Item, check: &mut Check<'_>);
    /// Encodes the natural key.
    fn natural_key(&self, item: &Item, key: &mut NaturalKey);
    /// Writes the values of its own columns.
    fn store(&self, item: &Item, sink: &mut dyn Sink);
    /// Reads an item back.
    fn load(&self, row: &QueryResult) -> Result<Item, DbErr>;
    /// Starts a selection of a tenant's rows with all columns.
    fn rows(&self, whose: Whose<'_>) -> SelectStatement;
    /// Chooses driving filter, order and residual conditions.
    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan;
    /// Adds its table to the registry for erasure.
    fn register(&self, registry: Registry) -> Registry;
}

/// A tenant, whichever guard stands for it.
#[derive(Clone, Copy)]
pub struct Whose<'a>(pub &'a (dyn HasTenant + Sync));

impl HasTenant for Whose<'_> {
    fn app_id(&self) -> cwpp_access::AppId {
        self.0.app_id()
    }
}

impl std::fmt::Debug for Whose<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Whose(..)")
    }
}

/// Finds a class by its number.
pub fn by_number(number: i32) -> Option<&'static dyn Class> {
    CLASSES.iter().copied().find(|c| c.class() as i32 == number)
}

/// Finds the class of an item.
pub fn of_item(item: &Item) -> &'static dyn Class {
    match item {
        Item::Resource(_) => &Resource,
        Item::Account(_) => &Account,
        Item::ListeningPort(_) => &ListeningPort,
        Item::SoftwareApplication(_) => &SoftwareApplication,
        Item::Process(_) => &Process,
        Item::DatabaseInstance(_) => &DatabaseInstance,
        Item::WebApplication(_) => &WebApplication,
        Item::WebService(_) => &WebService,
        Item::WebFramework(_) => &WebFramework,
        Item::WebSite(_) => &WebSite,
        Item::JarPackage(_) => &JarPackage,
        Item::StartupService(_) => &StartupService,
        Item::ScheduledTask(_) => &ScheduledTask,
        Item::EnvironmentVariable(_) => &EnvironmentVariable,
        Item::KernelModule(_) => &KernelModule,
        Item::SystemPackage(_) => &SystemPackage,
    }
}

/// Finds the class of a query.
pub fn of_query(query: &Query) -> &'static dyn Class {
    match query {
        Query::Resource(_) => &Resource,
        Query::Account(_) => &Account,
        Query::ListeningPort(_) => &ListeningPort,
        Query::SoftwareApplication(_) => &SoftwareApplication,
        Query::Process(_) => &Process,
        Query::DatabaseInstance(_) => &DatabaseInstance,
        Query::WebApplication(_) => &WebApplication,
        Query::WebService(_) => &WebService,
        Query::WebFramework(_) => &WebFramework,
        Query::WebSite(_) => &WebSite,
        Query::JarPackage(_) => &JarPackage,
        Query::StartupService(_) => &StartupService,
        Query::ScheduledTask(_) => &ScheduledTask,
        Query::EnvironmentVariable(_) => &EnvironmentVariable,
        Query::KernelModule(_) => &KernelModule,
        Query::SystemPackage(_) => &SystemPackage,
    }
}

/// Fingerprints how this server stores a class for a tenant: a stored digest counts only where the fingerprint is the same,
/// so that neither a release, nor a deletion, nor a time without collection leaves stale rows. The first half is the
/// class's form, which a release changes, the other what the tenant decides.
pub fn fingerprint(class: &dyn Class, scope_epoch: i64, collected_since: i64) -> Uuid {
    let mut hash = blake3::Hasher::new();
    hash.update(&scope_epoch.to_le_bytes());
    hash.update(&collected_since.to_le_bytes());
    let (_, decided) = short(&hash.finalize()).as_u64_pair();
    Uuid::from_u64_pair(form::of(class).cast_unsigned(), decided)
}

/// Translates a text filter that drives: exact or prefix, as a range of an index.
pub fn drive(column: &'static str, by: &StringMatch, field: &str, violations: &mut Violations) -> Condition {
    let (text, prefix) = match &by.how {
        Some(How::Exact(text)) => (text, false),
        Some(How::Prefix(text)) => (text, true),
        Some(How::Contains(_)) => {
            violations.push(format!("{field}.contains"), "cannot find rows by itself: use exact or prefix");
            return Condition::all();
        }
        None => {
            violations.push(field, "exactly one of exact and prefix must be set");
            return Condition::all();
        }
    };
    // What has none of it is found by the empty text, as it is counted.
    let (which, least) = if prefix { ("prefix", 1) } else { ("exact", 0) };
    if !violations.characters(format!("{field}.{which}"), text, least, 255) {
        return Condition::all();
    }
    let column = Expr::col(column);
    if !prefix {
        return Condition::all().add(column.eq(text.as_str()));
    }
    let from = Condition::all().add(column.clone().gte(text.as_str()));
    match successor(text) {
        Some(end) => from.add(column.lt(end)),
        None => from,
    }
}

/// Returns the first text after all those that start with `prefix`; none where there is no such text.
pub fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Checks an enum of a query: absent is zero.
fn enumerated<E: TryFrom<i32>>(field: &str, value: i32, violations: &mut Violations) -> bool {
    let known = E::try_from(value).is_ok();
    violations.check(known, field, format!("{value} is no value of this enum")) && value != 0
}

/// Checks a text of a query that has to be equal: empty is absent.
fn same(field: &str, value: &str, violations: &mut Violations) -> bool {
    let length = value.len();
    violations.check(length <= 255, field, format!("must have at most 255 bytes, has {length}"));
    (1..=255).contains(&length)
}

/// A span of time, open on either side: not before the first, before the second.
pub type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Checks a span of time of a query.
pub fn within(field: &str, from: Option<Timestamp>, until: Option<Timestamp>, violations: &mut Violations) -> Span {
    let mut one = |end: &str, at: Option<Timestamp>| {
        let found = instant(at);
        violations.check(
            at.is_none() || found.is_some(),
            format!("{field}_{end}"),
            "must be a time between the years 1000 and 9999",
        );
        found
    };
    let span = (one("from", from), one("until", until));
    if let (Some(from), Some(until)) = span {
        violations.check(from < until, format!("{field}_until"), format!("must be after {field}_from"));
    }
    span
}

/// Reads texts back.
fn texts(json: Json) -> Result<Vec<String>, DbErr> {
    serde_json::from_value(json).map_err(|e| DbErr::Json(e.to_string()))
}

/// Reads records back, each of them a list of texts.
fn records<R>(json: Json, record: impl Fn(Vec<String>) -> R) -> Result<Vec<R>, DbErr> {
    let records: Vec<Vec<String>> = serde_json::from_value(json).map_err(|e| DbErr::Json(e.to_string()))?;
    Ok(records.into_iter().map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_has_every_class_of_the_contract_once() {
        let mut numbers: Vec<i32> = CLASSES.iter().map(|c| c.class() as i32).collect();
        numbers.dedup();
        let known: Vec<i32> = (1..200).filter(|n| AssetClass::try_from(*n).is_ok()).collect();
        assert_eq!(numbers, known);
    }

    #[test]
    fn no_class_has_more_than_four_orders_or_two_of_one_index() {
        for class in CLASSES {
            let mut indexes: Vec<_> = class.orders().iter().map(|o| o.index).collect();
            assert!(indexes.len() <= 4, "{class:?}");
            indexes.sort_unstable();
            indexes.dedup();
            assert_eq!(indexes.len(), class.orders().len(), "{class:?}");
        }
    }

    #[test]
    fn every_class_counts_a_steady_column_of_its_own() {
        for class in CLASSES {
            let counted = class.columns().iter().find(|c| c.name == class.counted());
            assert!(counted.is_some_and(|c| !c.volatile), "{class:?}");
        }
    }

    #[test]
    fn a_deletion_and_a_switch_change_every_fingerprint() {
        for class in CLASSES {
            assert_ne!(fingerprint(class, 0, 0), fingerprint(class, 1, 0));
            assert_ne!(fingerprint(class, 0, 0), fingerprint(class, 0, 1));
        }
    }

    #[test]
    fn the_successor_ends_a_prefix() {
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(successor("\u{10ffff}"), None);
    }
}
