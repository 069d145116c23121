//! Environment variables of a machine: names and salted hashes, never values.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::environment_variable_query::Driving;
use cwpp_contracts::inventory::v1::{AssetClass, EnvironmentVariableOrder, VariableScope};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{Class, Column as Own, Item, Order, Plan, Query, Whose, drive, enumerated, same, steady};
use crate::asset::check::Check;
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

static COLUMNS: [Own; 7] = [
    steady("scope"),
    steady("user"),
    steady("name"),
    steady("value_hash"),
    steady("value_length"),
    steady("config_path"),
    steady("escaped"),
];

const FIRST_SEEN: Order =
    Order { index: "asset_environment_variable_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_environment_variable_name", column: "name", of: Of::Text };
static ORDERS: [Order; 2] = [FIRST_SEEN, NAME];

/// Environment variables of a machine, as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_environment_variable")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: scope, user, name, config path.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// For whom it is set.
    pub scope: i16,
    /// The user.
    pub user: String,
    /// Name.
    pub name: String,
    /// Hash of the value with a salt that never leaves the machine (16 bytes): tells a change, and nothing else.
    pub value_hash: Vec<u8>,
    /// Length of the value in bytes.
    pub value_length: Option<u32>,
    /// File that sets it.
    pub config_path: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
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
pub struct EnvironmentVariable;

impl Class for EnvironmentVariable {
    fn class(&self) -> AssetClass {
        AssetClass::EnvironmentVariable
    }

    fn name(&self) -> &'static str {
        "environment_variable"
    }

    fn table(&self) -> &'static str {
        "asset_environment_variable"
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
        let Item::EnvironmentVariable(a) = item else { return };
        check.given::<VariableScope>("environment_variable.scope", a.scope);
        check.key("environment_variable.user", &a.user, 0, 255);
        check.key("environment_variable.name", &a.name, 1, 255);
        check.bytes("environment_variable.value_hash", &a.value_hash, 16);
        check.key("environment_variable.config_path", &a.config_path, 0, 4096);
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        let Item::EnvironmentVariable(a) = item else { return };
        key.number(a.scope.into()).text(&a.user).text(&a.name).text(&a.config_path);
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::EnvironmentVariable(a) = item else { return };
        sink.small(a.scope as i16);
        sink.text(&a.user);
        sink.text(&a.name);
        sink.bytes(&a.value_hash);
        sink.number(a.value_length);
        sink.text(&a.config_path);
        sink.flag(Some(a.escaped));
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::EnvironmentVariable(api::EnvironmentVariable {
            scope: m.scope.into(),
            user: m.user,
            name: m.name,
            value_hash: m.value_hash,
            value_length: m.value_length,
            config_path: m.config_path,
            escaped: m.escaped,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::EnvironmentVariable(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.environment_variable.name", violations))
            }
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.environment_variable.order", violations, |order| match order {
            EnvironmentVariableOrder::Name => NAME,
            _ => FIRST_SEEN,
        });
        if enumerated::<VariableScope>("query.environment_variable.scope", q.scope, violations) {
            plan = plan.and(Column::Scope.eq(q.scope as i16));
        }
        if same("query.environment_variable.user", &q.user, violations) {
            plan = plan.and(Column::User.eq(q.user.as_str()));
        }
        plan
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
