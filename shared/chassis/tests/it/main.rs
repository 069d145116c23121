//! The chassis from the outside: a small service of its own, started in this process, called over real connections.
#![allow(clippy::unwrap_used)]

mod calls;
mod client;
mod configuration;
mod health;
mod lifecycle;
mod probe;
mod process;
mod tls;
mod traces;
