//! The incidents service.
fn main() {}
