//! Whether this instance serves: readiness checks, and the standard health service that tells callers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

pub use tonic_health::pb::health_server::HealthServer;

/// Something that must be true before this instance takes calls: the database answers, the schema fits.
///
/// A check runs in the background about once a second; probes read its last result and never wait for it.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>,
}

impl Check {
    /// A check of this name; its error says what is missing.
    pub fn new<F, Fut>(name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())) }
    }
}

/// The state of this instance, shared by the health service and the probes.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<Vec<String>>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The last result of each check; none before the first.
    checks: BTreeMap<&'static str, Option<Result<(), String>>>,
    lame_duck: bool,
}

impl Health {
    /// Not serving until every check has passed once.
    pub async fn new(services: impl IntoIterator<Item = String>, checks: &[Check]) -> Self {
        let services: Vec<String> = std::iter::once(String::new()).chain(services).collect();
        let checks = checks.iter().map(|check| (check.name, None)).collect();
        let state = Arc::new(Mutex::new(State { checks, lame_duck: false }));
        let health = Self { reporter: HealthReporter::new(), services: Arc::new(services), state };
        health.publish().await;
        health
    }

    /// The standard service `grpc.health.v1.Health`.
    pub fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Whether this instance takes calls.
    pub fn is_ready(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.lame_duck && state.checks.values().all(|result| matches!(result, Some(Ok(()))))
    }

    /// Each check with what is wrong with it, if anything; the state of the shutdown is one of them.
    pub fn report(&self) -> Vec<(&'static str, Result<(), String>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let not_run = || Err("has not run yet".to_owned());
        let mut report: Vec<_> =
            state.checks.iter().map(|(name, result)| (*name, result.clone().unwrap_or_else(not_run))).collect();
        report.push(("shutdown", if state.lame_duck { Err("this instance is going away".to_owned()) } else { Ok(()) }));
        report
    }

    /// Says NOT_SERVING from now on, whatever the checks find.
    pub async fn start_lame_duck(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lame_duck = true;
        self.publish().await;
    }

    /// Runs the checks again and again until it is stopped.
    pub async fn watch(&self, checks: Vec<Check>, interval: Duration, timeout: Duration, stop: CancellationToken) {
        loop {
            self.run_once(&checks, timeout).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    async fn run_once(&self, checks: &[Check], timeout: Duration) {
        let results = join_all(checks.iter().map(|check| async move {
            let result = match tokio::time::timeout(timeout, (check.run)()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err(format!("took longer than {timeout:?}")),
            };
            (check.name, result)
        }))
        .await;
        let was_ready = self.is_ready();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, result) in results {
                let before = state.checks.insert(name, Some(result.clone())).flatten();
                match (before, result) {
                    (Some(Ok(())) | None, Err(error)) => tracing::warn!(check = name, %error, "check failed"),
                    (Some(Err(_)), Ok(())) => tracing::info!(check = name, "check passes again"),
                    _ => {}
                }
            }
        }
        if self.is_ready() != was_ready {
            self.publish().await;
        }
    }

    async fn publish(&self) {
        let ready = self.is_ready();
        metrics::gauge!("ready").set(if ready { 1.0 } else { 0.0 });
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in self.services.iter() {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
