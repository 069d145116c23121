//! The states of a deletion, which may follow which, and the latest time of each.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_contracts::retention::v1 as wire;

/// From the effective time, the promise is kept within this time, one day before the seven days of the agreement.
pub const PROMISED: Duration = Duration::from_secs(144 * 3600);

/// Where a deletion stands. Stored and sent as the contract's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Writes are refused; may be cancelled.
    Scheduled,
    /// Being sealed in every service.
    Sealing,
    /// Sealed in every service.
    Sealed,
    /// Rows are being deleted.
    Purging,
    /// Deleting, held back for the sake of others.
    Throttled,
    /// Being counted under another claim.
    Verifying,
    /// Waiting until copies that hold the data have expired.
    ResidueWait,
    /// Over, with a certificate.
    Certified,
    /// Called off.
    Cancelled,
}

impl State {
    /// Every state, in the order of a deletion's life.
    pub const ALL: [State; 9] = [
        State::Scheduled,
        State::Sealing,
        State::Sealed,
        State::Purging,
        State::Throttled,
        State::Verifying,
        State::ResidueWait,
        State::Certified,
        State::Cancelled,
    ];

    /// Returns the contract's value.
    pub fn to_wire(self) -> wire::DeletionState {
        match self {
            State::Scheduled => wire::DeletionState::Scheduled,
            State::Sealing => wire::DeletionState::Sealing,
            State::Sealed => wire::DeletionState::Sealed,
            State::Purging => wire::DeletionState::Purging,
            State::Throttled => wire::DeletionState::Throttled,
            State::Verifying => wire::DeletionState::Verifying,
            State::ResidueWait => wire::DeletionState::ResidueWait,
            State::Certified => wire::DeletionState::Certified,
            State::Cancelled => wire::DeletionState::Cancelled,
        }
    }

    /// Returns the stored number.
    pub fn number(self) -> i16 {
        // The contract's numbers are 1 to 9.
        i16::try_from(self.to_wire() as i32).unwrap_or_default()
    }

    /// Reads a stored number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Returns the name as the ledger and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            State::Scheduled => "SCHEDULED",
            State::Sealing => "SEALING",
            State::Sealed => "SEALED",
            State::Purging => "PURGING",
            State::Throttled => "THROTTLED",
            State::Verifying => "VERIFYING",
            State::ResidueWait => "RESIDUE_WAIT",
            State::Certified => "CERTIFIED",
            State::Cancelled => "CANCELLED",
        }
    }

    /// Says whether nothing follows.
    pub fn is_over(self) -> bool {
        matches!(self, State::Certified | State::Cancelled)
    }

    /// Says whether `next` may follow.
    pub fn may_become(self, next: State) -> bool {
        match self {
            State::Scheduled => matches!(next, State::Sealing | State::Cancelled),
            State::Sealing => next == State::Sealed,
            // Back to SEALING where a server came up that lacks the seal.
            State::Sealed => matches!(next, State::Purging | State::Sealing),
            State::Purging => matches!(next, State::Throttled | State::Verifying | State::Sealing),
            State::Throttled => matches!(next, State::Purging | State::Sealing),
            State::Verifying => matches!(next, State::ResidueWait | State::Purging | State::Sealing),
            State::ResidueWait => matches!(next, State::Certified | State::Purging | State::Sealing),
            State::Certified | State::Cancelled => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the time from T0, the effective time of the termination, is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How long it stays SCHEDULED.
    pub grace: Duration,
    /// How long sealing may take; part of `purge`.
    pub seal: Duration,
    /// How long sealing, purging and verifying may take.
    pub purge: Duration,
    /// How long backups and logs hold what was deleted.
    pub residue: Duration,
}

/// Why a budget is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// The parts together break the promise.
    #[error("grace, purge and residue take {0} h together; at most 144 h from the effective time are allowed")]
    Promise(u64),
    /// Sealing takes more than the part that it belongs to.
    #[error("deletion.seal must be shorter than deletion.purge")]
    Seal,
}

impl Budget {
    /// Checks that the promise can be kept.
    pub fn check(&self) -> Result<(), OverBudget> {
        let total = self.grace.saturating_add(self.purge).saturating_add(self.residue);
        if total > PROMISED {
            return Err(OverBudget::Promise(total.as_secs().div_ceil(3600)));
        }
        if self.seal >= self.purge {
            return Err(OverBudget::Seal);
        }
        Ok(())
    }

    /// Returns the latest time by which a deletion leaves this state; of states that are over, the last deadline.
    pub fn leave_by(&self, state: State, effective: DateTime<Utc>) -> DateTime<Utc> {
        let after = match state {
            State::Scheduled => self.grace,
            State::Sealing | State::Sealed => self.grace + self.seal,
            State::Purging | State::Throttled | State::Verifying => self.grace + self.purge,
            State::ResidueWait => self.grace + self.purge + self.residue,
            State::Certified | State::Cancelled => PROMISED,
        };
        later(effective, after)
    }

    /// Returns the time by which everything must be gone.
    pub fn deadline(&self, effective: DateTime<Utc>) -> DateTime<Utc> {
        later(effective, PROMISED)
    }
}

/// Adds a duration to a time.
pub fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| time.checked_add_signed(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn budget() -> Budget {
        Budget { grace: 24 * HOUR, seal: HOUR, purge: 24 * HOUR, residue: 72 * HOUR }
    }

    #[test]
    fn the_defaults_leave_a_day() {
        let effective = DateTime::UNIX_EPOCH;
        assert_eq!(budget().check(), Ok(()));
        let last = budget().leave_by(State::ResidueWait, effective);
        assert_eq!(budget().deadline(effective) - last, TimeDelta::hours(24));
    }

    #[test]
    fn a_budget_over_the_promise_is_refused() {
        let over = Budget { residue: 97 * HOUR, ..budget() };
        assert_eq!(over.check(), Err(OverBudget::Promise(145)));
        assert_eq!(Budget { residue: 96 * HOUR, ..budget() }.check(), Ok(()));
        assert_eq!(Budget { seal: 24 * HOUR, ..budget() }.check(), Err(OverBudget::Seal));
    }

    #[test]
    fn deadlines_never_go_back_along_a_life() {
        let times = State::ALL.map(|state| budget().leave_by(state, DateTime::UNIX_EPOCH));
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn numbers_read_back_and_are_the_contracts() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
            assert_eq!(state.to_wire().as_str_name(), format!("DELETION_STATE_{state}"));
        }
        assert_eq!(State::from_number(0), None);
        assert_eq!(State::from_number(10), None);
    }

    #[test]
    fn only_a_scheduled_deletion_is_cancelled_and_only_a_waiting_one_certified() {
        for state in State::ALL {
            assert_eq!(state.may_become(State::Cancelled), state == State::Scheduled);
            assert_eq!(state.may_become(State::Certified), state == State::ResidueWait);
            assert!(!state.may_become(State::Scheduled));
            assert!(!state.is_over() || State::ALL.iter().all(|next| !state.may_become(*next)));
        }
    }

    #[test]
    fn nothing_leads_around_the_seal() {
        // From SCHEDULED, without passing SEALED, no state in which rows are deleted can be reached.
        let mut seen = vec![State::Scheduled];
        let mut at = 0;
        while let Some(state) = seen.get(at).copied() {
            let next = State::ALL.into_iter().filter(|next| state.may_become(*next) && *next != State::Sealed);
            let fresh: Vec<_> = next.filter(|next| !seen.contains(next)).collect();
            seen.extend(fresh);
            at += 1;
        }
        assert!(!seen.contains(&State::Purging));
    }
}
