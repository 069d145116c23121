//! What the tenant wants collected: its collection settings, followed from configuration. The last that was heard is
//! obeyed, however long configuration is away.

pub mod entity;
pub(crate) mod follow;
mod schema;
pub mod settings;
pub mod store;

pub(crate) use schema::migrations;
