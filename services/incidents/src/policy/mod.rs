//! The tenants' login whitelists, followed from configuration and kept here, so that a login can be judged while
//! configuration is away.

pub mod entity;
pub(crate) mod follow;
pub(crate) mod ops;
pub mod store;
