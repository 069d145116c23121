//! Values of any column, for cursors and for the export.

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreResult;
use crate::registry::Kind;

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Key {
    I(i64),
    B(Vec<u8>),
    S(String),
    T(DateTime<Utc>),
}

impl Key {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::I(n) => (*n).into(),
            Self::B(bytes) => bytes.clone().into(),
            Self::S(text) => text.clone().into(),
            Self::T(time) => (*time).into(),
        }
    }
}

/// Reads one column of a key.
pub(super) fn key(row: &QueryResult, column: &str, kind: Kind) -> StoreResult<Key> {
    Ok(match kind {
        Kind::Int | Kind::Float | Kind::Bool => Key::I(row.try_get("", column)?),
        Kind::Uuid | Kind::Bytes => Key::B(row.try_get("", column)?),
        Kind::Text | Kind::Json => Key::S(row.try_get("", column)?),
        Kind::Time => Key::T(row.try_get("", column)?),
    })
}

/// Reads one column as JSON.
pub(super) fn json(row: &QueryResult, column: &str, kind: Kind) -> StoreResult<serde_json::Value> {
    Ok(match kind {
        Kind::Int => row.try_get::<Option<i64>>("", column)?.into(),
        Kind::Float => row.try_get::<Option<f64>>("", column)?.into(),
        Kind::Bool => row.try_get::<Option<bool>>("", column)?.into(),
        Kind::Uuid => row.try_get::<Option<Uuid>>("", column)?.map(|id| id.to_string()).into(),
        Kind::Bytes => row
            .try_get::<Option<Vec<u8>>>("", column)?
            .map(|b| b.iter().map(|b| format!("{b:02x}")).collect::<String>())
            .into(),
        Kind::Text => row.try_get::<Option<String>>("", column)?.into(),
        Kind::Json => row.try_get::<Option<serde_json::Value>>("", column)?.into(),
        Kind::Time => row
            .try_get::<Option<DateTime<Utc>>>("", column)?
            .map(|t| t.to_rfc3339_opts(SecondsFormat::Micros, true))
            .into(),
    })
}
