//! Assets: what is found on machines, class by class.

pub mod account_change;
pub mod apply;
pub mod batch;
pub mod budget;
pub mod check;
pub mod class;
pub mod count;
pub mod deletion;
pub mod diff;
pub mod fold;
pub mod form;
pub mod natural_key;
pub mod ops;
pub mod query;
pub mod receive;
pub mod remove;
pub mod row;
mod rpc;
pub mod sieve;
pub mod snapshot;
pub mod store;
pub mod tally;
pub mod token;
pub mod unread;
pub mod watch;
