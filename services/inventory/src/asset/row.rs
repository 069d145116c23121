//! A row's own columns, written once in a class and used twice: hashed, and bound to a statement.

use chrono::{DateTime, Utc};
use sea_orm::Value;
use uuid::Uuid;

use super::class::{Class, Column, Item};
use super::natural_key::short;

/// Takes the values of a class's own columns, in the order of [`super::class::Class::columns`].
pub trait Sink {
    /// Takes a text.
    fn text(&mut self, value: &str);
    /// Takes texts, kept as a JSON array.
    fn texts(&mut self, value: &[String]);
    /// Takes records, each a list of texts; kept as a JSON array of arrays.
    fn records(&mut self, value: &[Vec<String>]);
    /// Takes bytes.
    fn bytes(&mut self, value: &[u8]);
    /// Takes a stored enum.
    fn small(&mut self, value: i16);
    /// Takes a number.
    fn unsigned(&mut self, value: u32);
    /// Takes a number; none is unknown.
    fn number(&mut self, value: Option<u32>);
    /// Takes a number of 64 bits; none is unknown.
    fn big(&mut self, value: Option<i64>);
    /// Takes a flag; none is unknown.
    fn flag(&mut self, value: Option<bool>);
    /// Takes a time cut to microseconds; none is unknown.
    fn time(&mut self, value: Option<DateTime<Utc>>);
}

/// Hashes the values that make a change: all but the volatile ones, and the coarse ones coarsely.
#[derive(Debug)]
pub struct RowHash<'a> {
    bytes: &'a mut Vec<u8>,
    columns: std::slice::Iter<'static, Column>,
}

impl<'a> RowHash<'a> {
    /// Starts a row; the buffer is kept for the next.
    pub fn start(bytes: &'a mut Vec<u8>, columns: &'static [Column]) -> Self {
        bytes.clear();
        Self { bytes, columns: columns.iter() }
    }

    /// Returns the hash, 16 bytes.
    pub fn finish(self) -> Uuid {
        short(&blake3::hash(self.bytes))
    }

    /// Says whether the next value is of a coarse column.
    fn is_coarse(&self) -> bool {
        self.columns.as_slice().first().is_some_and(|c| c.coarse)
    }

    fn put(&mut self, tag: u8, value: &[u8]) {
        if self.columns.next().is_some_and(|c| c.volatile && !c.coarse) {
            return;
        }
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(value);
    }
}

/// Keeps the first four bits of a number: two that differ by more than an eighth are never the same.
fn first_bits(number: i64) -> i64 {
    let rest = (u64::BITS - number.leading_zeros()).saturating_sub(4);
    number >> rest << rest
}

impl Sink for RowHash<'_> {
    fn text(&mut self, value: &str) {
        self.put(1, value.as_bytes());
    }

    fn texts(&mut self, value: &[String]) {
        let mut all = Vec::with_capacity(value.iter().map(|t| t.len() + 8).sum());
        for text in value {
            all.extend_from_slice(&(text.len() as u64).to_le_bytes());
            all.extend_from_slice(text.as_bytes());
        }
        self.put(2, &all);
    }

    fn records(&mut self, value: &[Vec<String>]) {
        let mut all = Vec::new();
        for record in value {
            all.extend_from_slice(&(record.len() as u64).to_le_bytes());
            for text in record {
                all.extend_from_slice(&(text.len() as u64).to_le_bytes());
                all.extend_from_slice(text.as_bytes());
            }
        }
        self.put(8, &all);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.put(9, value);
    }

    fn small(&mut self, value: i16) {
        self.put(3, &value.to_le_bytes());
    }

    fn unsigned(&mut self, value: u32) {
        self.put(4, &value.to_le_bytes());
    }

    fn number(&mut self, value: Option<u32>) {
        match value {
            Some(number) => self.put(10, &number.to_le_bytes()),
            None => self.put(11, &[]),
        }
    }

    fn big(&mut self, value: Option<i64>) {
        match value {
            Some(number) if self.is_coarse() => self.put(12, &first_bits(number).to_le_bytes()),
            Some(number) => self.put(12, &number.to_le_bytes()),
            None => self.put(13, &[]),
        }
    }

    fn flag(&mut self, value: Option<bool>) {
        self.put(5, &[value.map_or(2, u8::from)]);
    }

    fn time(&mut self, value: Option<DateTime<Utc>>) {
        match value {
            Some(at) if self.is_coarse() => self.put(6, &at.timestamp().div_euclid(86_400).to_le_bytes()),
            Some(at) => self.put(6, &at.timestamp_micros().to_le_bytes()),
            None => self.put(7, &[]),
        }
    }
}

/// Picks one value out of a row: what is counted of it.
#[derive(Debug, Default)]
pub struct Pick {
    column: usize,
    at: usize,
    value: String,
}

impl Pick {
    /// Makes a pick of a class's counted column.
    pub fn of(class: &dyn Class) -> Self {
        let column = class.columns().iter().position(|c| c.name == class.counted()).unwrap_or(usize::MAX);
        Self { column, ..Self::default() }
    }

    /// Returns the counted value of an item.
    pub fn value(&mut self, class: &dyn Class, item: &Item) -> &str {
        self.at = 0;
        self.value.clear();
        class.store(item, self);
        &self.value
    }

    fn is_next(&mut self) -> bool {
        self.at += 1;
        self.at == self.column + 1
    }

    fn digits(&mut self, number: i64) {
        if self.is_next() {
            self.value = number.to_string();
        }
    }
}

impl Sink for Pick {
    fn text(&mut self, value: &str) {
        if self.is_next() {
            self.value.push_str(value);
        }
    }

    fn texts(&mut self, _: &[String]) {
        self.is_next();
    }

    fn records(&mut self, _: &[Vec<String>]) {
        self.is_next();
    }

    fn bytes(&mut self, _: &[u8]) {
        self.is_next();
    }

    fn number(&mut self, _: Option<u32>) {
        self.is_next();
    }

    fn big(&mut self, _: Option<i64>) {
        self.is_next();
    }

    fn small(&mut self, value: i16) {
        self.digits(value.into());
    }

    fn unsigned(&mut self, value: u32) {
        self.digits(value.into());
    }

    fn flag(&mut self, _: Option<bool>) {
        self.is_next();
    }

    fn time(&mut self, _: Option<DateTime<Utc>>) {
        self.is_next();
    }
}

/// Collects the values for a statement.
impl Sink for Vec<Value> {
    fn text(&mut self, value: &str) {
        self.push(Value::String(Some(value.to_owned())));
    }

    fn texts(&mut self, value: &[String]) {
        self.push(Value::Json(Some(Box::new(value.into()))));
    }

    fn records(&mut self, value: &[Vec<String>]) {
        self.push(Value::Json(Some(Box::new(value.into()))));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.push(Value::Bytes(Some(value.to_vec())));
    }

    fn small(&mut self, value: i16) {
        self.push(Value::SmallInt(Some(value)));
    }

    fn unsigned(&mut self, value: u32) {
        self.push(Value::Unsigned(Some(value)));
    }

    fn number(&mut self, value: Option<u32>) {
        self.push(Value::Unsigned(value));
    }

    fn big(&mut self, value: Option<i64>) {
        self.push(Value::BigInt(value));
    }

    fn flag(&mut self, value: Option<bool>) {
        self.push(Value::Bool(value));
    }

    fn time(&mut self, value: Option<DateTime<Utc>>) {
        self.push(Value::ChronoDateTimeUtc(value));
    }
}
