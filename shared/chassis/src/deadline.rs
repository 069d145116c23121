//! How long a call may still take. The deadline layer sets it, the database and the client obey it.

use std::future::Future;
use std::time::Duration;

pub use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The deadline of the call that this task works on, if it has one.
pub fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// What is left of it; zero when it has passed, none outside a call.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs a future under a deadline. A deadline that stands already is never put off.
pub async fn scope<F: Future>(deadline: Instant, future: F) -> F::Output {
    let deadline = current().map_or(deadline, |outer| outer.min(deadline));
    DEADLINE.scope(deadline, future).await
}

/// Runs a closure under a deadline; for bodies that are polled outside the call's future.
pub(crate) fn sync_scope<R>(deadline: Instant, run: impl FnOnce() -> R) -> R {
    DEADLINE.sync_scope(deadline, run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_inner_scope_cannot_put_the_deadline_off() {
        assert_eq!(remaining(), None);
        let now = Instant::now();
        scope(now + Duration::from_secs(1), async {
            scope(now + Duration::from_secs(5), async {
                assert!(remaining().unwrap() <= Duration::from_secs(1));
            })
            .await;
        })
        .await;
    }
}
