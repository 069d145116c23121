//! The wall clock, injected, so that a test can pass seven days in a second.
//!
//! Legal times come from here. Leases and report tokens use the database's clock instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::watch;

/// A wall clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The time it stands at, or none when it follows the system.
    fixed: Option<DateTime<Utc>>,
    /// How far it was put forward, in microseconds.
    offset: AtomicI64,
    advanced: watch::Sender<()>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::start(None)
    }

    /// A clock that stands at `start` until it is advanced.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::start(Some(start))
    }

    /// The same as [`Clock::manual`]: a clock that stands still.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self::manual(at)
    }

    fn start(fixed: Option<DateTime<Utc>>) -> Self {
        let (advanced, _) = watch::channel(());
        Self { inner: Arc::new(Inner { fixed, offset: AtomicI64::new(0), advanced }) }
    }

    /// The time, cut to the microseconds that a database keeps.
    pub fn now(&self) -> DateTime<Utc> {
        let base = self.inner.fixed.unwrap_or_else(Utc::now);
        (base + TimeDelta::microseconds(self.inner.offset.load(Ordering::SeqCst))).trunc_subsecs(6)
    }

    /// Puts the clock forward and wakes those who sleep by it.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.inner.offset.fetch_add(micros, Ordering::SeqCst);
        self.inner.advanced.send_replace(());
    }

    /// Waits until this clock shows `until`.
    pub async fn sleep_until(&self, until: DateTime<Utc>) {
        let mut advanced = self.inner.advanced.subscribe();
        loop {
            let left = (until - self.now()).to_std().unwrap_or(Duration::ZERO);
            if left.is_zero() {
                return;
            }
            if self.inner.fixed.is_some() {
                // The sender lives as long as `self`, so this ends only when the clock is advanced.
                let _ = advanced.changed().await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    _ = advanced.changed() => {}
                }
            }
        }
    }

    /// Waits for `duration` of this clock.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)).await;
    }

    /// Waits for `interval` of real time, or until the clock is advanced: the pace of a job that looks at this clock.
    pub async fn tick(&self, interval: Duration) {
        let mut advanced = self.inner.advanced.subscribe();
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = advanced.changed() => {}
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_advanced() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(7 * 86_400)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(86_400));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(6 * 86_400));
        sleeper.await.unwrap();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::days(7));
    }

    #[test]
    fn the_time_has_whole_microseconds() {
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1000, 0);
    }
}
