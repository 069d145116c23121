//! The inventory service over real gRPC, on SQLite and on MySQL.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that fails shows where")]

mod account_change;
mod check;
mod class;
mod clone;
mod count;
mod deletion;
mod erasure;
mod explain;
mod explain_counts;
mod export;
mod fixture;
mod fleet;
mod form;
mod list;
mod machine;
mod policy;
mod property;
mod removal;
mod report;
mod residual;
mod text;
mod top;
mod unread;
mod version;
mod watch;
mod world;
