//! The inventory service over real gRPC, on SQLite and on MySQL.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that fails shows where")]

mod class;
mod clone;
mod collection;
mod count;
mod erasure;
mod explain;
mod export;
mod fixture;
mod fleet;
mod list;
mod machine;
mod property;
mod removal;
mod report;
mod version;
mod watch;
mod world;
