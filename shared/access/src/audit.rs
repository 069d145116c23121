//! Grants of tenants, and the trail of what operators read under them.

use cwpp_chassis::Result;
use uuid::Uuid;

use crate::principal::Principal;
use crate::scope::{AppId, SystemScope};

/// What an operator was answered under a grant.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// The tenant.
    pub app_id: AppId,
    /// The operator.
    pub subject: String,
    /// The grant.
    pub grant: Uuid,
    /// The method's path.
    pub method: &'static str,
}

/// Where audit entries go. An entry commits before the first byte of its answer leaves.
#[async_trait::async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Stores an entry; if it cannot be stored the answer is not given.
    async fn record(&self, entry: AuditEntry) -> Result<()>;
}

/// Where live grants are looked up.
#[async_trait::async_trait]
pub trait Grants: Send + Sync + 'static {
    /// Returns the tenant's live grant for this operator and right.
    async fn live(&self, scope: &SystemScope, app_id: AppId, operator: &Principal, right: &str)
    -> Result<Option<Uuid>>;
}

/// Knows no grant: every operator is masked. In force wherever no other source is given.
#[derive(Debug)]
pub struct NoGrants;

#[async_trait::async_trait]
impl Grants for NoGrants {
    async fn live(&self, _: &SystemScope, _: AppId, _: &Principal, _: &str) -> Result<Option<Uuid>> {
        Ok(None)
    }
}
