//! The rules of tenants and their transactions.

use chrono::{DateTime, Utc};
use cwpp_access::scope::tenant_unknown;
use cwpp_access::{AppId, Job, SystemScope, TenantScope};
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_storage::{Db, feed};
use uuid::Uuid;

use super::entity;
use super::store::{self, Seen};

/// The feed of registered tenants; an entry has no body, since the head names the tenant.
pub(crate) const FEED: &str = "tenant";

/// The operations on tenants.
#[derive(Clone)]
pub(crate) struct Tenants {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    /// The region of the deployment.
    pub(crate) region: String,
}

/// A tenant to be registered, checked.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) app_id: AppId,
    pub(crate) request_id: Uuid,
    pub(crate) uin: i64,
    pub(crate) region: String,
    pub(crate) agreement_version: String,
    pub(crate) agreement_accepted_time: DateTime<Utc>,
}

impl Draft {
    fn is(&self, seen: &Seen) -> bool {
        self.uin == seen.uin
            && self.region == seen.region
            && self.agreement_version == seen.agreement_version
            && self.agreement_accepted_time == seen.agreement_accepted_time
    }
}

impl Tenants {
    /// Registers a tenant as OPENING, with its fence row and its entry in the feed. The request that did it answers the
    /// same tenant again, however late.
    pub(crate) async fn create(&self, scope: &SystemScope, draft: &Draft) -> Result<Seen> {
        if draft.region != self.region {
            return Err(Error::new(Reason::RegionRefused, "this deployment serves another region")
                .with("region", &self.region)
                .violation("region", "is not the region that this deployment serves"));
        }
        let now = self.clock.now();
        let incarnation = Uuid::now_v7();
        let made = self
            .db
            .open_new(scope, draft.app_id, incarnation, |tx| async move {
                let row = entity::Model {
                    app_id: draft.app_id.get(),
                    uin: draft.uin,
                    request_id: draft.request_id,
                    region: draft.region.clone(),
                    agreement_version: draft.agreement_version.clone(),
                    agreement_accepted_time: draft.agreement_accepted_time,
                    create_time: now,
                    version: 1,
                };
                store::create(&tx, row.clone(), uin_taken).await?;
                feed::append(&tx, FEED, Vec::new()).await?;
                Ok(Seen::opening(row, incarnation))
            })
            .await;
        match made {
            Ok(seen) => {
                self.db.feed_grew();
                Ok(seen)
            }
            Err(error) if error.reason() == Reason::TenantExists => self.again(scope, draft, error).await,
            Err(error) => Err(error),
        }
    }

    /// Answers a request for a tenant that exists: the one that made it gets it, any other the refusal.
    async fn again(&self, scope: &SystemScope, draft: &Draft, refusal: Error) -> Result<Seen> {
        let seen = self.db.system_read(scope, |tx| async move { store::get(&tx, draft.app_id).await }).await?;
        match seen {
            Some(seen) if seen.request_id == draft.request_id && draft.is(&seen) => Ok(seen),
            Some(seen) if seen.request_id == draft.request_id => {
                Err(Error::new(Reason::RequestIdReused, "the request id was used before with another content"))
            }
            _ => Err(refusal),
        }
    }

    /// Reads a tenant, in whatever state it is: a guard of the tenant would refuse one that is being opened or sealed.
    pub(crate) async fn get(&self, scope: &TenantScope) -> Result<Seen> {
        let app_id = scope.app_id();
        let whatever_state = SystemScope::job(Job::Startup);
        let seen = self.db.system_read(&whatever_state, |tx| async move { store::get(&tx, app_id).await }).await?;
        seen.ok_or_else(tenant_unknown)
    }

    /// Reads at most `limit` tenants by `app_id` after one.
    pub(crate) async fn list(&self, scope: &SystemScope, after: Option<i64>, limit: u64) -> Result<Vec<Seen>> {
        let after = after.unwrap_or_default();
        self.db.system_read(scope, |tx| async move { store::list(&tx, after, limit).await }).await
    }
}

/// Reads what the stream of changes sends of a tenant; nothing of one that is gone.
pub(crate) async fn changed(db: &Db, scope: &SystemScope, app_id: AppId) -> Result<Option<Seen>> {
    db.system_read(scope, |tx| async move { store::get(&tx, app_id).await }).await
}

fn uin_taken() -> Error {
    Error::new(Reason::AlreadyExists, "another tenant has this UIN").violation("uin", "is the UIN of another tenant")
}
