//! The configuration service.
fn main() {}
