//! The inventory service.
fn main() {}
