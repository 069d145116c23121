//! Pools, and what every connection of them is told first.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cwpp_chassis::{Error, Reason, Result};
use sea_orm::{DbErr, ExecResult, QueryResult, Statement};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlPool, SqliteConnection, SqlitePool};
use tokio::time::Instant;

use crate::bridge::Bridge;
use crate::config::{Database, TlsMode};
use crate::dialect::Dialect;
use crate::engine;
use crate::error::{StoreResult, is_contended, sqlx_error, translate};
use crate::line::Raw;
use crate::session::Session;

/// Connections beside those of the write permits: seals, relays and leases do not wait for writers.
const SPARE: u32 = 4;

/// Where a database is.
enum Target {
    MySql(Box<MySqlConnectOptions>),
    Sqlite(PathBuf),
}

/// The pools of one process.
#[derive(Debug)]
pub(crate) enum Pools {
    /// Over TCP the pools' connections go by the bridge.
    MySql {
        writers: MySqlPool,
        readers: MySqlPool,
        _bridge: Option<Bridge>,
    },
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

/// Tells which database the settings name.
pub(crate) fn dialect(config: &Database) -> Result<Dialect> {
    if config.url.starts_with("sqlite:") {
        Ok(Dialect::Sqlite)
    } else if config.url.is_empty() || config.url.starts_with("mysql:") {
        Ok(Dialect::MySql)
    } else {
        Err(wrong("database.url must begin with sqlite: or mysql:"))
    }
}

/// Returns the path of a SQLite database.
pub(crate) fn sqlite_path(config: &Database) -> Option<PathBuf> {
    let rest = config.url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(PathBuf::from(rest.split('?').next().unwrap_or(rest)))
}

fn wrong(what: &str) -> Error {
    Error::new(Reason::InvalidArgument, what)
}

fn target(config: &Database, service: &str) -> Result<Target> {
    if let Some(path) = sqlite_path(config) {
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(wrong("database.url must name a file: a database in memory has no second connection"));
        }
        return Ok(Target::Sqlite(path));
    }
    dialect(config)?;
    let mut options = if config.url.is_empty() {
        if config.host.is_empty() {
            return Err(wrong("database.url or database.host is mandatory"));
        }
        MySqlConnectOptions::new().host(&config.host).port(config.port).username(&config.user)
    } else {
        MySqlConnectOptions::from_str(&config.url).map_err(|_| wrong("database.url cannot be read"))?
    };
    if options.get_database().is_none_or(str::is_empty) {
        options = options.database(if config.name.is_empty() { service } else { &config.name });
    }
    if let Some(file) = &config.password_file {
        let text = std::fs::read_to_string(file)
            .map_err(|e| wrong(&format!("database.password_file {} cannot be read: {e}", file.display())))?;
        options = options.password(text.trim_end_matches(['\r', '\n']));
    }
    options = options.ssl_mode(match config.tls_mode {
        TlsMode::Disabled => MySqlSslMode::Disabled,
        TlsMode::Preferred => MySqlSslMode::Preferred,
        TlsMode::Required => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
    });
    if let Some(file) = &config.tls_ca_file {
        options = options.ssl_ca(file);
    }
    // The session's modes are set whole after connecting; the driver shall not add to them.
    options =
        options.statement_cache_capacity(config.statement_cache).pipes_as_concat(false).no_engine_substitution(false);
    Ok(Target::MySql(Box::new(options.log_statements(tracing::log::LevelFilter::Off))))
}

fn sqlite_options(path: &std::path::Path, config: &Database) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(1))
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .statement_cache_capacity(config.statement_cache)
        .disable_statement_logging()
}

/// Opens the pools. The first connection is made outside them, so that its error shows at once.
pub(crate) async fn pools(config: &Database, service: &str) -> Result<Pools> {
    match target(config, service)? {
        Target::MySql(options) => {
            let mut first = tokio::time::timeout(config.acquire_timeout, options.connect())
                .await
                .map_err(|_| away("the database did not answer in time"))?
                .map_err(first_error)?;
            // A server that lacks what every session asks for says so here.
            first.execute(AssertSqlSafe(Dialect::MySql.session())).await.map_err(first_error)?;
            engine::check(&mut first, &options).await?;
            let _ = first.close().await;
            let bridge = match options.get_socket() {
                Some(_) => None,
                None => Some(Bridge::open(options.get_host(), options.get_port()).map_err(no_bridge)?),
            };
            let options = match &bridge {
                Some(bridge) => options.socket(bridge.path()),
                None => *options,
            };
            let pool = |size: u32| {
                MySqlPoolOptions::new()
                    .max_connections(size)
                    .min_connections(1)
                    .acquire_timeout(config.acquire_timeout)
                    .idle_timeout(Duration::from_secs(300))
                    .max_lifetime(Duration::from_secs(1800))
                    .test_before_acquire(false)
                    .after_connect(|c, _| {
                        Box::pin(async move { c.execute(AssertSqlSafe(Dialect::MySql.session())).await.map(|_| ()) })
                    })
                    .connect_lazy_with(options.clone())
            };
            Ok(Pools::MySql {
                writers: pool(config.write_permits + SPARE),
                readers: pool(config.max_connections),
                _bridge: bridge,
            })
        }
        Target::Sqlite(path) => {
            let options = sqlite_options(&path, config);
            let first = first_of_file(&options, config.acquire_timeout).await.map_err(first_error)?;
            let _ = first.close().await;
            let pool = |size: u32| {
                SqlitePoolOptions::new()
                    .max_connections(size)
                    .acquire_timeout(config.acquire_timeout)
                    .test_before_acquire(false)
            };
            Ok(Pools::Sqlite {
                writer: pool(1).connect_lazy_with(options.clone()),
                readers: pool(config.max_connections)
                    .connect_lazy_with(options.create_if_missing(false).read_only(true)),
            })
        }
    }
}

/// Opens a file for the first time. Whoever makes it turns it to its journal mode, and that locks the others out at once,
/// whatever time they would wait.
async fn first_of_file(
    options: &SqliteConnectOptions,
    patience: Duration,
) -> std::result::Result<SqliteConnection, sqlx::Error> {
    let until = Instant::now() + patience;
    loop {
        match options.connect().await {
            Err(e) if is_contended(&e) && Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

fn away(what: &str) -> Error {
    Error::new(Reason::DatabaseUnavailable, what).retry_after(Duration::from_secs(1))
}

fn no_bridge(error: std::io::Error) -> Error {
    Error::new(Reason::Internal, "no Unix socket can be opened").source(error)
}

fn first_error(error: sqlx::Error) -> Error {
    away("the database refused the first connection").source(error)
}

impl Pools {
    pub(crate) async fn writer(&self) -> StoreResult<Raw> {
        let started = Instant::now();
        let raw = match self {
            Self::MySql { writers, .. } => acquire(writers).await.map(Raw::MySql),
            Self::Sqlite { writer, .. } => acquire(writer).await.map(Raw::Sqlite),
        };
        waited(started, "write");
        raw.map_err(sqlx_error)
    }

    pub(crate) async fn reader(&self) -> StoreResult<Raw> {
        let started = Instant::now();
        let raw = match self {
            Self::MySql { readers, .. } => acquire(readers).await.map(Raw::MySql),
            Self::Sqlite { readers, .. } => acquire(readers).await.map(Raw::Sqlite),
        };
        waited(started, "read");
        raw.map_err(sqlx_error)
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::MySql { writers, readers, .. } => {
                writers.close().await;
                readers.close().await;
            }
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Takes a connection. The pool says the same of a server that is away as of connections that are all in use: it was the
/// server if the pool had room.
async fn acquire<DB: sqlx::Database>(pool: &sqlx::Pool<DB>) -> std::result::Result<PoolConnection<DB>, sqlx::Error> {
    match pool.acquire().await {
        Err(sqlx::Error::PoolTimedOut) if pool.size() < pool.options().get_max_connections() => {
            Err(sqlx::Error::Io(std::io::ErrorKind::NotConnected.into()))
        }
        other => other,
    }
}

fn waited(started: Instant, pool: &'static str) {
    metrics::histogram!("db_client_connection_wait_time_seconds", "pool" => pool)
        .record(started.elapsed().as_secs_f64());
}

/// One connection of its own, for migrations: locks belong to a connection, and no pool may swap it.
pub(crate) struct Single {
    dialect: Dialect,
    session: std::sync::Arc<Session>,
    pools: Pools,
}

/// Opens a single connection.
pub(crate) async fn single(config: &Database, service: &str) -> Result<Single> {
    let dialect = dialect(config)?;
    let one = Database { max_connections: 1, write_permits: 1, ..config.clone() };
    let pools = pools(&one, service).await?;
    let raw = pools.writer().await?;
    Ok(Single { dialect, session: Session::reading(dialect, raw), pools })
}

impl Single {
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) async fn text(&self, sql: &str) -> std::result::Result<Vec<QueryResult>, DbErr> {
        self.session.text(sql).await
    }

    pub(crate) async fn rows(&self, stmt: Statement) -> StoreResult<Vec<QueryResult>> {
        Ok(self.session.query_all(stmt).await?)
    }

    pub(crate) async fn execute(&self, stmt: Statement) -> StoreResult<ExecResult> {
        Ok(self.session.execute(stmt).await?)
    }

    pub(crate) async fn value(&self, sql: &str, column: &str) -> StoreResult<i64> {
        let rows = self.text(sql).await?;
        let row = rows.first().ok_or_else(|| translate(DbErr::RecordNotFound(column.to_owned())))?;
        Ok(row.try_get("", column)?)
    }

    pub(crate) async fn has_table(&self, table: &str) -> StoreResult<bool> {
        for row in self.text(self.dialect.tables()).await? {
            if row.try_get::<String>("", "name")? == table {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) async fn release(self) {
        self.session.release().await;
        self.pools.close().await;
    }
}
