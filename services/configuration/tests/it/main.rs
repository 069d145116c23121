//! The configuration service over real gRPC, on SQLite and on MySQL.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that fails shows where")]

mod erasure;
mod policy;
mod policy_watch;
mod tenant;
mod tenant_watch;
mod world;
