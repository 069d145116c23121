//! Deletions: asked for, worked through their states, watched.

pub mod entity;
pub mod ops;
pub mod purge;
pub mod rpc;
pub mod run;
pub mod seal;
pub mod state;
pub mod store;
pub mod verify;
pub mod wire;
pub mod worker;

/// The services in the order of the purge.
const ORDER: [&str; 4] = ["inventory", "incidents", crate::peer::CONFIGURATION, crate::peer::OWN];

/// Returns the place of a service in the order of the purge.
fn place(service: &str) -> usize {
    ORDER.iter().position(|name| *name == service).unwrap_or(ORDER.len())
}
