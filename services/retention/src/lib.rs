//! The retention service: opens tenants, deletes them within the promised time, and proves it.

pub mod certificate;
pub mod config;
pub mod deletion;
pub mod ledger;
mod migrations;
pub mod peer;
pub mod tenant;

use std::sync::Arc;

use cwpp_access::Gate;
use cwpp_access::ops::{ErasureServiceGuarded, RetentionServiceGuarded};
use cwpp_chassis::Clock;
use cwpp_chassis::app::{Context, Migrate, Parts, Service};
use cwpp_chassis::client::Channel;
use cwpp_chassis::config::Settings;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_storage::{Db, Eraser, Registry};
use tokio::sync::{Notify, watch};

pub use config::Config;
use deletion::rpc::RetentionRpc;
pub use deletion::state::{Budget, PROMISED, State};

use certificate::{PublicKey, Signer};
use deletion::ops::Deletions;
use peer::Peers;
use tenant::{follow::Follower, open::Opener};

/// The service for the chassis.
#[derive(Debug)]
pub struct Retention;

/// Returns the tables of the service and their migrations.
pub fn registry() -> Registry {
    migrations::registry()
}

#[async_trait::async_trait]
impl Service for Retention {
    const NAME: &'static str = "retention";
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
        let authenticator = config.auth.authenticator()?;
        let desk = desk(db.clone(), config.clone(), clock)?;
        let eraser = Eraser::new(db.clone());
        let wake = Arc::new(Notify::new());
        let follower = Follower {
            db: db.clone(),
            client: TenantServiceClient::new(Channel::connect_lazy(&config.peers.configuration, &config.client())?),
            wake: wake.clone(),
        };
        let opener = Opener { db: db.clone(), peers: desk.peers.clone(), worker: config.worker.clone(), wake };
        let retention = Arc::new(RetentionRpc { deletions: desk.clone(), shutdown: shutdown.clone() });
        let mut parts = Parts::new(cwpp_contracts::FILE_DESCRIPTOR_SET)
            .service(RetentionServiceGuarded::server(retention, Gate::default()))
            .service(ErasureServiceGuarded::server(Arc::new(eraser), Gate::default()))
            .authenticator(authenticator)
            .check(db.readiness());
        if let Some(file) = config.ledger.file.clone() {
            let (db, grown, stop) = (db.clone(), desk.grown.clone(), shutdown.clone());
            parts = parts.job("ledger-export", move || {
                ledger::export::run(db.clone(), file.clone(), grown.subscribe(), stop.clone())
            });
        }
        let stop = shutdown.clone();
        parts = parts.job("deletions", move || deletion::worker::run(desk.clone(), stop.clone()));
        let stop = shutdown.clone();
        parts = parts.job("tenants-follow", move || tenant::follow::run(follower.clone(), stop.clone()));
        Ok(parts.job("tenants-open", move || tenant::open::run(opener.clone(), shutdown.clone())))
    }

    async fn migrate(context: Context<Config>, command: Migrate) -> anyhow::Result<String> {
        cwpp_storage::migrate::run(&context.config.database, &registry(), command).await
    }
}

/// Puts together what calls and the worker share.
pub fn desk(db: Db, config: Config, clock: Clock) -> anyhow::Result<Deletions> {
    let peers = Peers::connect(&config.peers, &config.client(), Eraser::new(db.clone()))?;
    let signer = Signer::open(config.signing.key_file.as_deref(), config.auth.is_insecure())?;
    let mut keys = vec![signer.public()];
    for file in &config.signing.former_key_files {
        keys.push(PublicKey::from_file(file)?);
    }
    Ok(Deletions {
        db,
        peers,
        clock,
        config: Arc::new(config),
        signer,
        keys: keys.into(),
        wake: Arc::new(Notify::new()),
        grown: watch::channel(0).0,
    })
}
