//! Repeats a transaction that lost against others, until the deadline.

use std::time::Duration;

use cwpp_chassis::{Error, Reason, Result, deadline};
use rand::RngExt;
use tokio::time::Instant;

use crate::error::{StoreError, Trouble, trouble};
use crate::session::{cut_error, is_cut};

/// How long a transaction is repeated where the call has no deadline.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause; doubles up to the last.
const FIRST: Duration = Duration::from_millis(2);
const LAST: Duration = Duration::from_millis(200);

/// The pauses of one transaction.
pub(crate) struct Retry {
    until: Instant,
    pause: Duration,
    tries: u32,
}

impl Retry {
    pub(crate) fn new() -> Self {
        let patience = deadline::remaining().map_or(PATIENCE, |left| left.min(Duration::from_secs(60)));
        Self { until: Instant::now() + patience, pause: FIRST, tries: 0 }
    }

    /// Waits before the next try, or gives the answer for the caller.
    pub(crate) async fn after(&mut self, error: StoreError) -> Result<()> {
        if is_cut(&error) {
            return Err(cut_error());
        }
        let StoreError::Database(e) = &error else { return Err(error.into()) };
        let Trouble::Contention(reason) = trouble(e) else { return Err(error.into()) };
        self.tries += 1;
        metrics::counter!("db_tx_retries_total", "reason" => reason).increment(1);
        // Full jitter: losers of one deadlock do not meet again.
        let pause = self.pause.mul_f64(rand::rng().random_range(0.2..1.0));
        self.pause = (self.pause * 2).min(LAST);
        if Instant::now() + pause >= self.until {
            let delay = Duration::from_millis(rand::rng().random_range(100..400));
            return Err(Error::new(Reason::Conflict, "other writers were in the way until the time ran out")
                .with("tries", self.tries)
                .with("cause", reason)
                .retry_after(delay)
                .source(error));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
