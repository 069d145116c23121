//! The way of a call through its guard, over real gRPC.

mod guard;
mod jwt;
mod world;
