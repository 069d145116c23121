//! Pages by key: conditions that go on where a page ended, and a bound on the rows that one page looks at.

use chrono::{DateTime, Utc};
use cwpp_storage::StoreResult;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, SelectStatement};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most rows that one page looks at while conditions are residual.
pub const LOOK: u64 = 10_000;

/// What a column of an order holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Text.
    Text,
    /// A stored enum.
    Small,
    /// A number of 32 bits.
    Unsigned,
    /// A time.
    Moment,
    /// A time that may be absent, which is before all others.
    Time,
    /// A key of 16 bytes.
    Key,
}

/// A column of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Its name.
    pub column: &'static str,
    /// What it holds.
    pub of: Of,
}

/// A value of an order's column, in a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// None.
    #[serde(rename = "0")]
    Nothing,
    /// A text.
    #[serde(rename = "t")]
    Text(String),
    /// A number.
    #[serde(rename = "n")]
    Number(u32),
    /// A stored enum.
    #[serde(rename = "s")]
    Small(i16),
    /// A time in microseconds.
    #[serde(rename = "m")]
    Micros(i64),
    /// A key.
    #[serde(rename = "k")]
    Key(Uuid),
}

/// Where a page ended: a value per column of the order.
pub type Cursor = Vec<Mark>;

impl Mark {
    fn read(row: &QueryResult, by: &By) -> Result<Self, DbErr> {
        Ok(match by.of {
            Of::Text => Self::Text(row.try_get("", by.column)?),
            Of::Small => Self::Small(row.try_get("", by.column)?),
            Of::Unsigned => Self::Number(row.try_get("", by.column)?),
            Of::Moment => Self::Micros(row.try_get::<DateTime<Utc>>("", by.column)?.timestamp_micros()),
            Of::Time => match row.try_get::<Option<DateTime<Utc>>>("", by.column)? {
                Some(at) => Self::Micros(at.timestamp_micros()),
                None => Self::Nothing,
            },
            Of::Key => Self::Key(row.try_get("", by.column)?),
        })
    }

    /// Returns the value to bind; none for SQL's NULL.
    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Nothing => return None,
            Self::Text(text) => text.as_str().into(),
            Self::Number(n) => (*n).into(),
            Self::Small(n) => (*n).into(),
            Self::Micros(m) => DateTime::from_timestamp_micros(*m).unwrap_or_default().into(),
            Self::Key(key) => (*key).into(),
        })
    }
}

fn equal(by: &By, mark: &Mark) -> Expr {
    match mark.value() {
        Some(value) => Expr::col(by.column).eq(value),
        None => Expr::col(by.column).is_null(),
    }
}

/// Spells "after this cursor" as an expanded OR, which MySQL turns into ranges. Absent values come first, or descending last.
pub fn after(order: &[By], cursor: &[Mark], descending: bool) -> Condition {
    let beyond = compare(order, cursor, |by, mark| beyond(by, mark, descending));
    // Says nothing new, but lets SQLite walk the index from there instead of sorting the parts of the OR.
    match order.first().zip(cursor.first().and_then(Mark::value)) {
        Some((by, value)) if !descending => Condition::all().add(Expr::col(by.column).gte(value)).add(beyond),
        Some((by, value)) if by.of != Of::Time => Condition::all().add(Expr::col(by.column).lte(value)).add(beyond),
        _ => beyond,
    }
}

/// Spells "not after this cursor": the far end of what a page looks at.
pub fn until(order: &[By], cursor: &[Mark], descending: bool) -> Condition {
    let before = compare(order, cursor, |by, mark| beyond(by, mark, !descending));
    let all = order.iter().zip(cursor).fold(Condition::all(), |all, (by, mark)| all.add(equal(by, mark)));
    before.add(all)
}

/// Spells what comes after a value of one column; none where nothing does.
fn beyond(by: &By, mark: &Mark, descending: bool) -> Option<Condition> {
    let column = || Expr::col(by.column);
    Some(match (mark.value(), descending) {
        (Some(value), false) => column().gt(value).into(),
        (None, false) => column().is_not_null().into(),
        (Some(value), true) if by.of == Of::Time => Condition::any().add(column().lt(value)).add(column().is_null()),
        (Some(value), true) => column().lt(value).into(),
        (None, true) => return None,
    })
}

fn compare(order: &[By], cursor: &[Mark], beyond: impl Fn(&By, &Mark) -> Option<Condition>) -> Condition {
    let mut any = Condition::any();
    for (i, (by, mark)) in order.iter().zip(cursor).enumerate() {
        let Some(beyond) = beyond(by, mark) else { continue };
        let prefix = order.iter().zip(cursor).take(i);
        any = any.add(prefix.fold(Condition::all(), |all, (by, mark)| all.add(equal(by, mark))).add(beyond));
    }
    any
}

/// A list to be read page by page.
#[derive(Debug, Clone)]
pub struct List {
    /// The rows of the driving range, all columns, without order.
    pub range: SelectStatement,
    /// The order; its last column makes it total.
    pub order: Vec<By>,
    /// Whether all of it is read backwards.
    pub descending: bool,
    /// The index that spells the order, if it is not for the optimizer to choose.
    pub index: Option<&'static str>,
    /// What is looked for among the rows of the range.
    pub residual: Option<Condition>,
}

impl List {
    fn from(&self, cursor: Option<&Cursor>) -> SelectStatement {
        let mut select = self.range.clone();
        if let Some(cursor) = cursor {
            select.cond_where(after(&self.order, cursor, self.descending));
        }
        if let Some(index) = self.index {
            select.force_index(index, IndexHintScope::All);
        }
        let direction = if self.descending { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
        for by in &self.order {
            select.order_by(by.column, direction.clone());
        }
        select
    }

    /// Spells the statement that finds how far a page with residual conditions looks.
    pub fn edge(&self, cursor: Option<&Cursor>) -> SelectStatement {
        let mut edge = self.from(cursor);
        edge.clear_selects().columns(self.order.iter().map(|by| by.column)).limit(1).offset(LOOK - 1);
        edge
    }

    /// Spells the statement of a page.
    pub fn rows(&self, cursor: Option<&Cursor>, edge: Option<&Cursor>, limit: u64) -> SelectStatement {
        let mut rows = self.from(cursor);
        if let Some(residual) = &self.residual {
            rows.cond_where(residual.clone());
        }
        if let Some(edge) = edge {
            rows.cond_where(until(&self.order, edge, self.descending));
        }
        rows.limit(limit);
        rows
    }

    /// Reads a page, and where to go on; nothing after the last row. With residual conditions at most [`LOOK`] rows are
    /// looked at, so the page may be short.
    pub async fn page(
        &self,
        db: &impl ConnectionTrait,
        cursor: Option<&Cursor>,
        size: u64,
    ) -> StoreResult<(Vec<QueryResult>, Option<Cursor>)> {
        let edge = match &self.residual {
            Some(_) => self.look(db, cursor).await?,
            None => None,
        };
        self.until(db, cursor, edge, size).await
    }

    /// Finds how far a page may look; none where that is to the end.
    pub async fn look(&self, db: &impl ConnectionTrait, cursor: Option<&Cursor>) -> StoreResult<Option<Cursor>> {
        let row = db.query_one(&self.edge(cursor)).await?;
        Ok(row.map(|row| self.cursor(&row)).transpose()?)
    }

    /// Reads a part of a page that looks no further than an edge, and where to go on: the edge where that was reached.
    pub async fn until(
        &self,
        db: &impl ConnectionTrait,
        cursor: Option<&Cursor>,
        edge: Option<Cursor>,
        size: u64,
    ) -> StoreResult<(Vec<QueryResult>, Option<Cursor>)> {
        let mut rows = db.query_all(&self.rows(cursor, edge.as_ref(), size + 1)).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return Ok((rows, edge));
        }
        rows.truncate(size);
        let next = rows.last().map(|row| self.cursor(row)).transpose()?;
        Ok((rows, next))
    }

    /// Reads where a row stands in the order.
    pub fn cursor(&self, row: &QueryResult) -> Result<Cursor, DbErr> {
        self.order.iter().map(|by| Mark::read(row, by)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::sea_query::{MysqlQueryBuilder, Query};

    const ORDER: [By; 2] = [By { column: "at", of: Of::Time }, By { column: "key", of: Of::Key }];

    fn spelled(condition: Condition) -> String {
        let sql = Query::select().expr(Expr::val(1)).cond_where(condition).to_string(MysqlQueryBuilder);
        sql.replace("SELECT 1 WHERE ", "").replace('`', "")
    }

    #[test]
    fn nothing_comes_first() {
        let key = Mark::Key(Uuid::nil());
        let end = spelled(until(&ORDER, &[Mark::Nothing, key.clone()], false));
        assert!(end.starts_with("(at IS NULL AND key < "), "{end}");
        let begin = spelled(after(&ORDER, &[Mark::Nothing, key.clone()], false));
        assert!(begin.starts_with("at IS NOT NULL OR (at IS NULL AND key > "), "{begin}");
        // Descending, it comes last.
        let end = spelled(until(&ORDER, &[Mark::Nothing, key.clone()], true));
        assert!(end.starts_with("at IS NOT NULL OR (at IS NULL AND key > "), "{end}");
        let begin = spelled(after(&ORDER, &[Mark::Nothing, key], true));
        assert!(begin.starts_with("at IS NULL AND key < "), "{begin}");
    }

    #[test]
    fn a_cursor_survives_its_token() {
        let cursor = vec![
            Mark::Nothing,
            Mark::Text("a".into()),
            Mark::Number(1),
            Mark::Small(2),
            Mark::Micros(-1),
            Mark::Key(Uuid::nil()),
        ];
        let text = serde_json::to_string(&cursor).unwrap();
        assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
    }
}
