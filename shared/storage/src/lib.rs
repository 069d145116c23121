#![doc = include_str!("../README.md")]

pub mod config;
mod connect;
mod db;
pub mod dialect;
pub mod erase;
pub mod error;
mod fault;
pub mod feed;
pub mod fence;
pub mod follow;
pub mod guard;
pub mod keys;
pub mod lease;
mod line;
pub mod mark;
pub mod migrate;
pub mod once;
pub mod page;
pub mod registry;
mod retry;
mod session;
mod tenanted;
mod transact;
pub mod watch;

pub use config::Database;
pub use db::Db;
pub use dialect::{Dialect, Type};
pub use erase::Eraser;
pub use error::{OrRefuse, OrUnknown, StoreError, StoreResult};
pub use fence::State;
pub use guard::{Fenced, HasTenant, OpeningTx, SystemRead, SystemTx, TenantRead, TenantTx, Writes};
pub use keys::Keys;
pub use lease::Lease;
pub use once::Once;
pub use registry::Registry;
pub use tenanted::Tenanted;
pub use transact::TRANSACTION;

pub(crate) use fault::fault;
