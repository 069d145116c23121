//! The inventory service: machines, and what is on them, class by class.

pub mod asset;
mod bulk;
pub mod config;
pub mod keyset;
pub mod machine;
mod migrations;
pub mod policy;
pub mod shape;

use std::sync::Arc;

use cwpp_access::Gate;
use cwpp_access::ops::{AssetServiceGuarded, ErasureServiceGuarded, MachineServiceGuarded};
use cwpp_chassis::app::{Context, Migrate, Parts, Service};
use cwpp_chassis::client::Channel;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_storage::{Db, Eraser, Registry, follow, migrate};

use asset::budget::Budget;
use asset::ops::Assets;
use asset::token::Tokens;
pub use config::Config;
use machine::contact::Contacts;
use machine::ops::Machines;

/// The service.
#[derive(Debug)]
pub struct Inventory;

/// Returns the tables in the order in which a purge empties them, and the migrations.
pub fn registry() -> Registry {
    use DataClass::{Configuration, Operational, Resource};
    let registry = Registry::new(<Inventory as Service>::NAME);
    let registry = asset::class::CLASSES.iter().fold(registry, |registry, class| class.register(registry));
    registry
        .erasable(asset::snapshot::Entity, Operational)
        .erasable(asset::count::folded::Entity, Operational)
        .erasable(asset::count::days::Entity, Operational)
        .erasable(asset::count::value::Entity, Resource)
        .erasable(asset::count::delta::Entity, Resource)
        .erasable(asset::account_change::Entity, Resource)
        .erasable(asset::unread::Entity, Resource)
        .erasable(policy::entity::machine::Entity, Configuration)
        .erasable(policy::entity::policy::Entity, Configuration)
        .erasable(machine::removal::Entity, Operational)
        .erasable(machine::instance::Entity, Operational)
        .erasable(machine::load::Entity, Resource)
        .erasable(machine::tag::Entity, Resource)
        .erasable(machine::address::Entity, Resource)
        .erasable(machine::tag_count::Entity, Resource)
        .erasable(machine::day::Entity, Resource)
        .erasable(machine::removed_day::Entity, Resource)
        .erasable(machine::liveness::Entity, Resource)
        .erasable(machine::entity::Entity, Resource)
        .global(asset::form::Entity, "how this release stores each class, and since when")
        .migrations(migrations::all())
}

#[async_trait::async_trait]
impl Service for Inventory {
    const NAME: &'static str = "inventory";
    type Config = Config;

    fn insecure(config: &Config) -> bool {
        config.auth.is_insecure()
    }

    async fn build(context: Context<Config>) -> anyhow::Result<Parts> {
        let Context { config, clock, shutdown, .. } = context;
        let db = Db::connect(&config.database, Arc::new(registry())).await?;
        let gate = Gate::default();
        let contacts = Contacts::new(db.clone(), clock.clone(), config.liveness.linger);
        let swept = clock.clone();
        let machines = Arc::new(Machines::new(db.clone(), clock.clone(), contacts.clone()));
        let secrets: Vec<[u8; 32]> = db.keys().all(asset::token::PURPOSE).collect();
        let assets = Arc::new(Assets {
            db: db.clone(),
            clock,
            contacts,
            tokens: Tokens::new(&secrets),
            budget: Budget::new(config.report.budget_bytes),
            token_life: config.report.token_life,
            idle: config.report.idle_timeout,
            shutdown: shutdown.clone(),
        });
        let ready = db.readiness();
        let (relay, follower, stop) = (db.clone(), db.clone(), shutdown.clone());
        let (folder, interval) = (db.clone(), config.counts.fold_interval);
        let (sweeper, sweep_clock, rule) = (db.clone(), swept, config.machines.clone());
        let mut parts = Parts::new(cwpp_contracts::FILE_DESCRIPTOR_SET)
            .service(MachineServiceGuarded::server(machines, gate.clone()))
            .service(AssetServiceGuarded::server(assets, gate.clone()))
            .service(ErasureServiceGuarded::server(Arc::new(Eraser::new(db)), gate))
            .authenticator(config.auth.authenticator()?)
            .check(ready)
            .job("machine-sweep", {
                let shutdown = shutdown.clone();
                move || {
                    let (db, clock, rule) = (sweeper.clone(), sweep_clock.clone(), rule.clone());
                    let shutdown = shutdown.clone();
                    async move {
                        tokio::select! {
                            () = machine::sweep::run(db, clock, rule) => {}
                            () = shutdown.cancelled() => {}
                        }
                    }
                }
            })
            .job("feed-relay", {
                let shutdown = shutdown.clone();
                move || {
                    let (db, shutdown) = (relay.clone(), shutdown.clone());
                    async move {
                        tokio::select! {
                            () = db.relay() => {}
                            () = shutdown.cancelled() => {}
                        }
                    }
                }
            })
            .job("count-folder", move || {
                let (db, shutdown) = (folder.clone(), stop.clone());
                async move {
                    tokio::select! {
                        () = asset::fold::run(db, interval) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            });
        if !config.peers.configuration.is_empty() {
            let channel = Channel::connect_lazy(&config.peers.configuration, &config.client())?
                .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)?;
            let policies = policy::follow::Policies { client: PolicyServiceClient::new(channel) };
            parts =
                parts.job("policies-follow", move || follow::run(follower.clone(), policies.clone(), shutdown.clone()));
        }
        Ok(parts)
    }

    async fn migrate(context: Context<Config>, command: Migrate) -> anyhow::Result<String> {
        migrate::run(&context.config.database, &registry(), command).await
    }
}
