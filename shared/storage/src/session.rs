//! One connection for the length of a transaction or a read, and the certainty of what becomes of it.
//!
//! A connection goes back to its pool only in a known state. A statement whose future was dropped, a transaction that
//! outlived its time, a rollback that failed: each closes the connection, and the server rolls back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cwpp_chassis::{Error, Reason, deadline};
use sea_orm::{DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tracing::Instrument;

use crate::dialect::Dialect;
use crate::error::{StoreError, StoreResult};
use crate::line::{Line, Raw};

/// Longest that one statement outside a limited transaction may take.
const STATEMENT: Duration = Duration::from_secs(30);

/// A pinned connection, shared by the guard that a closure holds and by whoever ends it.
pub(crate) struct Session {
    dialect: Dialect,
    line: Mutex<Option<Line>>,
    /// When a transaction is cut, whatever it is doing.
    expires: Option<Instant>,
    expired: AtomicBool,
    /// Whether it stands in a transaction: then it is clean only after its end.
    transaction: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Session {
    /// Takes a connection for reads that stand alone.
    pub(crate) fn reading(dialect: Dialect, raw: Raw) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            line: Mutex::new(Some(Line::new(raw))),
            expires: None,
            expired: AtomicBool::new(false),
            transaction: false,
        })
    }

    /// Begins a transaction by this statement, with a first one in the same round trip whose rows are returned.
    pub(crate) async fn begin(
        dialect: Dialect,
        raw: Raw,
        limit: Duration,
        (begin, lock_wait): (&str, Option<Duration>),
        first: &str,
    ) -> StoreResult<(Arc<Self>, Vec<QueryResult>)> {
        let mut line = Line::new(raw);
        line.clean = false;
        let mut sql = String::with_capacity(160);
        if let Some(wait) = lock_wait {
            sql.push_str(&dialect.lock_wait(wait));
            sql.push_str("; ");
        }
        sql.push_str(begin);
        if !first.is_empty() {
            sql.push_str("; ");
            sql.push_str(first);
        }
        let expires = Instant::now() + limit;
        let span = span(dialect, "BEGIN");
        let started = Instant::now();
        let run = line.text(&sql).instrument(span);
        let Ok(result) = tokio::time::timeout_at(expires, run).await else {
            // Others held the row for all of it.
            return Err(crate::error::busy());
        };
        observe(dialect, "BEGIN", started);
        match result {
            Ok(rows) => {
                let session = Arc::new(Self {
                    dialect,
                    line: Mutex::new(Some(line)),
                    expires: Some(expires),
                    expired: AtomicBool::new(false),
                    transaction: true,
                });
                Ok((session, rows))
            }
            Err(e) => {
                // Mostly a lock wait: the transaction may be open, so end it, and keep the connection if that works and it
                // waits for locks as every other does.
                if lock_wait.is_none() && matches!(e, sqlx::Error::Database(_)) && line.text("ROLLBACK").await.is_ok() {
                    line.clean = true;
                }
                Err(query_error(e).into())
            }
        }
    }

    /// Cuts the transaction at its time even while nobody polls it. Ends with the session.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Watch> {
        let at = self.expires?;
        let session = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(session) = session.upgrade() {
                session.expired.store(true, Ordering::SeqCst);
                // A statement on its way holds the lock, and has the same limit of its own.
                session.line.lock().await.take();
            }
        });
        Some(Watch(task))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns when the transaction is cut; far away for one without limit.
    pub(crate) fn expires(&self) -> Instant {
        self.expires.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400))
    }

    /// Says whether the transaction was cut at its time.
    pub(crate) fn was_cut(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    fn gone(&self) -> DbErr {
        if self.was_cut() {
            DbErr::Custom(CUT.to_owned())
        } else {
            DbErr::Custom("the transaction has ended".to_owned())
        }
    }

    fn limit(&self) -> Instant {
        let now = Instant::now();
        let mut at = now + STATEMENT;
        if let Some(expires) = self.expires {
            at = at.min(expires);
        }
        if let Some(left) = deadline::remaining() {
            at = at.min(now + left);
        }
        at
    }

    /// Gives a SELECT the time that is left.
    fn limited(&self, mut stmt: Statement) -> Statement {
        if let Some(sql) = self.dialect.limited(&stmt.sql, self.limit().saturating_duration_since(Instant::now())) {
            stmt.sql = sql;
        }
        stmt
    }

    async fn line(&self) -> Result<MutexGuard<'_, Option<Line>>, DbErr> {
        let guard = self.line.lock().await;
        match guard.as_ref() {
            Some(line) if self.transaction || line.clean => Ok(guard),
            _ => Err(self.gone()),
        }
    }

    pub(crate) async fn execute(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        let operation = operation(&stmt.sql);
        let mut guard = self.line().await?;
        self.soil(&mut guard);
        let work = async {
            let line = guard.as_mut().ok_or(sqlx::Error::PoolClosed)?;
            line.execute(stmt).await
        };
        let result = match self.timed(operation, work).await {
            Ok(result) => result,
            Err(cut) => return Err(self.drop_line(guard, cut)),
        };
        self.settle(&mut guard, &result);
        result.map_err(|e| DbErr::Exec(RuntimeErr::SqlxError(Arc::new(e))))
    }

    pub(crate) async fn query_all(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let operation = operation(&stmt.sql);
        let stmt = self.limited(stmt);
        let mut guard = self.line().await?;
        self.soil(&mut guard);
        let work = async {
            let line = guard.as_mut().ok_or(sqlx::Error::PoolClosed)?;
            line.fetch(stmt).await
        };
        let result = match self.timed(operation, work).await {
            Ok(result) => result,
            Err(cut) => return Err(self.drop_line(guard, cut)),
        };
        self.settle(&mut guard, &result);
        result.map_err(query_error)
    }

    pub(crate) async fn query_one(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all(stmt).await?.into_iter().next())
    }

    pub(crate) async fn text(&self, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
        let mut guard = self.line().await?;
        self.soil(&mut guard);
        let work = async {
            let line = guard.as_mut().ok_or(sqlx::Error::PoolClosed)?;
            line.text(sql).await
        };
        let result = match self.timed(operation(sql), work).await {
            Ok(result) => result,
            Err(cut) => return Err(self.drop_line(guard, cut)),
        };
        self.settle(&mut guard, &result);
        result.map_err(query_error)
    }

    /// Closes the connection of a statement that ran out of time.
    fn drop_line(&self, mut guard: MutexGuard<'_, Option<Line>>, cut: DbErr) -> DbErr {
        guard.take();
        cut
    }

    /// Marks the connection as one that must be closed if this statement's future is dropped.
    fn soil(&self, guard: &mut MutexGuard<'_, Option<Line>>) {
        if let Some(line) = guard.as_mut() {
            line.clean = false;
        }
    }

    fn settle<T>(&self, guard: &mut MutexGuard<'_, Option<Line>>, result: &Result<T, sqlx::Error>) {
        if self.transaction {
            return;
        }
        if let Some(line) = guard.as_mut() {
            line.clean = matches!(
                result,
                Ok(_) | Err(sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound)
            );
        }
    }

    /// Runs a statement within what is left. When that runs out, the statement's future is dropped, and the caller
    /// takes the connection away.
    async fn timed<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<Result<T, sqlx::Error>, DbErr> {
        let started = Instant::now();
        let result = tokio::time::timeout_at(self.limit(), work.instrument(span(self.dialect, operation))).await;
        observe(self.dialect, operation, started);
        match result {
            Ok(done) => Ok(done),
            Err(_) => {
                if self.expires.is_some_and(|at| Instant::now() >= at) {
                    self.expired.store(true, Ordering::SeqCst);
                }
                Err(DbErr::Custom(CUT.to_owned()))
            }
        }
    }

    /// Ends the transaction.
    pub(crate) async fn commit(&self) -> StoreResult<()> {
        self.end("COMMIT").await
    }

    /// Takes everything back; a connection on which that fails is closed.
    pub(crate) async fn rollback(&self) {
        let _ = self.end("ROLLBACK").await;
    }

    async fn end(&self, verb: &'static str) -> StoreResult<()> {
        let mut line = self.line.lock().await.take().ok_or_else(|| self.gone())?;
        let started = Instant::now();
        let result = line.text(verb).instrument(span(self.dialect, verb)).await;
        observe(self.dialect, verb, started);
        line.clean = result.is_ok();
        result.map(|_| ()).map_err(|e| query_error(e).into())
    }

    /// Gives a reading connection back.
    pub(crate) async fn release(&self) {
        self.line.lock().await.take();
    }
}

/// Ends the timer of a transaction with it.
pub(crate) struct Watch(tokio::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the error of a cut statement says; `cut` recognises it.
const CUT: &str = "the time of the statement or transaction ran out";

/// The answer to a caller whose transaction was cut.
pub(crate) fn cut_error() -> Error {
    Error::new(Reason::DeadlineExceeded, "the transaction took too long and was rolled back")
}

/// Recognises an error made by a cut.
pub(crate) fn is_cut(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(DbErr::Custom(text)) if text == CUT)
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

fn operation(sql: &str) -> &'static str {
    match sql.as_bytes().first() {
        Some(b'S' | b's') => "SELECT",
        Some(b'I' | b'i') => "INSERT",
        Some(b'U' | b'u') => "UPDATE",
        Some(b'D' | b'd') => "DELETE",
        _ => "OTHER",
    }
}

fn span(dialect: Dialect, operation: &'static str) -> tracing::Span {
    tracing::info_span!("db.query", otel.kind = "client", db.system = dialect.name(), db.operation = operation)
}

fn observe(dialect: Dialect, operation: &'static str, started: Instant) {
    metrics::histogram!("db_client_operation_duration_seconds", "db_system" => dialect.name(), "db_operation" => operation)
        .record(started.elapsed().as_secs_f64());
}
