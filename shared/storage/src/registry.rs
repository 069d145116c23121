//! What a service stores: every table either erasable, with its data class, or global, with the reason.

use std::collections::BTreeSet;

use cwpp_chassis::Result;
use cwpp_contracts::common::v1::DataClass;
use sea_orm::{ColumnTrait, ColumnType, EntityTrait, IdenStatic, Iterable, PrimaryKeyToColumn, QueryResult};

use crate::error::translate;
use crate::migrate::Migration;

/// The indexes that followers read across tenants: all others begin with the tenant.
const ACROSS: [&str; 2] = ["feed_head_sequence", "feed_mark_sequence"];

/// What a column holds, as far as cursors and exports care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer of any width, or a stored enum.
    Int,
    /// A floating number.
    Float,
    /// A truth value.
    Bool,
    /// A UUID.
    Uuid,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// JSON.
    Json,
    /// A time.
    Time,
}

impl Kind {
    fn of(column: &ColumnType) -> Self {
        match column {
            ColumnType::Float | ColumnType::Double | ColumnType::Decimal(_) => Self::Float,
            ColumnType::Boolean => Self::Bool,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Binary(_) | ColumnType::VarBinary(_) | ColumnType::Blob => Self::Bytes,
            ColumnType::Json | ColumnType::JsonBinary => Self::Json,
            ColumnType::DateTime | ColumnType::Timestamp | ColumnType::TimestampWithTimeZone => Self::Time,
            ColumnType::Custom(name) if name.inner().to_ascii_lowercase().starts_with("datetime") => Self::Time,
            ColumnType::Char(_)
            | ColumnType::String(_)
            | ColumnType::Text
            | ColumnType::Enum { .. }
            | ColumnType::Custom(_) => Self::Text,
            _ => Self::Int,
        }
    }
}

/// A table whose rows belong to tenants.
#[derive(Debug, Clone)]
pub struct Erasable {
    /// The table.
    pub table: String,
    /// The data class of its rows.
    pub data_class: DataClass,
    /// The columns of its primary key, `app_id` first.
    pub key: Vec<String>,
    /// All columns.
    pub columns: Vec<(String, Kind)>,
}

impl Erasable {
    /// Returns the key's columns behind the tenant's.
    pub(crate) fn rest(&self) -> Vec<(&str, Kind)> {
        let kind = |name: &str| self.columns.iter().find(|(n, _)| n == name).map_or(Kind::Bytes, |(_, k)| *k);
        self.key.iter().filter(|k| *k != "app_id").map(|k| (k.as_str(), kind(k))).collect()
    }

    /// Says whether its rows name machines.
    pub fn has_machine(&self) -> bool {
        self.columns.iter().any(|(name, _)| name == "machine_id")
    }

    /// Says whether its rows belong to machines: the purge goes machine by machine then.
    pub fn by_machine(&self) -> bool {
        self.key.get(1).is_some_and(|c| c == "machine_id")
    }
}

/// A table that holds nothing of tenants.
#[derive(Debug, Clone)]
pub struct Global {
    /// The table.
    pub table: String,
    /// Why it holds nothing of tenants.
    pub reason: &'static str,
}

/// The tables of a service, in the order in which a purge empties them, and the migrations that make them.
#[derive(Debug)]
pub struct Registry {
    service: &'static str,
    erasable: Vec<Erasable>,
    global: Vec<Global>,
    migrations: Vec<Migration>,
}

impl Registry {
    /// Starts the registry of a service; storage's own tables and migrations are in it already, its tables purged last.
    pub fn new(service: &'static str) -> Self {
        Self { service, erasable: Vec::new(), global: Vec::new(), migrations: crate::migrate::own::migrations() }
    }

    /// Adds a table of tenants. Order is the order of the purge: data before the policies that guard it.
    #[must_use]
    pub fn erasable<E: EntityTrait>(mut self, entity: E, data_class: DataClass) -> Self {
        let key: Vec<String> = E::PrimaryKey::iter().map(|k| k.into_column().as_str().to_owned()).collect();
        let columns = E::Column::iter().map(|c| (c.as_str().to_owned(), Kind::of(c.def().get_column_type()))).collect();
        self.erasable.push(Erasable { table: entity.table_name().to_owned(), data_class, key, columns });
        self
    }

    /// Adds a table that holds nothing of tenants, with the reason. It may not have a column `app_id`.
    #[must_use]
    pub fn global<E: EntityTrait>(mut self, entity: E, reason: &'static str) -> Self {
        self.global.push(Global { table: entity.table_name().to_owned(), reason });
        self
    }

    /// Adds the service's migrations, in order.
    #[must_use]
    pub fn migrations(mut self, migrations: impl IntoIterator<Item = Migration>) -> Self {
        self.migrations.extend(migrations);
        self
    }

    /// Returns the service's name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Returns all tables of tenants in the order of the purge, storage's own last.
    pub fn erasable_tables(&self) -> impl Iterator<Item = &Erasable> {
        self.erasable.iter().chain(crate::migrate::own::erasable().iter())
    }

    /// Returns all tables that hold nothing of tenants.
    pub fn global_tables(&self) -> impl Iterator<Item = &Global> {
        self.global.iter().chain(crate::migrate::own::global().iter())
    }

    /// Returns all migrations in order.
    pub fn all_migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// Returns a table of tenants by its name.
    pub fn erasable_table(&self, table: &str) -> Option<&Erasable> {
        self.erasable_tables().find(|t| t.table == table)
    }

    /// Returns the data class of a table; unspecified for one that is not registered.
    pub fn data_class(&self, table: &str) -> DataClass {
        self.erasable_table(table).map_or(DataClass::Unspecified, |t| t.data_class)
    }

    /// Returns the hash of the registry (hex): it changes when a table, a class or the order does.
    pub fn hash(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.service.as_bytes());
        for table in self.erasable_tables() {
            hash.update(
                format!("\nE {} {} {}", table.table, table.data_class.as_str_name(), table.key.join(",")).as_bytes(),
            );
        }
        for table in self.global_tables() {
            hash.update(format!("\nG {}", table.table).as_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// Compares the registry with the database's catalogue, and tells every difference: a table in neither list, one that
    /// is missing, a tenant's table whose key or index does not begin with `app_id`, a global one that has that column.
    pub async fn compare(&self, db: &crate::Db) -> Result<Vec<String>> {
        let dialect = db.dialect();
        let names = |rows: Vec<QueryResult>| {
            rows.iter().map(|r| r.try_get("", "name")).collect::<Result<BTreeSet<String>, _>>().map_err(translate)
        };
        let all = names(db.catalogue(dialect.tables(), &[]).await?)?;
        let tenants = names(db.catalogue(dialect.tables_with_column(), &["app_id".into()]).await?)?;
        let mut found = Vec::new();
        let mut known = BTreeSet::from(["tenant_fence".to_owned()]);
        for table in self.erasable_tables() {
            known.insert(table.table.clone());
            if !tenants.contains(&table.table) {
                found.push(format!("{}: erasable, but no such table with a column app_id", table.table));
                continue;
            }
            let rows = db.catalogue(dialect.columns(), &[table.table.as_str().into()]).await?;
            let mut columns = BTreeSet::new();
            let mut key = Vec::new();
            for row in &rows {
                let name: String = row.try_get("", "name").map_err(translate)?;
                let place: i64 = row.try_get("", "place").map_err(translate)?;
                if place > 0 {
                    key.push((place, name.clone()));
                }
                columns.insert(name);
            }
            key.sort();
            let key: Vec<_> = key.into_iter().map(|(_, name)| name).collect();
            if key != table.key {
                found.push(format!("{}: its key is {key:?}, the entity's {:?}", table.table, table.key));
            }
            let entity: BTreeSet<_> = table.columns.iter().map(|(name, _)| name.clone()).collect();
            if entity != columns {
                let apart: Vec<_> = entity.symmetric_difference(&columns).collect();
                found.push(format!("{}: entity and table differ in {apart:?}", table.table));
            }
        }
        for table in self.global_tables() {
            known.insert(table.table.clone());
            if !all.contains(&table.table) {
                found.push(format!("{}: global, but no such table", table.table));
            }
            if tenants.contains(&table.table) {
                found.push(format!("{}: global, but it has a column app_id", table.table));
            }
        }
        found.extend(all.difference(&known).map(|t| format!("{t}: neither erasable nor global")));
        for row in db.catalogue(dialect.index_heads(), &[]).await? {
            let get = |column: &str| row.try_get::<String>("", column).map_err(translate);
            let (table, index, head) = (get("tbl")?, get("idx")?, get("col")?);
            if tenants.contains(&table) && head != "app_id" && !ACROSS.contains(&index.as_str()) {
                found.push(format!("{table}: index {index} begins with {head}"));
            }
        }
        Ok(found)
    }

    /// Finds a table of tenants that a statement names as its target or source.
    pub(crate) fn erasable_table_in(&self, sql: &str) -> Option<&str> {
        let words =
            sql.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';')).filter(|w| !w.is_empty());
        let mut after_verb = false;
        for word in words {
            if after_verb {
                let name = word.rsplit('.').next().unwrap_or(word).trim_matches(|c| c == '`' || c == '"');
                if let Some(table) = self.erasable_tables().find(|t| t.table.eq_ignore_ascii_case(name)) {
                    return Some(&table.table);
                }
            }
            after_verb = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE"].iter().any(|v| word.eq_ignore_ascii_case(v));
        }
        None
    }
}
