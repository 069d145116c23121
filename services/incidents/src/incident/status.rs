//! The one status machine of incidents.
//!
//! OPEN and IN_PROGRESS are pending; RESOLVED, IGNORED and WHITELISTED are done. From pending every other status can be
//! reached. What is done can only be opened again, so that nobody works on what a colleague closed without seeing that.
//! The status that an incident has already is no change and no error.

use cwpp_contracts::common::v1::ProcessingStatus;

/// Whether an incident can get a status by hand at all; ISOLATED and TRUSTED are of files.
pub fn is_of_incidents(status: ProcessingStatus) -> bool {
    use ProcessingStatus::{Ignored, InProgress, Isolated, Open, Resolved, Trusted, Unspecified, Whitelisted};
    match status {
        Open | InProgress | Resolved | Ignored | Whitelisted => true,
        Unspecified | Isolated | Trusted => false,
    }
}

/// Whether the step from one status to another is admitted.
pub fn admits(from: ProcessingStatus, to: ProcessingStatus) -> bool {
    use ProcessingStatus::{InProgress, Open};
    is_of_incidents(to) && (from == to || to == Open || matches!(from, Open | InProgress))
}

/// Whether a password that turns out to be cracked opens an incident again. A whitelisted source is known to try.
pub fn reopens(from: ProcessingStatus) -> bool {
    matches!(from, ProcessingStatus::Resolved | ProcessingStatus::Ignored)
}

#[cfg(test)]
mod tests {
    use ProcessingStatus::{Ignored, InProgress, Isolated, Open, Resolved, Trusted, Unspecified, Whitelisted};

    use super::*;

    #[test]
    fn every_step_is_decided() {
        let of_incidents = [Open, InProgress, Resolved, Ignored, Whitelisted];
        for from in of_incidents {
            for to in of_incidents {
                let done = matches!(from, Resolved | Ignored | Whitelisted);
                assert_eq!(admits(from, to), !done || to == Open || to == from, "{from:?} to {to:?}");
            }
            for to in [Unspecified, Isolated, Trusted] {
                assert!(!admits(from, to), "{from:?} to {to:?}");
            }
        }
    }
}
