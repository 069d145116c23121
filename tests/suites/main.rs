//! End-to-end suites, one file a capability, over real gRPC and real databases.

mod agents;
mod commands;
mod contracts;
mod demo;
mod fields;
mod kills_of_changes;
mod kills_of_purges;
mod kills_of_reports;
mod lifecycle;
mod logs;
mod processes;
mod refusals;
mod reports;
mod stops;
mod tokens;
mod whitelists;
