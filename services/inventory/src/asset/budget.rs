//! The memory that reports may take while they are received: one budget per process.

use std::sync::Arc;
use std::time::Duration;

use cwpp_chassis::{Error, Reason, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: u64 = 1024;

/// The budget.
#[derive(Debug, Clone)]
pub struct Budget {
    kib: Arc<Semaphore>,
    size: u64,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reserved {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// Makes a budget of this many bytes.
    pub fn new(bytes: u64) -> Self {
        let size = (bytes / KIB).min(u64::from(u32::MAX) / 2);
        Self { kib: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX))), size }
    }

    /// Reserves what a report declares, or answers `REPORT_BUDGET` and when to repeat.
    pub fn reserve(&self, bytes: u64) -> Result<Reserved> {
        let kib = u32::try_from(bytes.div_ceil(KIB).max(1).min(self.size)).unwrap_or(u32::MAX);
        match self.kib.clone().try_acquire_many_owned(kib) {
            Ok(permit) => {
                metrics::gauge!("inventory_report_budget_free_bytes").set(self.free() as f64);
                Ok(Reserved { _permit: permit })
            }
            Err(_) => {
                metrics::counter!("inventory_report_budget_refusals_total").increment(1);
                // Spread, so that all who were refused do not come back at once.
                let wait = Duration::from_millis(500 + rand::random_range(0..1500u64));
                Err(Error::new(Reason::ReportBudget, "the memory set aside for reports is in use").retry_after(wait))
            }
        }
    }

    /// Returns how many bytes are free.
    pub fn free(&self) -> u64 {
        self.kib.available_permits() as u64 * KIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back() {
        let budget = Budget::new(10 * KIB);
        let first = budget.reserve(6 * KIB).unwrap();
        let refused = budget.reserve(5 * KIB).unwrap_err();
        assert_eq!(refused.reason(), Reason::ReportBudget);
        assert!(refused.retry_delay().is_some());
        let second = budget.reserve(4 * KIB).unwrap();
        drop(first);
        assert!(budget.reserve(5 * KIB).is_ok());
        drop(second);
        assert_eq!(budget.free(), 10 * KIB);
    }
}
