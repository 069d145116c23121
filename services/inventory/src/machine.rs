//! Machines: enrolment, signs of life, lists.

pub mod contact;
pub mod entity;
pub mod liveness;
pub mod ops;
mod rpc;
pub mod skew;
pub mod store;
pub mod watch;

pub(crate) use rpc::canonical;
