//! What storage promises, held against SQLite and MySQL.
//!
//! MySQL's URL is in `CWPP_TEST_MYSQL_URL`; with `CWPP_TEST_REQUIRE_MYSQL=1` its absence is a failure.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "a test also goes round the tenant, to see that it cannot")]

mod world;

mod cancel;
mod controls;
mod entity;
mod erase;
mod feed;
mod follow;
mod guards;
mod lease;
mod mark;
mod migrate;
mod once;
mod page;
mod registry;
mod seal;
