//! Follows configuration's policies. One replica does at a time; what it takes in is written with the cursor.

use std::time::{Duration, Instant};

use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::from_peer;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{WatchPoliciesRequest, WatchPoliciesResponse};
use cwpp_storage::Db;
use cwpp_storage::lease::{self, Lease};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ops::{self, Change};

const SOURCE: &str = "configuration.policies";
const LEASE: &str = "follow/configuration.policies";
/// How long a follower that says nothing keeps the feed.
const LIFE: Duration = Duration::from_secs(20);
/// The feed gives a sign of life every 10 seconds; longer silence means that it is broken.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a new attempt waits.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether a tenant that is not open here yet is now.
const OPENING: Duration = Duration::from_millis(50);
/// How long the feed waits for that.
const WAIT: Duration = Duration::from_secs(3);
/// How long it goes on without the tenants that it did not wait for any longer.
const WITHOUT: Duration = Duration::from_secs(20);

/// The follower.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) db: Db,
    pub(crate) client: PolicyServiceClient<Channel>,
}

/// How far one stream was followed.
struct Place {
    /// What is stored.
    cursor: String,
    /// Since when the cursor has stood still because a tenant was passed over.
    without: Option<Instant>,
}

impl Place {
    /// Returns the cursor that is to be stored with a change.
    fn after(&self, change: String) -> String {
        if self.without.is_some() || change.is_empty() { self.cursor.clone() } else { change }
    }
}

fn scope() -> SystemScope {
    SystemScope::job(Job::FeedFollower)
}

/// The job: follows until the shutdown, from wherever it was left.
pub(crate) async fn run(follower: Follower, shutdown: CancellationToken) {
    let holder = Uuid::now_v7();
    while !shutdown.is_cancelled() {
        tokio::select! {
            ended = follower.once(holder) => {
                if let Err(error) = ended {
                    metrics::counter!("incidents_follow_errors_total").increment(1);
                    tracing::debug!(%error, "the policies cannot be followed for now");
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
    if let Ok(Some(lease)) = follower.claim(holder).await
        && let Err(error) = lease::release(&follower.db, &scope(), LEASE, lease).await
    {
        tracing::debug!(%error, "the lease runs out by itself");
    }
}

impl Follower {
    /// Follows until the stream ends or breaks.
    async fn once(&self, holder: Uuid) -> Result<()> {
        let Some(lease) = self.claim(holder).await? else { return Ok(()) };
        let cursor = ops::cursor(&self.db, &scope(), SOURCE).await?;
        let mut place = Place { cursor: cursor.clone(), without: None };
        let mut client = self.client.clone();
        let opened = tokio::time::timeout(SILENCE, client.watch_policies(WatchPoliciesRequest { cursor }));
        let mut changes = match opened.await.map_err(|_| silent())? {
            Ok(changes) => changes.into_inner(),
            Err(status) => return self.refused(from_peer("configuration", &status)).await,
        };
        loop {
            let next = tokio::time::timeout(SILENCE, changes.next()).await.map_err(|_| silent())?;
            let change = match next {
                None => return Ok(()),
                Some(Ok(change)) => change,
                Some(Err(status)) => return self.refused(from_peer("configuration", &status)).await,
            };
            self.take(holder, lease, &mut place, change).await?;
            if place.without.is_some_and(|since| since.elapsed() > WITHOUT) {
                // Begins again where the first of them was passed over.
                return Ok(());
            }
        }
    }

    async fn claim(&self, holder: Uuid) -> Result<Option<Lease>> {
        lease::claim(&self.db, &scope(), LEASE, holder, LIFE).await
    }

    /// A cursor that is no longer kept: every policy is read again, which changes nothing that is there.
    async fn refused(&self, error: Error) -> Result<()> {
        if error.reason() == Reason::CursorExpired {
            tracing::warn!("the cursor of the policies' feed has expired: following from the beginning");
            ops::skip(&self.db, &scope(), SOURCE, "").await?;
        }
        Err(error)
    }

    /// Takes one change in. A tenant's policies may come before its opening here does, which takes a second: the feed
    /// waits for it. One that takes longer must not keep the others' changes away: it is passed over, and the cursor
    /// stays before it.
    async fn take(&self, holder: Uuid, lease: Lease, place: &mut Place, message: WatchPoliciesResponse) -> Result<()> {
        let WatchPoliciesResponse { app_id, policy_id, policy, cursor } = message;
        self.keep(holder, lease).await?;
        let cursor = place.after(cursor);
        if app_id == 0 {
            return self.skip(place, cursor).await;
        }
        let tenant = scope().tenant(AppId::from_request(app_id)?);
        let change = Change::read(&policy_id, policy)?;
        let began = Instant::now();
        loop {
            let Err(error) = ops::take(&self.db, &tenant, &change, SOURCE, &cursor).await else {
                place.cursor = cursor;
                return Ok(());
            };
            match error.reason() {
                // Nothing of a closed tenant is kept, and of one that was never open here nothing is there to delete.
                Reason::TenantFenced => return self.skip(place, cursor).await,
                Reason::TenantUnknown | Reason::TenantOpening if change.whitelist.is_none() => {
                    return self.skip(place, cursor).await;
                }
                Reason::TenantUnknown | Reason::TenantOpening if began.elapsed() < WAIT => {
                    tokio::time::sleep(OPENING).await;
                    self.keep(holder, lease).await?;
                }
                Reason::TenantUnknown | Reason::TenantOpening => {
                    metrics::counter!("incidents_policies_passed_over_total").increment(1);
                    place.without.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                _ => return Err(error),
            }
        }
    }

    /// Moves the cursor where there is nothing to do.
    async fn skip(&self, place: &mut Place, cursor: String) -> Result<()> {
        if cursor != place.cursor {
            ops::skip(&self.db, &scope(), SOURCE, &cursor).await?;
            place.cursor = cursor;
        }
        Ok(())
    }

    async fn keep(&self, holder: Uuid, lease: Lease) -> Result<()> {
        match self.claim(holder).await? {
            Some(still) if still == lease => Ok(()),
            _ => Err(Error::new(Reason::LeaseLost, "another replica follows the policies")),
        }
    }
}

fn silent() -> Error {
    Error::new(Reason::PeerUnavailable, "configuration says nothing")
}
