//! Times between the contract and the database.

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use prost_types::Timestamp;

/// Returns the contract's form of a stored time.
pub(crate) fn message(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0) }
}

/// Returns a time of a request cut to the microseconds that are stored; none where it is none, or not of 1970 to 9999.
pub(crate) fn stored(time: &Timestamp) -> Option<DateTime<Utc>> {
    let time = DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)?.trunc_subsecs(6);
    (1970..=9999).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused_and_the_rest_is_cut_to_microseconds() {
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (-1, 0), (253_402_300_800, 0)] {
            assert_eq!(stored(&Timestamp { seconds, nanos }), None, "{seconds} {nanos}");
        }
        let time = stored(&Timestamp { seconds: 1, nanos: 1_999 }).unwrap();
        assert_eq!(message(time), Timestamp { seconds: 1, nanos: 1_000 });
    }
}
