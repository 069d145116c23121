//! What the tenant wants: its policies of the kinds that concern inventory, followed from configuration. The last that was
//! heard is obeyed, however long configuration is away.

pub mod collection;
pub mod entity;
pub(crate) mod follow;
pub mod offline;
mod schema;
pub mod store;

pub(crate) use schema::migrations;
