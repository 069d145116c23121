use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::connection;
use crate::dialect::Dialect;
use crate::error::StoreResult;
use crate::registry::Registry;
use crate::session::Session;

/// A transaction on tables that the registry names as global. A statement that names a table of tenants fails.
#[derive(Debug)]
pub struct SystemTx {
    pub(crate) session: Arc<Session>,
    pub(crate) registry: Arc<Registry>,
}

impl SystemTx {
    /// Returns the database's kind.
    pub fn dialect(&self) -> Dialect {
        self.session.dialect()
    }

    /// Asks the database's clock.
    pub async fn database_time(&self) -> StoreResult<DateTime<Utc>> {
        crate::lease::database_time(&self.session).await
    }

    fn only_global(&self, sql: &str, _: bool) -> Result<(), DbErr> {
        match self.registry.erasable_table_in(sql) {
            Some(table) => Err(DbErr::Custom(format!("table {table} holds data of tenants: take a tenant's guard"))),
            None => Ok(()),
        }
    }
}

connection!(SystemTx, only_global);

/// Reads across tenants, for the few system methods and jobs that look for work. None may write.
#[derive(Debug)]
pub struct SystemRead {
    pub(crate) session: Arc<Session>,
}

impl SystemRead {
    fn only_reads(&self, sql: &str, executes: bool) -> Result<(), DbErr> {
        only_reads(sql, executes)
    }
}

connection!(SystemRead, only_reads);

/// Refuses what is no SELECT.
pub(super) fn only_reads(sql: &str, executes: bool) -> Result<(), DbErr> {
    let start = sql.trim_start().get(..6).unwrap_or_default().to_ascii_uppercase();
    if executes || (start != "SELECT" && !start.starts_with("WITH")) {
        return Err(DbErr::Custom("this guard reads only".to_owned()));
    }
    Ok(())
}
