//! The incidents service: what was found to be wrong on machines, and what people did about it.
//!
//! It detects password cracking and abnormal logins in authentication events that agents send, and follows the tenants'
//! login whitelists from configuration, and the tags of their machines from inventory. It is ready, and takes events, while
//! these are away.

pub mod config;
pub mod detection;
pub mod event;
pub mod incident;
mod migrations;
pub mod policy;
mod rpc;
pub mod tag;
mod time;

use std::sync::Arc;

use cwpp_access::Gate;
use cwpp_access::ops::{ErasureServiceGuarded, IncidentServiceGuarded};
use cwpp_chassis::app::{Context, Migrate, Parts, Service};
use cwpp_chassis::client::Channel;
use cwpp_chassis::config::Settings;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_storage::{Db, Eraser, Registry, follow, migrate};

pub use config::Config;
use policy::follow::Policies;
use rpc::Rpc;
use tag::follow::Machines;

/// The service.
#[derive(Debug)]
pub struct Incidents;

/// Returns the tables in the order in which a purge empties them, and the migrations.
pub fn registry() -> Registry {
    use DataClass::{Configuration, Incident, Operational, Resource};
    Registry::new(<self::Incidents as Service>::NAME)
        .erasable(incident::entity::account::Entity, Incident)
        .erasable(incident::entity::Entity, Incident)
        .erasable(event::entity::bucket::Entity, Incident)
        .erasable(event::entity::spool::Entity, Operational)
        .erasable(event::entity::machine::Entity, Operational)
        .erasable(policy::entity::machine::Entity, Configuration)
        .erasable(policy::entity::whitelist::Entity, Configuration)
        .erasable(tag::Entity, Resource)
        .migrations(migrations::all())
}

#[async_trait::async_trait]
impl Service for Incidents {
    const NAME: &'static str = "incidents";
    type Config = Config;

    fn insecure(config: &Config) -> bool {
        config.auth.is_insecure()
    }

    fn check(settings: &Settings<Config>) -> anyhow::Result<()> {
        settings.service.check()
    }

    async fn build(context: Context<Config>) -> anyhow::Result<Parts> {
        let Context { config, clock, shutdown, .. } = context;
        let db = Db::connect(&config.database, Arc::new(registry())).await?;
        let gate = Gate::default();
        let incidents = Arc::new(Rpc { db: db.clone(), clock, detection: config.detection.clone() });
        let (sweep, stop) = (db.clone(), shutdown.clone());
        let mut parts = Parts::new(cwpp_contracts::FILE_DESCRIPTOR_SET)
            .service(IncidentServiceGuarded::server(incidents, gate.clone()))
            .service(ErasureServiceGuarded::server(Arc::new(Eraser::new(db.clone())), gate))
            .authenticator(config.auth.authenticator()?)
            .check(db.readiness())
            .job("request-sweep", move || {
                let (db, stop) = (sweep.clone(), stop.clone());
                async move {
                    tokio::select! {
                        () = db.forget_requests() => {}
                        () = stop.cancelled() => {}
                    }
                }
            });
        if !config.peers.configuration.is_empty() {
            let channel = Channel::connect_lazy(&config.peers.configuration, &config.client())?
                .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)?;
            let policies = Policies { client: PolicyServiceClient::new(channel) };
            let (db, shutdown) = (db.clone(), shutdown.clone());
            parts = parts.job("policies-follow", move || follow::run(db.clone(), policies.clone(), shutdown.clone()));
        }
        if !config.peers.inventory.is_empty() {
            let channel = Channel::connect_lazy(&config.peers.inventory, &config.client())?
                .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)?;
            let machines = Machines { client: AssetServiceClient::new(channel) };
            parts = parts.job("machines-follow", move || follow::run(db.clone(), machines.clone(), shutdown.clone()));
        }
        Ok(parts)
    }

    async fn migrate(context: Context<Config>, command: Migrate) -> anyhow::Result<String> {
        migrate::run(&context.config.database, &registry(), command).await
    }
}
