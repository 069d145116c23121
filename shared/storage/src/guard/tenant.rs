use std::sync::Arc;

use chrono::{DateTime, Utc};
use cwpp_access::AppId;
use uuid::Uuid;

use super::{Fenced, HasTenant, Writes, connection};
use crate::dialect::Dialect;
use crate::error::StoreResult;
use crate::session::Session;

/// A transaction that writes one tenant's data. Its first statement locked the fence row against the seal, and it ends
/// within a second of its begin, one way or the other.
#[derive(Debug)]
pub struct TenantTx {
    pub(crate) session: Arc<Session>,
    pub(crate) fence: Fenced,
}

impl TenantTx {
    /// Returns the tenant.
    pub fn app_id(&self) -> AppId {
        self.fence.app_id
    }

    /// Returns the tenant's life: its only name in logs, ledger and certificates.
    pub fn incarnation(&self) -> Uuid {
        self.fence.incarnation
    }

    /// Returns the fence's epoch.
    pub fn epoch(&self) -> i64 {
        self.fence.epoch
    }

    /// Returns how many scoped deletions the tenant has had; stored fingerprints include it.
    pub fn scope_epoch(&self) -> i64 {
        self.fence.scope_epoch
    }

    /// Returns the fence as it was read under the lock.
    pub fn fence(&self) -> Fenced {
        self.fence
    }

    /// Asks the database's clock.
    pub async fn database_time(&self) -> StoreResult<DateTime<Utc>> {
        crate::lease::database_time(&self.session).await
    }
}

impl HasTenant for TenantTx {
    fn app_id(&self) -> AppId {
        self.fence.app_id
    }
}

impl Writes for TenantTx {
    fn dialect(&self) -> Dialect {
        self.session.dialect()
    }
}

connection!(TenantTx);
