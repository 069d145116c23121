//! The four services in this process, each on a SQLite database of its own, talking gRPC to each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cwpp_chassis::Clock;
use cwpp_chassis::app::{self, Context, Migrate, Running, Service};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::{Settings, default_ports};
use cwpp_configuration::Configuration;
use cwpp_incidents::Incidents;
use cwpp_inventory::Inventory;
use cwpp_retention::Retention;
use cwpp_storage::Database;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;

/// How long a service has to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which ports the services listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Free ones.
    Free,
    /// Those of the services' defaults.
    Default,
}

/// The running services.
pub struct Platform {
    /// The configuration service.
    pub configuration: Running,
    /// The inventory service.
    pub inventory: Running,
    /// The incidents service.
    pub incidents: Running,
    /// The retention service.
    pub retention: Running,
    /// The clock that all of them go by.
    pub clock: Clock,
}

impl Platform {
    /// Starts the services on SQLite databases in `folder`, on loopback and without authentication.
    pub async fn start(folder: &Path, clock: Clock, ports: Ports) -> anyhow::Result<Self> {
        let database = |name: &str| Database::at(format!("sqlite:{}", folder.join(format!("{name}.db")).display()));
        Self::start_on(database, folder, clock, ports).await
    }

    /// The same on the databases that `database` names by service; signing key and ledger stay in `folder`.
    pub async fn start_on(
        database: impl Fn(&str) -> Database,
        folder: &Path,
        clock: Clock,
        ports: Ports,
    ) -> anyhow::Result<Self> {
        let configuration = cwpp_configuration::Config { database: database("configuration"), ..Default::default() };
        let configuration = start::<Configuration>(configuration, &clock, ports).await?;
        let mut inventory = cwpp_inventory::Config { database: database("inventory"), ..Default::default() };
        inventory.peers.configuration = configuration.target();
        let inventory = start::<Inventory>(inventory, &clock, ports).await?;
        let mut incidents = cwpp_incidents::Config { database: database("incidents"), ..Default::default() };
        incidents.peers.configuration = configuration.target();
        incidents.peers.inventory = inventory.target();
        let incidents = start::<Incidents>(incidents, &clock, ports).await?;
        let mut retention = cwpp_retention::Config { database: database("retention"), ..Default::default() };
        retention.peers.configuration = configuration.target();
        retention.peers.inventory = inventory.target();
        retention.peers.incidents = incidents.target();
        retention.signing.key_file = Some(folder.join("signing.pem"));
        retention.ledger.file = Some(folder.join("ledger.jsonl"));
        let retention = start::<Retention>(retention, &clock, ports).await?;
        let platform = Self { configuration, inventory, incidents, retention, clock };
        for service in platform.services() {
            service.ready(PATIENCE).await?;
        }
        Ok(platform)
    }

    fn services(&self) -> [&Running; 4] {
        [&self.inventory, &self.incidents, &self.configuration, &self.retention]
    }

    /// Makes a connection to a service.
    pub fn channel(service: &Running) -> anyhow::Result<Channel> {
        Channel::connect_lazy(&service.target(), &ClientConfig::default())?
            .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)
    }

    /// Makes clients of all services.
    pub(crate) fn clients(&self) -> anyhow::Result<Clients> {
        Ok(Clients::new(
            Self::channel(&self.configuration)?,
            Self::channel(&self.inventory)?,
            Self::channel(&self.incidents)?,
            Self::channel(&self.retention)?,
        ))
    }

    /// Ends all services in order, those first that call others.
    pub async fn stop(self) {
        self.retention.stop().await;
        self.incidents.stop().await;
        tokio::join!(self.inventory.stop(), self.configuration.stop());
    }
}

async fn start<S: Service>(config: S::Config, clock: &Clock, ports: Ports) -> anyhow::Result<Running> {
    let mut settings = Settings::local(config);
    if ports == Ports::Default {
        let (grpc, admin) = default_ports(S::NAME);
        settings.chassis.grpc.listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), grpc);
        settings.chassis.admin.listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), admin);
    }
    let context = Context {
        config: settings.service.clone(),
        chassis: settings.chassis.clone(),
        clock: clock.clone(),
        shutdown: CancellationToken::new(),
    };
    S::migrate(context, Migrate::Up).await.with_context(|| format!("the database of {}", S::NAME))?;
    app::start::<S>(settings, clock.clone()).await
}
