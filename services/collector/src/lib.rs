//! Reads a real Linux host: its accounts, its installed packages, the facts of the machine and the
//! logins that sshd wrote down; and reports them ([`report`]). Everything is read from files below a [`Root`]; no program is run.
//!
//! A source that cannot be read is reported as such ([`class::Outcome`]), never as empty.

pub mod authlog;
pub mod class;
pub mod command;
mod config;
pub mod container;
mod cost;
mod display;
mod host;
pub mod machine;
mod person;
pub mod process;
mod product;
mod redact;
pub mod report;
mod root;
mod snapshot;
mod socket;
pub mod spool;
mod sqlite;
mod systemd;
mod text;

pub use cost::Cost;
pub use display::{print_class, print_cost, print_overview};
pub use host::Host;
pub use root::{ReadError, Root};
pub use snapshot::{Snapshot, collect, print_snapshot};
