//! The values of a class by machines or by themselves, page by page: folded and pending as they are at one moment.

use cwpp_storage::{HasTenant, StoreResult, TenantRead, Tenanted, page};
use sea_orm::sea_query::SelectStatement;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::{ColumnTrait, ConnectionTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use serde::{Deserialize, Serialize};

use super::change::{Count, Value};
use super::table::{delta, value};
use super::{changes, merge};
use crate::asset::class::successor;
use crate::keyset::LOOK;
use crate::shape;

/// Pending values above which a reader folds first.
const CROWDED: i64 = 50_000;
/// Rows that are read at once.
const BATCH: u64 = 1000;

/// Which values are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All.
    All,
    /// This one.
    Exact(String),
    /// Those that start with it.
    Prefix(String),
    /// Those that contain it.
    Contains(String),
}

impl Filter {
    fn admits(&self, value: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(text) => value == text,
            Self::Prefix(text) => value.starts_with(text),
            Self::Contains(text) => value.contains(text),
        }
    }
}

/// A checked question.
#[derive(Debug, Clone)]
pub struct Top {
    /// The class (`AssetClass`).
    pub class: i16,
    /// Which values.
    pub filter: Filter,
    /// Whether those of most machines come first; else they come by value.
    pub by_machines: bool,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The order's first column: machines, negated; 0 in the order by value.
    n: i64,
    /// The value.
    v: String,
}

/// A page of values, and where to go on.
pub type Page = (Vec<(Value, Count)>, Option<Place>);

impl Top {
    /// Says whether so much is pending that folding it first is better than adding it up here.
    pub async fn is_crowded(&self, read: &TenantRead) -> StoreResult<bool> {
        let mut select = delta::Entity::of(read).filter(delta::Column::AssetClass.eq(self.class)).into_query();
        let rows = read.query_all(select.clear_selects().column("weight").limit(CROWDED as u64)).await?;
        let mut weight = 0;
        for row in &rows {
            // A row costs something even where it has no value.
            weight += i64::from(row.try_get::<i32>("", "weight")?) + 10;
        }
        Ok(weight > CROWDED)
    }

    /// Spells the read of folded values after a place.
    pub fn rows(&self, whose: &impl HasTenant, after: Option<&Place>, limit: u64) -> SelectStatement {
        let mut select = value::Entity::of(whose).filter(value::Column::AssetClass.eq(self.class));
        let by_value = page::asc(value::Column::Value, after.map_or("", |place| place.v.as_str()));
        if self.by_machines {
            if let Some(place) = after {
                // Says nothing new, but lets SQLite walk the index from there.
                select = select.filter(value::Column::MachinesNegated.gte(place.n));
                select = select.filter(page::after(&[page::asc(value::Column::MachinesNegated, place.n), by_value]));
            }
            select = select.order_by_asc(value::Column::MachinesNegated);
        } else {
            if after.is_some() {
                select = select.filter(page::after(&[by_value]));
            }
            match &self.filter {
                Filter::Exact(text) => select = select.filter(value::Column::Value.eq(text.as_str())),
                Filter::Prefix(text) => {
                    select = select.filter(value::Column::Value.gte(text.as_str()));
                    if let Some(end) = successor(text) {
                        select = select.filter(value::Column::Value.lt(end));
                    }
                }
                Filter::All | Filter::Contains(_) => {}
            }
        }
        let mut query = select.order_by_asc(value::Column::Value).limit(limit).into_query();
        query.force_index(if self.by_machines { "asset_value_count_machines" } else { "PRIMARY" }, IndexHintScope::All);
        query
    }

    fn place(&self, value: &str, count: Count) -> Place {
        Place { n: if self.by_machines { -count.machines } else { 0 }, v: value.to_owned() }
    }

    /// Reads a page, in a guard that reads at one moment. At most [`LOOK`] folded values are looked at, so it may be short.
    pub async fn page(&self, read: &TenantRead, after: Option<&Place>, size: usize) -> StoreResult<Page> {
        let mut pending = changes(read, self.class).await?;
        pending.settle();
        pending.values.retain(|value, _| self.filter.admits(value));

        // What is pending moves values to another place: they are left out of the folded order and put in by hand.
        let mut moved: Vec<(Place, Value, Count)> = Vec::new();
        let mut sums = pending.values.clone();
        let values: Vec<&str> = pending.values.keys().map(|value| &**value).collect();
        for part in shape::filled(&values) {
            for row in merge::of_values(read, self.class, part.into_iter()).await? {
                if let Some(sum) = sums.get_mut(row.value.as_str()) {
                    *sum += Count { items: row.items, machines: -row.machines_negated };
                }
            }
        }
        for (value, count) in sums {
            let place = self.place(&value, count);
            if count != Count::default() && after.is_none_or(|after| place > *after) {
                moved.push((place, value, count));
            }
        }
        moved.sort_unstable_by(|a, b| a.0.cmp(&b.0));

        let (mut found, mut edge, mut looked): (Vec<(Place, Value, Count)>, _, _) = (Vec::new(), after.cloned(), 0);
        let batch = (size as u64 + 1).min(BATCH) + (pending.values.len() as u64).min(BATCH);
        let more = loop {
            let rows = read.query_all(&self.rows(read, edge.as_ref(), batch)).await?;
            for row in &rows {
                let row = value::Model::from_query_result(row, "")?;
                let count = Count { items: row.items, machines: -row.machines_negated };
                let place = self.place(&row.value, count);
                edge = Some(place.clone());
                if self.filter.admits(&row.value) && !pending.values.contains_key(row.value.as_str()) {
                    found.push((place, row.value.into(), count));
                }
            }
            looked += rows.len() as u64;
            if (rows.len() as u64) < batch {
                break false;
            }
            if found.len() > size || looked >= LOOK {
                break true;
            }
        };
        if more {
            // What lies beyond was not looked at.
            moved.retain(|(place, ..)| edge.as_ref().is_some_and(|edge| place <= edge));
        }
        found.extend(moved);
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let next = if found.len() > size {
            found.truncate(size);
            found.last().map(|(place, ..)| place.clone())
        } else {
            edge.filter(|_| more)
        };
        Ok((found.into_iter().map(|(_, value, count)| (value, count)).collect(), next))
    }
}
