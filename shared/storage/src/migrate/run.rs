use cwpp_chassis::app::Migrate;
use cwpp_chassis::{Error, Reason, Result};
use sea_orm::Statement;

use super::{Change, Migration};
use crate::config::Database;
use crate::connect::{self, Single};
use crate::error::{StoreResult, translate};
use crate::registry::Registry;

/// A step and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The step.
    pub name: String,
    /// When it was made, as the database tells it; none while it is pending.
    pub at: Option<String>,
}

/// The table of the steps that were made.
pub(crate) const LOG: &str = "schema_migration";

/// Makes all pending steps, one migrator at a time, and returns their names.
pub async fn up(config: &Database, registry: &Registry) -> Result<Vec<&'static str>> {
    let single = connect::single(config, registry.service()).await?;
    let result = locked(&single, registry).await;
    single.release().await;
    result.map_err(Error::from)
}

async fn locked(single: &Single, registry: &Registry) -> StoreResult<Vec<&'static str>> {
    let dialect = single.dialect();
    let held: i64 = single.value(&dialect.take_migration_lock(registry.service()), "held").await?;
    if held != 1 {
        return Err(Error::new(Reason::DatabaseUnavailable, "another migrator holds the lock").into());
    }
    let made = all(single, registry).await;
    let _ = single.text(&dialect.give_migration_lock(registry.service())).await;
    made
}

async fn all(single: &Single, registry: &Registry) -> StoreResult<Vec<&'static str>> {
    let dialect = single.dialect();
    single
        .text(&format!(
            "CREATE TABLE IF NOT EXISTS {} ({} {} NOT NULL, {} {} NOT NULL, PRIMARY KEY ({})){}",
            dialect.quote(LOG),
            dialect.quote("name"),
            dialect.column_type(super::Type::Varchar(128)),
            dialect.quote("applied_at"),
            dialect.column_type(super::Type::Varchar(40)),
            dialect.quote("name"),
            dialect.table_options(),
        ))
        .await?;
    let mut made = Vec::new();
    for step in registry.all_migrations() {
        if one(single, step).await? {
            tracing::info!(step = step.name(), "migrated");
            made.push(step.name());
        }
    }
    Ok(made)
}

/// Makes one step unless it was made; a step whose record was lost is recorded again.
async fn one(single: &Single, step: &Migration) -> StoreResult<bool> {
    let dialect = single.dialect();
    if dialect.transactional_ddl() {
        single.text(dialect.begin()).await?;
    }
    let result = attempt(single, step).await;
    if dialect.transactional_ddl() {
        single.text(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    }
    result
}

async fn attempt(single: &Single, step: &Migration) -> StoreResult<bool> {
    let dialect = single.dialect();
    let backend = dialect.backend();
    let known =
        Statement::from_sql_and_values(backend, format!("SELECT name FROM {LOG} WHERE name = ?"), [step.name().into()]);
    if !single.rows(known).await?.is_empty() {
        return Ok(false);
    }
    if !present(single, step).await? {
        ddl(single, &step.sql(dialect)).await?;
    }
    let now = dialect.now();
    let record = Statement::from_sql_and_values(
        backend,
        format!("INSERT INTO {LOG} (name, applied_at) VALUES (?, {now})"),
        [step.name().into()],
    );
    single.execute(record).await?;
    Ok(true)
}

/// Runs a DDL statement; a wait for a table that is in use is short, and repeated.
async fn ddl(single: &Single, sql: &str) -> StoreResult<()> {
    let mut tries = 0;
    loop {
        match single.text(sql).await {
            Ok(_) => return Ok(()),
            Err(e) if tries < 12 && matches!(crate::error::trouble(&e), crate::error::Trouble::Contention(_)) => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Says whether the database has it already: a statement may have run while its record was lost.
async fn present(single: &Single, step: &Migration) -> StoreResult<bool> {
    let dialect = single.dialect();
    let backend = dialect.backend();
    match &step.change {
        // `IF NOT EXISTS` says it in the statement itself.
        Change::Table(_) => Ok(false),
        Change::Index { name, table, .. } => {
            let rows = single
                .rows(Statement::from_sql_and_values(backend, dialect.has_index(), [(*table).into(), (*name).into()]))
                .await?;
            Ok(rows.first().map(|r| r.try_get::<i64>("", "n")).transpose()?.unwrap_or(0) > 0)
        }
        Change::Column { table, column } => {
            for row in
                single.rows(Statement::from_sql_and_values(backend, dialect.columns(), [(*table).into()])).await?
            {
                if row.try_get::<String>("", "name")? == column.name() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// Tells which steps were made; needs no right to change the schema.
pub async fn status(config: &Database, registry: &Registry) -> Result<Vec<Applied>> {
    let single = connect::single(config, registry.service()).await?;
    let result = read_status(&single, registry).await;
    single.release().await;
    result.map_err(Error::from)
}

async fn read_status(single: &Single, registry: &Registry) -> StoreResult<Vec<Applied>> {
    let mut made = std::collections::HashMap::new();
    if single.has_table(LOG).await? {
        for row in single.text(&format!("SELECT name, applied_at FROM {LOG}")).await? {
            made.insert(row.try_get::<String>("", "name")?, row.try_get::<String>("", "applied_at")?);
        }
    }
    Ok(registry
        .all_migrations()
        .iter()
        .map(|step| Applied { name: step.name().to_owned(), at: made.get(step.name()).cloned() })
        .collect())
}

/// Spells the statements of the pending steps.
pub async fn plan(config: &Database, registry: &Registry) -> Result<Vec<(&'static str, String)>> {
    let dialect = connect::dialect(config)?;
    let status = status(config, registry).await?;
    Ok(registry
        .all_migrations()
        .iter()
        .zip(status)
        .filter(|(_, applied)| applied.at.is_none())
        .map(|(step, _)| (step.name(), step.sql(dialect)))
        .collect())
}

/// Fails with `SCHEMA_NOT_READY` while a step that this build needs is missing. Steps of a newer build do not matter.
pub async fn check(db: &crate::Db) -> Result<()> {
    let rows = db.catalogue(&format!("SELECT name FROM {LOG}"), &[]).await;
    let known: std::collections::HashSet<String> = match rows {
        Ok(rows) => rows.iter().map(|r| r.try_get("", "name")).collect::<Result<_, _>>().map_err(translate)?,
        Err(e) if e.reason() == Reason::Internal => std::collections::HashSet::new(),
        Err(e) => return Err(e),
    };
    let missing = db.registry().all_migrations().iter().filter(|m| !known.contains(m.name())).count();
    if missing == 0 {
        return Ok(());
    }
    Err(Error::new(Reason::SchemaNotReady, "the schema lacks steps: run `migrate up`").with("missing", missing))
}

/// Does what a service's `migrate` command asks for, and returns what it prints.
pub async fn run(database: &Database, registry: &Registry, command: Migrate) -> anyhow::Result<String> {
    Ok(match command {
        Migrate::Up => match up(database, registry).await?.as_slice() {
            [] => "the schema is up to date".to_owned(),
            made => made.join("\n"),
        },
        Migrate::Status => {
            let line = |step: &Applied| format!("{}\t{}", step.name, step.at.as_deref().unwrap_or("missing"));
            status(database, registry).await?.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Migrate::Plan => {
            let plan = plan(database, registry).await?;
            plan.into_iter().map(|(step, sql)| format!("-- {step}\n{sql};")).collect::<Vec<_>>().join("\n")
        }
    })
}
