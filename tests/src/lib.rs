//! The harness of the end-to-end suites.

pub mod balancer;
pub mod faults;
pub mod host;
pub mod issuer;
pub mod mysqld;
pub mod otlp;
pub mod process;
pub mod services;
pub mod world;
