//! The inventory service.

pub mod asset;
pub mod config;
pub mod keyset;
