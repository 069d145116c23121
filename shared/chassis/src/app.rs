//! A service as a process: what it has to say of itself, how it starts, and how it ends.

mod cli;
mod jobs;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

pub use cli::{Migrate, main, main_from};
pub use jobs::Job;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{Chassis, Settings};
use crate::health::{Check, Health};
use crate::layers::{self, Authenticator};
use crate::methods::Methods;
use crate::server::Server;
use crate::telemetry;

/// A service that the chassis can run.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Its name, in lower case: of the environment's prefix, the default ports, the traces.
    const NAME: &'static str;

    /// Its own sections of the configuration. Give every struct `#[serde(deny_unknown_fields, default)]`.
    type Config: DeserializeOwned + Serialize + JsonSchema + Default + Clone + Send + Sync + 'static;

    /// Whether this configuration lets anybody in. Then only loopback is listened on and the clock can be put forward.
    fn insecure(_config: &Self::Config) -> bool {
        false
    }

    /// Checks what a single value of the configuration cannot show. `config check` and the start call it.
    fn check(_settings: &Settings<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Makes the parts. It does not wait for the database: what must be there first is a readiness check.
    async fn build(context: Context<Self::Config>) -> anyhow::Result<Parts>;

    /// Brings the schema up, or tells what would be done; gives what is printed.
    async fn migrate(_context: Context<Self::Config>, _command: Migrate) -> anyhow::Result<String> {
        Ok("this service has no schema".to_owned())
    }
}

/// What a service is given.
#[derive(Debug, Clone)]
pub struct Context<C> {
    /// Its own sections.
    pub config: C,
    /// The chassis' sections.
    pub chassis: Chassis,
    /// The wall clock.
    pub clock: Clock,
    /// Cancelled when the drain begins: streams end, jobs return.
    pub shutdown: CancellationToken,
}

/// What a service is made of.
pub struct Parts {
    /// Its gRPC services.
    pub routes: Routes,
    /// The descriptor set of its contract: for reflection, labels, and to know which methods stream.
    pub descriptor: &'static [u8],
    /// The full names of its gRPC services, for health.
    pub services: Vec<&'static str>,
    /// What must be true before it takes calls.
    pub checks: Vec<Check>,
    /// What it does in the background.
    pub jobs: Vec<Job>,
    /// Who calls; none lets every call through without a principal.
    pub authenticator: Option<Arc<dyn Authenticator>>,
}

impl Parts {
    /// No service yet, with the descriptor set of the contract.
    pub fn new(descriptor: &'static [u8]) -> Self {
        Self {
            routes: Routes::default(),
            descriptor,
            services: Vec::new(),
            checks: Vec::new(),
            jobs: Vec::new(),
            authenticator: None,
        }
    }

    /// Adds a gRPC service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.services.push(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// Adds a readiness check.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds a background job. `run` is called again after a panic; the job ends by returning.
    #[must_use]
    pub fn job<F, Fut>(mut self, name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.jobs.push(Job::new(name, run));
        self
    }

    /// Says who establishes the caller.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }
}

/// A service that runs. Dropping it ends it at once; [`Running::stop`] ends it in order.
pub struct Running {
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where the admin pages are.
    pub admin_addr: SocketAddr,
    /// The clock it goes by.
    pub clock: Clock,
    name: &'static str,
    chassis: Chassis,
    health: Health,
    shutdown: CancellationToken,
    kill: CancellationToken,
    server: JoinHandle<()>,
    admin: JoinHandle<()>,
    jobs: Vec<JoinHandle<()>>,
    // Nothing may outlive a `Running` that a failed test drops.
    _dropped: [DropGuard; 2],
}

impl Running {
    /// Where gRPC is served, as a target for clients.
    pub fn target(&self) -> String {
        format!("http://{}", self.grpc_addr)
    }

    /// Waits until every readiness check passes; gives what is missing after `timeout`.
    pub async fn ready(&self, timeout: Duration) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(timeout, async {
            while !self.health.is_ready() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.map_err(|_| anyhow::anyhow!("{} is not ready: {:?}", self.name, self.health.report()))
    }

    /// Whether every readiness check passes.
    pub fn is_ready(&self) -> bool {
        self.health.is_ready()
    }

    /// Ends in order: NOT_SERVING for the lame duck's time, GOAWAY, open calls and jobs to their end, at most the drain's time.
    pub async fn stop(mut self) {
        let Chassis { shutdown, .. } = &self.chassis;
        tracing::info!(service = self.name, lame_duck = ?shutdown.lame_duck, "stopping: not serving any more");
        self.health.start_lame_duck().await;
        tokio::time::sleep(shutdown.lame_duck).await;
        self.shutdown.cancel();
        let jobs = futures::future::join_all(self.jobs.iter_mut());
        let drained = tokio::time::timeout(shutdown.drain, async { tokio::join!(&mut self.server, jobs) }).await;
        if drained.is_err() {
            tracing::warn!(service = self.name, drain = ?shutdown.drain, "the drain took too long; the rest is cut off");
        }
        self.kill.cancel();
        for job in &self.jobs {
            job.abort();
        }
        // A killed connection is gone at its next poll; a handler that blocks its thread is not waited for.
        if !self.server.is_finished() {
            let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.server).await;
        }
        self.admin.abort();
        tracing::info!(service = self.name, "stopped");
    }
}

/// Starts a service inside this process. Port 0 takes free ports.
pub async fn start<S: Service>(settings: Settings<S::Config>, clock: Clock) -> anyhow::Result<Running> {
    telemetry::metrics();
    let Settings { chassis, service: config } = &settings;
    let insecure = S::insecure(config);
    crate::config::check_listen(chassis, insecure)?;
    chassis.check()?;
    S::check(&settings)?;
    if insecure {
        tracing::warn!(service = S::NAME, "authentication is insecure: every caller has every right; loopback only");
    }
    let (shutdown, kill) = (CancellationToken::new(), CancellationToken::new());
    let dropped = [shutdown.clone().drop_guard(), kill.clone().drop_guard()];
    // Bound first: whoever asks for the port early waits for the start instead of being refused.
    let server = Server::bind(&chassis.grpc, &chassis.tls).await?;
    let admin = TcpListener::bind(chassis.admin.listen)
        .await
        .with_context(|| format!("admin.listen = {}", chassis.admin.listen))?;
    let (grpc_addr, admin_addr) = (server.local_addr()?, admin.local_addr()?);

    let context =
        Context { config: config.clone(), chassis: chassis.clone(), clock: clock.clone(), shutdown: shutdown.clone() };
    let parts = S::build(context).await.with_context(|| format!("{} cannot start", S::NAME))?;
    let health = Health::new(parts.services.iter().map(|name| (*name).to_owned()), &parts.checks).await;
    let (interval, timeout) = (chassis.admin.check_interval, chassis.admin.check_timeout);
    let watch = health.clone();
    let (checks, stop) = (parts.checks, shutdown.clone());
    tokio::spawn(async move { watch.watch(checks, interval, timeout, stop).await });

    let mut routes = parts.routes.add_service(health.server());
    if chassis.reflection.enabled {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(parts.descriptor)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that tools can show the details of an error.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        // Tools are divided between the two: grpcurl asks v1alpha, buf asks v1.
        routes = routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?);
    }
    let layers = layers::Settings {
        methods: Arc::new(Methods::from_descriptor(parts.descriptor)?),
        deadline: chassis.deadline.clone(),
        limits: chassis.limits.clone(),
        authenticator: parts.authenticator,
        drain: shutdown.clone(),
    };
    let routes = layers::stack(routes.prepare().into_axum_router(), layers);
    let server = tokio::spawn(server.serve(routes, shutdown.clone(), kill.clone()));

    let pages = Admin {
        service: S::NAME,
        health: health.clone(),
        config: settings.redacted(),
        clock: insecure.then(|| clock.clone()),
    };
    let killed = kill.clone();
    let admin = tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(admin, pages.router()).into_future() => drop(served),
            () = killed.cancelled() => {}
        }
    });
    let jobs = parts.jobs.into_iter().map(|job| tokio::spawn(job.supervise(shutdown.clone()))).collect();
    tracing::info!(service = S::NAME, version = crate::VERSION, grpc = %grpc_addr, admin = %admin_addr, "started");
    Ok(Running {
        grpc_addr,
        admin_addr,
        clock,
        name: S::NAME,
        chassis: settings.chassis,
        health,
        shutdown,
        kill,
        server,
        admin,
        jobs,
        _dropped: dropped,
    })
}
