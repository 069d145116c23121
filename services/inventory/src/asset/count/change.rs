//! What a transaction changes in the counts of a class, and how that is packed into one row.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cwpp_access::AppId;
use prost::Message;
use sea_orm::DbErr;
use uuid::Uuid;

use super::table::delta;

/// A value of a class's counted column.
pub type Value = Arc<str>;

/// Most values of one packed row: a change of more takes several rows, so that a fold can stop between them.
const VALUES: usize = 2000;
/// How rows are packed. Whoever finds another number cannot read the row.
const VERSION: u32 = 1;

/// Returns the day of a time, counted from 1970.
pub fn day(at: DateTime<Utc>) -> i32 {
    i32::try_from(at.timestamp().div_euclid(86_400)).unwrap_or(i32::MAX)
}

/// A count of items and machines, or a change of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Items.
    pub items: i64,
    /// Machines.
    pub machines: i64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.machines += other.machines;
    }
}

impl std::ops::SubAssign for Count {
    fn sub_assign(&mut self, other: Self) {
        self.items -= other.items;
        self.machines -= other.machines;
    }
}

/// What changes in the counts of a class. Changes add up in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Of the class.
    pub total: Count,
    /// Items per day of first sight.
    pub days: BTreeMap<i32, i64>,
    /// Per value.
    pub values: BTreeMap<Value, Count>,
}

impl Change {
    /// Says whether nothing changes.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Forgets what changed there and back.
    pub fn settle(&mut self) {
        self.days.retain(|_, items| *items != 0);
        self.values.retain(|_, count| *count != Count::default());
    }

    /// Adds another change.
    pub fn add(&mut self, other: Self) {
        self.total += other.total;
        for (day, items) in other.days {
            *self.days.entry(day).or_default() += items;
        }
        for (value, count) in other.values {
            *self.values.entry(value).or_default() += count;
        }
    }

    /// Takes another change away.
    pub fn subtract(&mut self, other: &Self) {
        self.total -= other.total;
        for (day, items) in &other.days {
            *self.days.entry(*day).or_default() -= items;
        }
        for (value, count) in &other.values {
            *self.values.entry(value.clone()).or_default() -= *count;
        }
    }

    /// Packs it into rows: one, unless it has very many values.
    pub(super) fn rows(&self, app_id: AppId, asset_class: i16) -> Vec<delta::Model> {
        let values: Vec<(&Value, &Count)> = self.values.iter().collect();
        let mut parts: Vec<&[_]> = values.chunks(VALUES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let row = |(i, part): (usize, &&[(&Value, &Count)])| delta::Model {
            app_id: app_id.get(),
            asset_class,
            delta_id: Uuid::now_v7(),
            items: if i == 0 { self.total.items } else { 0 },
            machines: if i == 0 { self.total.machines } else { 0 },
            days: if i == 0 { Days::pack(&self.days) } else { Vec::new() },
            weight: i32::try_from(part.len()).unwrap_or(i32::MAX),
            changes: Values::pack(part),
        };
        parts.iter().enumerate().map(row).collect()
    }

    /// Adds a packed row.
    pub(super) fn unpack(&mut self, row: &delta::Model) -> Result<(), DbErr> {
        self.total += Count { items: row.items, machines: row.machines };
        for (day, items) in unpack_days(&row.days)? {
            *self.days.entry(day).or_default() += items;
        }
        if !row.changes.is_empty() {
            let packed = Values::decode(row.changes.as_slice()).map_err(|e| DbErr::Custom(e.to_string()))?;
            readable(packed.version)?;
            for ((value, items), machines) in packed.values.into_iter().zip(packed.items).zip(packed.machines) {
                *self.values.entry(value.into()).or_default() += Count { items, machines };
            }
        }
        Ok(())
    }
}

/// Reads the packed changes per day.
pub(super) fn unpack_days(bytes: &[u8]) -> Result<impl Iterator<Item = (i32, i64)>, DbErr> {
    let packed = Days::decode(bytes).map_err(|e| DbErr::Custom(e.to_string()))?;
    if !bytes.is_empty() {
        readable(packed.version)?;
    }
    Ok(packed.days.into_iter().zip(packed.items))
}

fn readable(version: u32) -> Result<(), DbErr> {
    if version == VERSION {
        Ok(())
    } else {
        Err(DbErr::Custom(format!("a change of counts is packed in a way ({version}) that this build cannot read")))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Days {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(sint32, repeated, tag = "2")]
    days: Vec<i32>,
    #[prost(sint64, repeated, tag = "3")]
    items: Vec<i64>,
}

impl Days {
    fn pack(days: &BTreeMap<i32, i64>) -> Vec<u8> {
        if days.is_empty() {
            return Vec::new();
        }
        let (days, items) = days.iter().map(|(day, items)| (*day, *items)).unzip();
        Self { version: VERSION, days, items }.encode_to_vec()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Values {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, repeated, tag = "2")]
    values: Vec<String>,
    #[prost(sint64, repeated, tag = "3")]
    items: Vec<i64>,
    #[prost(sint64, repeated, tag = "4")]
    machines: Vec<i64>,
}

impl Values {
    fn pack(part: &[(&Value, &Count)]) -> Vec<u8> {
        if part.is_empty() {
            return Vec::new();
        }
        Self {
            version: VERSION,
            values: part.iter().map(|(value, _)| value.to_string()).collect(),
            items: part.iter().map(|(_, count)| count.items).collect(),
            machines: part.iter().map(|(_, count)| count.machines).collect(),
        }
        .encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn count() -> impl Strategy<Value = Count> {
        (-5..5i64, -5..5i64).prop_map(|(items, machines)| Count { items, machines })
    }

    fn change() -> impl Strategy<Value = Change> {
        let value = prop_oneof!["[a-z]{0,3}", "\\PC{1,8}"].prop_map(super::Value::from);
        (count(), btree_map(-3..20_500i32, -9..9i64, 0..4), btree_map(value, count(), 0..40))
            .prop_map(|(total, days, values)| Change { total, days, values })
    }

    fn unpacked(rows: &[delta::Model]) -> Change {
        let mut change = Change::default();
        rows.iter().for_each(|row| change.unpack(row).unwrap());
        change
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(change in change()) {
            prop_assert_eq!(unpacked(&change.rows(AppId::from_row(1), 2)), change);
        }

        #[test]
        fn a_change_and_its_opposite_are_nothing(one in change(), other in change()) {
            let mut sum = one.clone();
            sum.add(other.clone());
            sum.subtract(&one);
            sum.subtract(&other);
            sum.settle();
            prop_assert!(sum.is_nothing());
        }
    }

    #[test]
    fn many_values_take_several_rows_and_are_counted_once() {
        let one = Count { items: 1, machines: 1 };
        let change = Change {
            total: Count { items: 4001, machines: 1 },
            days: BTreeMap::from([(20_000, 4001)]),
            values: (0..4001).map(|n| (n.to_string().into(), one)).collect(),
        };
        let rows = change.rows(AppId::from_row(1), 2);
        assert_eq!(rows.iter().map(|r| r.weight).collect::<Vec<_>>(), [2000, 2000, 1]);
        assert_eq!(unpacked(&rows), change);
    }

    #[test]
    fn a_row_of_another_version_is_refused() {
        let mut row =
            Change { days: BTreeMap::from([(1, 1)]), ..Change::default() }.rows(AppId::from_row(1), 2).remove(0);
        row.days = Days { version: 2, days: vec![1], items: vec![1] }.encode_to_vec();
        assert!(Change::default().unpack(&row).is_err());
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let at = |micros| day(DateTime::from_timestamp_micros(micros).unwrap());
        assert_eq!((at(86_400_000_000 - 1), at(86_400_000_000), at(-1)), (0, 1, -1));
    }
}
