//! Tenants: who the provider serves. Their identity is kept here, their life cycle is retention's.

pub mod entity;
pub(crate) mod ops;
pub(crate) mod rpc;
mod store;
mod watch;
