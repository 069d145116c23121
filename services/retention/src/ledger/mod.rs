//! The ledger: an append-only chain of every change of a deletion's state.

pub mod entity;
pub mod entry;
pub mod export;
pub mod store;

pub use entry::{Broken, Entry, GENESIS, Line, verify};
