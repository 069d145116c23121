//! Machines: enrolment, signs of life, lists.

pub mod address;
pub mod contact;
pub mod day;
pub mod entity;
pub mod instance;
pub mod liveness;
pub mod load;
pub mod ops;
pub mod os_name;
pub mod query;
pub mod removal;
pub mod removed_day;
mod rpc;
pub(crate) mod schema;
pub mod skew;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod tag;
pub mod tag_count;
pub mod watch;
mod wire;

pub(crate) use wire::{bytes, canonical};
