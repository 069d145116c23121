//! What a transaction changes in the counts of one class on one machine.
//!
//! A machine counts for a value as long as it has any item of it, so it has to be known how many it has of each value that
//! is touched: out of the report itself, and out of the old values of removed and changed rows.

use std::collections::HashMap;

use cwpp_storage::{StoreResult, TenantTx};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::apply::Reported;
use super::class::Item;
use super::count::{Change, Value};
use super::diff::Diff;
use super::row::Pick;
use super::store;

/// What a row was before.
#[derive(Debug, Clone)]
pub struct Before {
    /// Its counted value.
    pub value: Value,
    /// The day on which it was first seen.
    pub day: i32,
    /// The item, where it is asked for.
    pub item: Option<Item>,
}

/// How many items the machine has stored of each value that is touched.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    there: HashMap<Value, i64>,
}

impl Tally {
    /// Starts with what the machine has.
    pub fn of(there: HashMap<Value, i64>) -> Self {
        Self { there }
    }

    /// Puts items of a value there, or takes them away, and adds what that changes.
    pub fn put(&mut self, value: &Value, items: i64, change: &mut Change) {
        let there = self.there.entry(value.clone()).or_default();
        let count = change.values.entry(value.clone()).or_default();
        count.items += items;
        count.machines -= i64::from(*there > 0);
        *there += items;
        count.machines += i64::from(*there > 0);
    }
}

/// The work on one class of a report, slice by slice.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// What has to be written.
    pub diff: Diff,
    /// What the rows were that are removed or changed.
    before: HashMap<Uuid, Before>,
    tally: Tally,
}

impl Work {
    /// Compares what was reported with what is stored; `items` tells whether the items of changed rows are needed.
    pub async fn begin(tx: &TenantTx, machine_id: Uuid, class: &Reported, items: bool) -> StoreResult<Self> {
        let stored = store::hashes(tx, class.batch.class, machine_id).await?;
        let (batch, diff) = (&class.batch, Diff::between(&stored, class.batch.entries()));
        let changed = diff.written.iter().filter(|(_, new)| !new);
        let changed = changed.map(|(place, _)| batch.entries()[*place as usize].key);
        let mut keys: Vec<Uuid> = diff.removed.iter().copied().chain(changed).collect();
        keys.sort_unstable();
        let before = store::before(tx, batch.class, machine_id, &keys, items).await?;

        let mut there: HashMap<Value, i64> = HashMap::new();
        for row in before.values() {
            *there.entry(row.value.clone()).or_default() += 1;
        }
        let mut pick = Pick::of(batch.class);
        if diff.rows() > 0 {
            for (place, _) in &diff.written {
                let item = batch.item(&batch.entries()[*place as usize])?;
                let value = pick.value(batch.class, &item);
                if !there.contains_key(value) {
                    there.insert(value.into(), 0);
                }
            }
            let mut written = diff.written.iter().map(|(place, _)| *place).peekable();
            for (place, entry) in (0u32..).zip(batch.entries()) {
                if written.next_if_eq(&place).is_none()
                    && let Some(items) = there.get_mut(pick.value(batch.class, &batch.item(entry)?))
                {
                    *items += 1;
                }
            }
        }
        Ok(Self { diff, before, tally: Tally { there } })
    }

    /// The work on a class of which nothing is stored: there is nothing to read.
    pub fn first(class: &Reported) -> Self {
        Self { diff: Diff::between(&[], class.batch.entries()), ..Self::default() }
    }

    /// Returns what an item was before, where that was asked for.
    pub fn before(&self, key: Uuid) -> Option<&Item> {
        self.before.get(&key).and_then(|before| before.item.as_ref())
    }

    /// Counts a row that is removed.
    pub fn removed(&mut self, key: Uuid, change: &mut Change) {
        if let Some(Before { value, day, .. }) = self.before.get(&key) {
            *change.days.entry(*day).or_default() -= 1;
            change.total.items -= 1;
            self.tally.put(value, -1, change);
        }
    }

    /// Counts a row that is written; none was there where it is new.
    pub fn written(&mut self, key: Uuid, value: &str, today: i32, change: &mut Change) {
        let value: Value = value.into();
        match self.before.get(&key) {
            Some(before) if before.value == value => {}
            Some(before) => {
                self.tally.put(&before.value, -1, change);
                self.tally.put(&value, 1, change);
            }
            None => {
                *change.days.entry(today).or_default() += 1;
                change.total.items += 1;
                self.tally.put(&value, 1, change);
            }
        }
    }
}

/// Reads what a row was.
pub(super) fn before(row: &QueryResult, item: Option<Item>) -> StoreResult<(Uuid, Before)> {
    let value: String = row.try_get("", store::COUNTED)?;
    let day = super::count::day(row.try_get("", "first_seen_at")?);
    Ok((row.try_get("", "item_key")?, Before { value: value.into(), day, item }))
}
