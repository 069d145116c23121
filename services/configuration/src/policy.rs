//! Policies: what a tenant wants to happen on its machines.
//!
//! One engine for every kind: names, scopes, etags, revisions, limits and the feed are here, what a kind says is in
//! `kind/`.

mod draft;
pub mod entity;
pub mod head;
mod kind;
pub mod machine;
pub(crate) mod ops;
pub mod revision;
pub(crate) mod rpc;
pub(crate) mod store;
mod watch;
