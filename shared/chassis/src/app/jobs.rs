//! Background jobs, watched over.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// A restart waits this long at first, twice as long each further time.
const BACKOFF: Duration = Duration::from_millis(500);
/// And never longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Something that a service does in the background: a relay, a sweep, a follower of a feed.
#[derive(Clone)]
pub struct Job {
    name: &'static str,
    run: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Job {
    /// A job of this name. `run` is called again after a panic; a job that returns is done.
    pub fn new<F, Fut>(name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())) }
    }

    /// Runs it until it returns, or panics after the shutdown began.
    pub(super) async fn supervise(self, shutdown: CancellationToken) {
        let mut backoff = BACKOFF;
        loop {
            let started = Instant::now();
            let Err(panic) = AssertUnwindSafe((self.run)()).catch_unwind().await else { return };
            metrics::counter!("job_restarts_total", "job" => self.name).increment(1);
            let panic = crate::layers::catch::message(&*panic);
            tracing::error!(job = self.name, panic, restart_in = ?backoff, "a background job panicked");
            // One that ran for long has not been failing all the time.
            if started.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
                () = shutdown.cancelled() => return,
            }
        }
    }
}
