//! When a call may be sent again.

use std::error::Error;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What a failed attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server went away before it took the call: another connection takes it at once.
    NotProcessed,
    /// No connection could be made: nothing was sent, but the next attempt should wait.
    NotConnected,
    /// The client's own timer fired.
    TimedOut,
    /// Anything may have happened.
    Unknown,
}

/// Reads an error of the transport. Its own text and code do not tell; its sources do.
///
/// The client's HTTP/2 task sees a GOAWAY late and drops the requests queued behind it, which then look cancelled. Such a
/// call, one refused by GOAWAY and one reset with REFUSED_STREAM were never processed: so says the protocol.
pub(super) fn classify(error: &(dyn Error + 'static)) -> Failure {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_canceled()
        {
            return Failure::NotProcessed;
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>()
            && ((h2.is_go_away() && h2.is_remote()) || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
        {
            return Failure::NotProcessed;
        }
        if error.is::<tonic::ConnectError>() {
            return Failure::NotConnected;
        }
        if error.is::<tonic::TimeoutExpired>() {
            return Failure::TimedOut;
        }
        next = error.source();
    }
    Failure::Unknown
}

/// Retries may add a tenth to the load and a burst of ten, so that a service in trouble is not drowned by them.
pub(super) struct Budget {
    /// In tenths of a retry.
    left: AtomicI64,
}

const BURST: i64 = 100;
const COST: i64 = 10;

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicI64::new(BURST) }
    }
}

impl Budget {
    /// A call earns a tenth of a retry.
    pub(super) fn earn(&self) {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left < BURST).then_some(left + 1));
    }

    /// Whether a retry may be made; takes it from the budget.
    pub(super) fn spend(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left >= COST).then_some(left - COST))
            .is_ok()
    }
}

/// The wait before the next attempt: a random part of a time that doubles.
pub(super) fn backoff(base: Duration, max: Duration, attempt: u32) -> Duration {
    let ceiling = base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(max);
    ceiling.mul_f64(rand::random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_ends_and_is_earned_back() {
        let budget = Budget::default();
        assert_eq!((0..50).filter(|_| budget.spend()).count(), 10);
        (0..10).for_each(|_| budget.earn());
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    #[test]
    fn a_wait_never_passes_its_limit() {
        for attempt in 1..100 {
            assert!(backoff(Duration::from_millis(50), Duration::from_secs(1), attempt) <= Duration::from_secs(1));
        }
    }
}
