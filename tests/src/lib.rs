//! The harness of the end-to-end suites.

pub mod otlp;
pub mod process;
pub mod world;
