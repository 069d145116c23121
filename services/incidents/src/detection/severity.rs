//! Threat levels of what is found.
//!
//! | finding | level |
//! |---|---|
//! | a login succeeded after the threshold | CRITICAL |
//! | no tried account exists | LOW |
//! | fewer than [`MANY`] attempts | MEDIUM |
//! | [`MANY`] attempts or more | HIGH |
//! | a login that fails one condition of the whitelist | MEDIUM |
//! | a login that fails several | HIGH |
//!
//! A series only grows, so its level never falls.

use cwpp_contracts::common::v1::Severity;

use super::login::Risks;

/// Attempts from which on guessing is not a trial any more.
pub const MANY: u64 = 100;

/// Returns the level of a series of failed logins.
pub fn of_cracking(attempts: u64, account_exists: bool, cracked: bool) -> Severity {
    match (cracked, account_exists) {
        (true, _) => Severity::Critical,
        (false, false) => Severity::Low,
        (false, true) if attempts >= MANY => Severity::High,
        (false, true) => Severity::Medium,
    }
}

/// Returns the level of an abnormal login.
pub fn of_login(risks: Risks) -> Severity {
    if risks.count() > 1 { Severity::High } else { Severity::Medium }
}
