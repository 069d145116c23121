//! The retention service over real gRPC, on SQLite and on MySQL, with small services of real databases as its peers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that fails shows where")]

mod brakes;
mod calls;
mod certificate;
mod deletion;
mod follow;
mod notes;
mod resume;
mod schema;
mod world;
