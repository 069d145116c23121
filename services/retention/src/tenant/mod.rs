//! Tenants: followed at configuration, opened in every service.

pub mod entity;
pub mod follow;
pub mod open;
pub mod store;
