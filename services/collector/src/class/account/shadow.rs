//! `/etc/shadow`. Hashes are looked at for their first byte and never leave this file.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::PasswordStatus;
use super::passwd::User;
use crate::text;

const DAY: i64 = 86_400;
/// 31 December 9999.
const LAST_DAY: i64 = 2_932_896;
/// From here on the maximum age means never.
const NEVER: i64 = 99_999;
/// The warning time where none is written.
const WARN_DAYS: i64 = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Password {
    Usable,
    /// None is needed.
    Empty,
    /// Matches none.
    Locked,
    /// By `!`, for which sshd may refuse the account altogether.
    Barred,
}

/// What the file says of an account, in days since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shadow {
    password: Password,
    changed: Option<i64>,
    max_age: Option<i64>,
    warn: Option<i64>,
    lock: Option<i64>,
    expires: Option<i64>,
}

/// Reads the file; malformed lines are passed over. The first entry of a name counts.
pub(super) fn parse(bytes: &[u8]) -> HashMap<Vec<u8>, Shadow> {
    let mut entries = HashMap::new();
    for (_, line) in text::lines(bytes) {
        let parts: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let [name, password, rest @ ..] = parts.as_slice() else { continue };
        if name.is_empty() || matches!(name[0], b'#' | b'+' | b'-') {
            continue;
        }
        let day = |at: usize| -> Option<i64> {
            std::str::from_utf8(rest.get(at)?).ok()?.trim().parse().ok().filter(|&days| (0..=4_000_000).contains(&days))
        };
        entries.entry(name.to_vec()).or_insert(Shadow {
            password: kind(password),
            changed: day(0),
            max_age: day(2),
            warn: day(3),
            lock: day(4),
            expires: day(5),
        });
    }
    entries
}

/// What is known of an account's password: from the old place in `passwd`, or from the shadow file if it was read.
pub(super) fn of(user: &User, shadow: Option<&HashMap<Vec<u8>, Shadow>>) -> Option<Shadow> {
    let alone = |password| Shadow { password, changed: None, max_age: None, warn: None, lock: None, expires: None };
    if user.password != b"x" {
        return Some(alone(kind(&user.password)));
    }
    // Without an entry there is no password that could match.
    shadow.map(|entries| entries.get(&user.raw_name).copied().unwrap_or(alone(Password::Locked)))
}

/// No hash begins with `!` or `*`: such a field matches no password.
fn kind(field: &[u8]) -> Password {
    match field.first() {
        None => Password::Empty,
        Some(b'!') => Password::Barred,
        Some(b'*') => Password::Locked,
        Some(_) => Password::Usable,
    }
}

impl Shadow {
    pub(super) fn has_password(&self) -> bool {
        matches!(self.password, Password::Usable | Password::Empty)
    }

    /// True when anybody is let in without a password.
    pub(super) fn is_empty(&self) -> bool {
        self.password == Password::Empty
    }

    /// True when the field begins with `!`.
    pub(super) fn is_barred(&self) -> bool {
        self.password == Password::Barred
    }

    pub(super) fn changed(&self) -> Option<DateTime<Utc>> {
        // Day 0 is a request to change it, not a date.
        self.changed.filter(|&day| day > 0).and_then(midnight)
    }

    fn last_day(&self) -> Option<i64> {
        let changed = self.changed.filter(|&day| day > 0)?;
        Some(changed + self.max_age.filter(|&days| days < NEVER)?)
    }

    pub(super) fn password_expires(&self) -> Option<DateTime<Utc>> {
        self.last_day().and_then(midnight)
    }

    pub(super) fn warn_days(&self) -> Option<u32> {
        self.warn.and_then(|days| days.try_into().ok())
    }

    pub(super) fn lock_days(&self) -> Option<u32> {
        self.lock.and_then(|days| days.try_into().ok())
    }

    pub(super) fn account_expires(&self) -> Option<DateTime<Utc>> {
        self.expires.and_then(midnight)
    }

    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|day| today(now) >= day)
    }

    pub(super) fn status(&self, now: DateTime<Utc>) -> PasswordStatus {
        if !self.has_password() {
            return PasswordStatus::Locked;
        }
        let today = today(now);
        match self.last_day() {
            _ if self.changed == Some(0) => PasswordStatus::Expired,
            Some(day) if today > day => PasswordStatus::Expired,
            Some(day) if today + self.warn.unwrap_or(WARN_DAYS) >= day => PasswordStatus::Expiring,
            _ => PasswordStatus::Normal,
        }
    }
}

fn today(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(DAY)
}

fn midnight(day: i64) -> Option<DateTime<Utc>> {
    // Later than the year 9999 is as good as never, and no service takes it.
    (day <= LAST_DAY).then(|| DateTime::from_timestamp(day.checked_mul(DAY)?, 0))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &[u8], today: i64) -> PasswordStatus {
        parse(line).values().next().unwrap().status(midnight(today).unwrap())
    }

    #[test]
    fn a_password_passes_from_normal_to_expired() {
        let line = b"a:$y$x:1000:0:90:7:::";
        assert_eq!(status(line, 1082), PasswordStatus::Normal);
        assert_eq!(status(line, 1083), PasswordStatus::Expiring);
        assert_eq!(status(line, 1090), PasswordStatus::Expiring);
        assert_eq!(status(line, 1091), PasswordStatus::Expired);
        assert_eq!(status(b"a:$y$x:1000:0:99999:7:::", 9_000), PasswordStatus::Normal);
        assert_eq!(status(b"a:$y$x:0:0:99999:7:::", 9_000), PasswordStatus::Expired);
        assert!(
            parse(b"a:$y$x:2932000:0:9000:7::3999999:")
                .values()
                .all(|s| { s.changed().is_some() && s.password_expires().is_none() && s.account_expires().is_none() })
        );
        assert_eq!(status(b"a:!$y$x:1000:0:90:7:::", 1000), PasswordStatus::Locked);
    }

    #[test]
    fn days_of_warning_and_grace_are_told_where_they_are_written() {
        let days = |line: &[u8]| parse(line).values().next().map(|s| (s.warn_days(), s.lock_days())).unwrap();
        assert_eq!(days(b"a:$y$x:1000:0:90:7:30::"), (Some(7), Some(30)));
        assert_eq!(days(b"a:$y$x:1000:0:90::0::"), (None, Some(0)));
        assert_eq!(days(b"a:$y$x:1000:0:90:7:-1::"), (Some(7), None));
    }
}
