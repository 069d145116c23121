//! What the database says, in the words of the catalogue of reasons.

use std::time::Duration;

use cwpp_chassis::{Error, Reason};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::mysql::MySqlDatabaseError;

/// How long a caller waits before it repeats what the database could not do.
const RETRY: Duration = Duration::from_millis(200);

/// A failure inside a transaction: of the database, or decided by an operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed. Deadlocks and lock waits are retried by the transaction's owner.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// An operation refused; the transaction is rolled back and this is the answer.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// The result of a store function and of every closure that runs in a transaction.
pub type StoreResult<T> = std::result::Result<T, StoreError>;

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A deadlock or a lock wait that ran out: repeat the transaction.
    Contention(&'static str),
    /// A unique key is taken.
    Exists,
    /// A foreign key is broken.
    Reference,
    /// The server is away, read-only, or full of connections.
    Away,
    /// No connection became free in time.
    PoolWait,
    /// The statement ran out of time.
    Slow,
    /// A value does not fit its column.
    Value,
    /// Anything else.
    Other,
}

/// What the error of a transaction says that others were in the way of, without the database saying so.
pub(crate) const BUSY: &str = "others were in the way of the transaction";

/// Makes an error for which the transaction is repeated.
pub(crate) fn busy() -> StoreError {
    StoreError::Database(DbErr::Custom(BUSY.to_owned()))
}

/// Repeats the transaction where somebody else was first.
pub(crate) trait OrRepeat<T> {
    /// A taken key repeats the transaction, which then finds the other's row.
    fn or_repeat(self) -> StoreResult<T>;
}

impl<T> OrRepeat<T> for Result<T, DbErr> {
    fn or_repeat(self) -> StoreResult<T> {
        self.map_err(|e| if trouble(&e) == Trouble::Exists { busy() } else { e.into() })
    }
}

/// Finds out what a database error means.
pub fn trouble(error: &DbErr) -> Trouble {
    let inner = match error {
        DbErr::Custom(text) if text == BUSY => return Trouble::Contention("busy"),
        DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout) => return Trouble::PoolWait,
        DbErr::ConnectionAcquire(_) => return Trouble::Away,
        DbErr::Conn(RuntimeErr::SqlxError(e))
        | DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e)) => e,
        _ => return Trouble::Other,
    };
    match &**inner {
        sqlx::Error::PoolTimedOut => Trouble::PoolWait,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Trouble::Away,
        sqlx::Error::Database(e) => {
            if let Some(mysql) = e.try_downcast_ref::<MySqlDatabaseError>() {
                return by_number(mysql.number());
            }
            by_sqlite_code(e.code().as_deref())
        }
        _ => Trouble::Other,
    }
}

/// Says whether somebody else holds the database.
pub(crate) fn is_contended(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if matches!(by_sqlite_code(e.code().as_deref()), Trouble::Contention(_)))
}

/// Says whether a connection broke, perhaps long before anybody noticed: nothing was done on it then.
pub(crate) fn is_broken(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(e))
    | DbErr::Exec(RuntimeErr::SqlxError(e))
    | DbErr::Query(RuntimeErr::SqlxError(e))) = error
    else {
        return false;
    };
    match &**e {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // The server is going down, has killed it, or has closed it for being idle.
        sqlx::Error::Database(e) => {
            e.try_downcast_ref::<MySqlDatabaseError>().is_some_and(|e| matches!(e.number(), 1053 | 1927 | 4031))
        }
        _ => false,
    }
}

fn by_number(number: u16) -> Trouble {
    match number {
        1213 => Trouble::Contention("deadlock"),
        1205 => Trouble::Contention("lock_wait"),
        1062 | 1586 => Trouble::Exists,
        1451 | 1452 => Trouble::Reference,
        // Too many connections, server going down, read-only, no write right while failing over.
        1040 | 1053 | 1203 | 1290 | 1792 | 1836 | 1927 | 3100 | 4031 => Trouble::Away,
        3024 | 1317 => Trouble::Slow,
        1264 | 1406 => Trouble::Value,
        _ => Trouble::Other,
    }
}

fn by_sqlite_code(code: Option<&str>) -> Trouble {
    let Some(code) = code.and_then(|c| c.parse::<i32>().ok()) else { return Trouble::Other };
    match code {
        1555 | 2067 | 2579 => Trouble::Exists,
        787 | 1811 => Trouble::Reference,
        _ => match code & 0xff {
            5 | 6 => Trouble::Contention("busy"),
            8 | 10 | 13 | 14 => Trouble::Away,
            9 => Trouble::Slow,
            _ => Trouble::Other,
        },
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(e) => e,
            StoreError::Database(e) => translate(e),
        }
    }
}

/// Turns a database error into the caller's answer; the error itself goes to the log only.
pub fn translate(error: DbErr) -> Error {
    let answer = match trouble(&error) {
        Trouble::Contention(kind) => {
            Error::new(Reason::Conflict, "other writers were in the way").with("cause", kind).retry_after(RETRY)
        }
        Trouble::Exists => Error::new(Reason::AlreadyExists, "an object of this key exists already"),
        Trouble::Reference => {
            Error::new(Reason::InvalidTransition, "the object is still referred to, or refers to none")
        }
        Trouble::Away => Error::new(Reason::DatabaseUnavailable, "the database cannot be reached").retry_after(RETRY),
        Trouble::PoolWait => {
            Error::new(Reason::Overloaded, "all connections to the database are in use").retry_after(RETRY)
        }
        Trouble::Slow => Error::new(Reason::DeadlineExceeded, "the database took too long"),
        Trouble::Value => Error::new(Reason::InvalidArgument, "a value does not fit its column"),
        Trouble::Other => Error::new(Reason::Internal, "internal error"),
    };
    answer.source(told(&error))
}

/// Tells a database error for the log. MySQL quotes the values of the row or of the statement, which may be anybody's: of
/// its text only the name of the key or the column is kept.
fn told(error: &DbErr) -> anyhow::Error {
    let (DbErr::Conn(RuntimeErr::SqlxError(inner))
    | DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))) = error
    else {
        return anyhow::anyhow!("{error}");
    };
    match &**inner {
        sqlx::Error::Database(e) => match e.try_downcast_ref::<MySqlDatabaseError>() {
            Some(mysql) => anyhow::anyhow!("MySQL error {}{}", mysql.number(), place(mysql.message())),
            None => anyhow::anyhow!("{e}"),
        },
        other => anyhow::anyhow!("{other}"),
    }
}

/// Finds what MySQL says of the place at the end of its text, behind whatever it quotes before.
fn place(text: &str) -> String {
    let named = [" for key '", " for column '"].into_iter().find_map(|word| {
        let (_, rest) = text.rsplit_once(word)?;
        let (name, tail) = rest.split_once('\'')?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        // Behind the name stands nothing, or the number of the row.
        let last = tail.is_empty() || tail.strip_prefix(" at row ").is_some_and(|n| n.parse::<u64>().is_ok());
        (plain && last).then(|| format!("{word}{name}'"))
    });
    named.unwrap_or_default()
}

/// Adds what an operation knows to what the database says.
pub trait OrRefuse<T> {
    /// A taken key becomes `refusal`; any other failure stays what it is.
    fn or_exists(self, refusal: impl FnOnce() -> Error) -> StoreResult<T>;
}

impl<T> OrRefuse<T> for Result<T, DbErr> {
    fn or_exists(self, refusal: impl FnOnce() -> Error) -> StoreResult<T> {
        self.map_err(StoreError::from).or_exists(refusal)
    }
}

impl<T> OrRefuse<T> for StoreResult<T> {
    fn or_exists(self, refusal: impl FnOnce() -> Error) -> StoreResult<T> {
        match self {
            Err(StoreError::Database(e)) if trouble(&e) == Trouble::Exists => {
                Err(StoreError::Refused(refusal().source(told(&e))))
            }
            other => other,
        }
    }
}

/// Turns a missing row into an answer.
pub trait OrUnknown<T> {
    /// No row becomes `refusal`.
    fn or_unknown(self, refusal: impl FnOnce() -> Error) -> StoreResult<T>;
}

impl<T> OrUnknown<T> for Result<Option<T>, DbErr> {
    fn or_unknown(self, refusal: impl FnOnce() -> Error) -> StoreResult<T> {
        self?.ok_or_else(|| StoreError::Refused(refusal()))
    }
}

impl<T> OrUnknown<T> for StoreResult<Option<T>> {
    fn or_unknown(self, refusal: impl FnOnce() -> Error) -> StoreResult<T> {
        self?.ok_or_else(|| StoreError::Refused(refusal()))
    }
}

pub(crate) fn sqlx_error(error: sqlx::Error) -> StoreError {
    StoreError::Database(DbErr::Query(RuntimeErr::SqlxError(std::sync::Arc::new(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_mysql_says_only_the_place_is_kept() {
        for (text, kept) in [
            ("Duplicate entry '7-alice' for key 'policy.policy_name'", " for key 'policy.policy_name'"),
            ("Duplicate entry 'x' for key 'alice'' for key 'policy.PRIMARY'", " for key 'policy.PRIMARY'"),
            ("Data too long for column 'home' at row 3", " for column 'home'"),
            ("Incorrect string value: '\\xF0' for column 'name' at row 1", " for column 'name'"),
            ("Incorrect DATETIME value: 'x for column 'alice' smith'", ""),
            ("You have an error in your SQL syntax near 'alice'", ""),
            ("", ""),
        ] {
            assert_eq!(place(text), kept, "{text}");
        }
    }
}
