//! Verdicts: pure functions of stored buckets and whitelists. Nothing here knows a database or a clock.

pub mod bucket;
pub mod cracking;
pub mod login;
mod series;
pub mod severity;

pub use bucket::{AccountKey, Bucket, Span};
pub use cracking::Verdict;
pub use login::{Login, Risks, Whitelist};
