//! End-to-end suites, one file a capability, over real gRPC and real databases.

mod contracts;
mod demo;
mod lifecycle;
mod processes;
mod refusals;
mod reports;
