//! Times between the contract and the database.

use chrono::{DateTime, SubsecRound, Utc};
use prost_types::Timestamp;

/// Returns the contract's form of a stored time.
pub(crate) fn message(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0) }
}

/// Returns a time of a request cut to the microseconds that are stored; none where it is none.
pub(crate) fn stored(time: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?).map(|time| time.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused_and_the_rest_is_cut_to_microseconds() {
        assert_eq!(stored(&Timestamp { seconds: i64::MAX, nanos: 0 }), None);
        assert_eq!(stored(&Timestamp { seconds: 0, nanos: -1 }), None);
        let time = stored(&Timestamp { seconds: 1, nanos: 1_999 }).expect("a time");
        assert_eq!(message(time), Timestamp { seconds: 1, nanos: 1_000 });
    }
}
