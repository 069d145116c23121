//! The configuration service: tenants, and what they want to happen on their machines.
//!
//! Other services follow it by `WatchTenants` and `WatchPolicies`, and call nothing but gRPC.

pub mod config;
mod migrations;
pub mod policy;
pub mod tenant;
mod time;
mod watch;

use std::sync::Arc;

use anyhow::ensure;
use cwpp_access::Gate;
use cwpp_access::ops::{ErasureServiceGuarded, PolicyServiceGuarded, TenantServiceGuarded};
use cwpp_chassis::Clock;
use cwpp_chassis::app::{Context, Migrate, Parts, Service};
use cwpp_chassis::config::Settings;
use cwpp_contracts::common::v1::DataClass;
use cwpp_storage::{Db, Eraser, Registry};
use tokio_util::sync::CancellationToken;

pub use config::Config;
use policy::rpc::PolicyRpc;
use tenant::rpc::TenantRpc;

/// The service.
#[derive(Debug)]
pub struct Configuration;

/// Returns the tables in the order in which a purge empties them, and the migrations.
pub fn registry() -> Registry {
    use DataClass::{Configuration, Operational, Resource};
    Registry::new(<self::Configuration as Service>::NAME)
        .erasable(policy::machine::Entity, Configuration)
        .erasable(policy::entity::Entity, Configuration)
        .erasable(policy::revision::Entity, Configuration)
        .erasable(policy::head::Entity, Operational)
        .erasable(tenant::entity::Entity, Resource)
        .migrations(migrations::all())
}

#[async_trait::async_trait]
impl Service for Configuration {
    const NAME: &'static str = "configuration";
    type Config = Config;

    fn insecure(config: &Config) -> bool {
        config.auth.is_insecure()
    }

    fn check(settings: &Settings<Config>) -> anyhow::Result<()> {
        let region = &settings.service.region;
        ensure!((1..=63).contains(&region.chars().count()), "region must have 1 to 63 characters");
        Ok(())
    }

    async fn build(context: Context<Config>) -> anyhow::Result<Parts> {
        let Context { config, clock, shutdown, .. } = context;
        let db = Db::connect(&config.database, Arc::new(registry())).await?;
        Ok(parts(db, clock, shutdown, config.region).authenticator(config.auth.authenticator()?))
    }

    async fn migrate(context: Context<Config>, command: Migrate) -> anyhow::Result<String> {
        cwpp_storage::migrate::run(&context.config.database, &registry(), command).await
    }
}

fn parts(db: Db, clock: Clock, shutdown: CancellationToken, region: String) -> Parts {
    let gate = Gate::default();
    let tenants = tenant::ops::Tenants { db: db.clone(), clock: clock.clone(), region };
    let policies = policy::ops::Policies { db: db.clone(), clock };
    let tenants = Arc::new(TenantRpc { tenants, shutdown: shutdown.clone() });
    let policies = Arc::new(PolicyRpc { policies, shutdown: shutdown.clone() });
    let eraser = Arc::new(Eraser::new(db.clone()));
    let ready = db.readiness();
    let relay = (db.clone(), shutdown.clone());
    let sweep = (db, shutdown);
    Parts::new(cwpp_contracts::FILE_DESCRIPTOR_SET)
        .service(TenantServiceGuarded::server(tenants, gate.clone()))
        .service(PolicyServiceGuarded::server(policies, gate.clone()))
        .service(ErasureServiceGuarded::server(eraser, gate))
        .check(ready)
        .job("feed-relay", move || {
            let (db, shutdown) = relay.clone();
            async move {
                tokio::select! {
                    () = db.relay() => {}
                    () = shutdown.cancelled() => {}
                }
            }
        })
        .job("request-sweep", move || {
            let (db, shutdown) = sweep.clone();
            async move {
                tokio::select! {
                    () = db.forget_requests() => {}
                    () = shutdown.cancelled() => {}
                }
            }
        })
}
