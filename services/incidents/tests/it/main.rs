//! The incidents service over real gRPC, on SQLite and on MySQL.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that fails shows where")]

mod attack;
mod erasure;
mod list;
mod login;
mod peer;
mod policy;
mod spool;
mod update;
mod world;
