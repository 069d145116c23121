//! Clocks of hosts are data: their skew is recorded, and clamped where it is absurd.

use chrono::{DateTime, Utc};
use prost_types::Duration;

/// The most that a clock may be off before it is clamped and flagged: a day, in microseconds.
const MOST: i64 = 86_400_000_000;

/// How far a host's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skew {
    /// The host's clock minus the server's in microseconds, clamped to a day either way.
    pub micros: i64,
    /// Whether it was clamped.
    pub clamped: bool,
}

impl Skew {
    /// Compares a host's clock with the server's; a host that tells no time is taken as right.
    pub fn of(observed: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let Some(observed) = observed else { return Self::default() };
        let micros = observed.timestamp_micros().saturating_sub(now.timestamp_micros());
        Self { micros: micros.clamp(-MOST, MOST), clamped: micros.abs() > MOST }
    }
}

/// Writes microseconds as a duration of the contract.
pub fn duration(micros: i64) -> Duration {
    Duration { seconds: micros / 1_000_000, nanos: i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_clock_more_than_a_day_off_is_clamped_and_flagged() {
        let now = Utc::now();
        assert_eq!(Skew::of(Some(now + TimeDelta::hours(24)), now), Skew { micros: MOST, clamped: false });
        assert_eq!(Skew::of(Some(now + TimeDelta::hours(25)), now), Skew { micros: MOST, clamped: true });
        assert_eq!(Skew::of(Some(now - TimeDelta::days(9)), now), Skew { micros: -MOST, clamped: true });
        assert_eq!(Skew::of(None, now), Skew::default());
        assert_eq!(duration(-1_500_000), Duration { seconds: -1, nanos: -500_000_000 });
    }
}
