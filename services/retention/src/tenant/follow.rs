//! Follows configuration's tenants. One replica does at a time; what it takes in is written with the cursor.

use std::time::Duration;

use cwpp_access::ops::ErasureServiceOps as _;
use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::{from_peer, reason};
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1 as wire;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::erasure::v1::OpenTenantRequest;
use cwpp_storage::lease::{self, Lease};
use cwpp_storage::{Db, Eraser};
use futures::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::store;
use crate::peer::CONFIGURATION;

const SOURCE: &str = "configuration.tenants";
const LEASE: &str = "follow/configuration.tenants";
/// How long a follower that says nothing keeps the feed.
const LIFE: Duration = Duration::from_secs(20);
/// The feed gives a sign of life every 10 seconds; longer silence means that it is broken.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a new attempt waits.
const PAUSE: Duration = Duration::from_millis(500);

/// The follower.
#[derive(Clone)]
pub struct Follower {
    pub(crate) db: Db,
    pub(crate) client: TenantServiceClient<Channel>,
    /// Wakes the opener.
    pub(crate) wake: std::sync::Arc<Notify>,
}

fn scope() -> SystemScope {
    SystemScope::job(Job::FeedFollower)
}

/// The job: follows until the shutdown, from wherever it was left.
pub async fn run(follower: Follower, shutdown: CancellationToken) {
    let holder = Uuid::now_v7();
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = follower.once(holder) => {
                if let Err(e) = ended {
                    metrics::counter!("retention_follow_errors_total").increment(1);
                    tracing::debug!(error = %e, "the tenants cannot be followed for now");
                }
            }
            () = shutdown.cancelled() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // So that another replica goes on at once.
    if let Ok(Some(lease)) = lease::claim(&follower.db, &scope(), LEASE, holder, LIFE).await {
        let _ = lease::release(&follower.db, &scope(), LEASE, lease).await;
    }
}

impl Follower {
    /// Follows until the stream ends or breaks.
    async fn once(&self, holder: Uuid) -> Result<()> {
        let Some(lease) = self.claim(holder).await? else { return Ok(()) };
        let cursor = self.db.system_read(&scope(), |on| async move { store::cursor(&on, SOURCE).await }).await?;
        let request = wire::WatchTenantsRequest { cursor };
        let mut client = self.client.clone();
        let opened = tokio::time::timeout(SILENCE, client.watch_tenants(request));
        let opened = opened.await.map_err(|_| silent())?;
        let mut changes = match opened {
            Ok(changes) => changes.into_inner(),
            Err(status) => return self.refused(&status).await,
        };
        loop {
            let next = tokio::time::timeout(SILENCE, changes.next()).await.map_err(|_| silent())?;
            let change = match next {
                None => return Ok(()),
                Some(Ok(change)) => change,
                Some(Err(status)) => return self.refused(&status).await,
            };
            if self.claim(holder).await? != Some(lease) {
                return Err(Error::new(Reason::LeaseLost, "another replica follows the tenants"));
            }
            self.take(change).await?;
        }
    }

    async fn claim(&self, holder: Uuid) -> Result<Option<Lease>> {
        lease::claim(&self.db, &scope(), LEASE, holder, LIFE).await
    }

    /// A cursor that is no longer kept: every tenant is read again, which opens nothing twice.
    async fn refused(&self, status: &tonic::Status) -> Result<()> {
        if reason(status) == Some(Reason::CursorExpired) {
            tracing::warn!("the cursor of the tenants' feed has expired: following from the beginning");
            self.move_to(String::new()).await?;
        }
        Err(from_peer(CONFIGURATION, status))
    }

    /// Takes one change in.
    async fn take(&self, change: wire::WatchTenantsResponse) -> Result<()> {
        let wire::WatchTenantsResponse { tenant, cursor } = change;
        let Some(tenant) = tenant else {
            // A sign of life; its cursor may have moved all the same.
            return if cursor.is_empty() { Ok(()) } else { self.move_to(cursor).await };
        };
        if tenant.state() != TenantState::Opening {
            return self.move_to(cursor).await;
        }
        let app_id = AppId::from_request(tenant.app_id)?;
        let request = OpenTenantRequest { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
        match Eraser::new(self.db.clone()).open_tenant(scope(), request).await {
            Ok(_) => {}
            // A life that is over here. One that has not yet ended would stand in the way of the new one only until it
            // has: then the fence row is still there, and this change is taken in later.
            Err(e) if e.reason() == Reason::TenantClosing && !self.is_here(app_id).await? => {
                tracing::warn!(incarnation = tenant.incarnation, "a closed tenant was announced as opening");
                return self.move_to(cursor).await;
            }
            Err(e) => return Err(e),
        }
        let written = self
            .db
            .write(&scope().tenant(app_id), |tx| {
                let cursor = cursor.clone();
                async move {
                    store::expect(&tx).await?;
                    store::follow(&tx, SOURCE, &cursor).await
                }
            })
            .await;
        match written {
            Ok(()) => self.wake.notify_one(),
            // Its deletion came first, and tells every service itself.
            Err(e) if matches!(e.reason(), Reason::TenantReadOnly | Reason::TenantFenced) => {
                self.move_to(cursor).await?;
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    async fn is_here(&self, app_id: AppId) -> Result<bool> {
        let fence =
            self.db.system_read(&scope(), |on| async move { crate::deletion::store::fence(&on, app_id).await }).await?;
        Ok(fence.is_some())
    }

    async fn move_to(&self, cursor: String) -> Result<()> {
        self.db
            .system(&scope(), |tx| {
                let cursor = cursor.clone();
                async move { store::follow(&tx, SOURCE, &cursor).await }
            })
            .await
    }
}

fn silent() -> Error {
    Error::new(Reason::PeerUnavailable, "configuration says nothing")
}
