//! `cwpp`.
fn main() {}
