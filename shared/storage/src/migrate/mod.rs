//! Migrations: forward only, one DDL statement each, safe to repeat, one migrator at a time.

pub(crate) mod own;
mod run;
mod table;

pub(crate) use run::LOG;
pub use run::{Applied, check, plan, run, status, up};
pub use table::{Column, Table, column};

use crate::dialect::{Dialect, Type};

/// One step of the schema.
#[derive(Debug, Clone)]
pub struct Migration {
    name: &'static str,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    Table(Table),
    Index { name: &'static str, table: &'static str, columns: &'static [&'static str], unique: bool },
    Column { table: &'static str, column: Column },
}

impl Migration {
    /// Makes a table. `name` is `NNNN_what`, unique in the service.
    pub fn table(name: &'static str, table: Table) -> Self {
        Self { name, change: Change::Table(table) }
    }

    /// Makes an index, whose columns begin with `app_id`. Name in a comment the queries that it serves.
    pub fn index(
        name: &'static str,
        index: &'static str,
        table: &'static str,
        columns: &'static [&'static str],
    ) -> Self {
        Self { name, change: Change::Index { name: index, table, columns, unique: false } }
    }

    /// Makes a unique index, whose columns begin with `app_id`.
    pub fn unique_index(
        name: &'static str,
        index: &'static str,
        table: &'static str,
        columns: &'static [&'static str],
    ) -> Self {
        Self { name, change: Change::Index { name: index, table, columns, unique: true } }
    }

    /// Adds a column, which must be nullable or have a default: the release before runs on beside it.
    pub fn column(name: &'static str, table: &'static str, column: Column) -> Self {
        Self { name, change: Change::Column { table, column } }
    }

    /// Returns the step's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Spells the statement.
    pub fn sql(&self, dialect: Dialect) -> String {
        match &self.change {
            Change::Table(table) => table.sql(dialect),
            Change::Index { name, table, columns, unique } => {
                let columns: Vec<_> = columns.iter().map(|c| dialect.quote(c)).collect();
                format!(
                    "CREATE {}INDEX {} ON {} ({}){}",
                    if *unique { "UNIQUE " } else { "" },
                    dialect.quote(name),
                    dialect.quote(table),
                    columns.join(", "),
                    dialect.index_options(),
                )
            }
            Change::Column { table, column } => {
                format!(
                    "ALTER TABLE {} ADD COLUMN {}{}",
                    dialect.quote(table),
                    column.sql(dialect),
                    dialect.column_options()
                )
            }
        }
    }
}
