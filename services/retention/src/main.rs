//! The retention service.
fn main() {}
