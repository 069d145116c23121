//! When machines that are offline are removed.

use cwpp_chassis::Violations;
use cwpp_contracts::configuration::v1::{self as wire, PolicyKind};
use serde::{Deserialize, Serialize};

use super::Kind;

/// Fewest and most days.
const DAYS: std::ops::RangeInclusive<u32> = 1..=365;

/// The kind.
pub(crate) struct OfflineMachineRemoval;

/// The document.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    days: u32,
}

impl Kind for OfflineMachineRemoval {
    const KIND: PolicyKind = PolicyKind::OfflineMachineRemoval;
    const FIELD: &'static str = "offline_machine_removal";
    type Message = wire::OfflineMachineRemoval;
    type Stored = Stored;

    fn check(message: &wire::OfflineMachineRemoval, at: &str, violations: &mut Violations) -> Stored {
        let days = message.days;
        violations.check(DAYS.contains(&days), format!("{at}.days"), format!("must be 1 to 365, is {days}"));
        Stored { days }
    }

    fn message(stored: Stored) -> wire::OfflineMachineRemoval {
        wire::OfflineMachineRemoval { days: stored.days }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_one_to_a_year_and_come_back() {
        for (days, wrong) in [(0, 1), (1, 0), (365, 0), (366, 1), (u32::MAX, 1)] {
            let mut violations = Violations::new();
            let message = wire::OfflineMachineRemoval { days };
            let stored = OfflineMachineRemoval::check(&message, "it", &mut violations);
            assert_eq!(OfflineMachineRemoval::message(stored), message);
            assert_eq!(violations.finish().map_or_else(|error| error.violations().len(), |()| 0), wrong, "{days}");
        }
    }
}
