//! Certificates: the proof that a tenant's data is gone, verified by anybody without us.

pub mod document;
pub mod entity;
pub mod key;
pub mod ops;
pub mod store;

pub use document::{
    Backups, Build, Certificate, Deleted, FORMAT, LedgerHead, Problem, Service, Times, digest, embedded_key, sign,
    verify,
};
pub use key::{PublicKey, Signer};
