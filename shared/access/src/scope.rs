//! Scopes: the proof that a call was permitted, and for whom.
//!
//! They have no public constructor but [`SystemScope::job`], whose uses are the variants of [`Job`].

use std::fmt;
use std::sync::Arc;

use cwpp_chassis::{Error, Reason, Result};
use uuid::Uuid;

use crate::principal::{Kind, Principal};

/// A tenant's number, 1 to 2^63-1. Its `Debug` hides it: logs name the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(i64);

impl AppId {
    /// Takes the number of a request; out of range is `INVALID_FIELD`.
    pub fn from_request(app_id: u64) -> Result<Self> {
        i64::try_from(app_id).ok().filter(|n| *n > 0).map(Self).ok_or_else(|| {
            Error::new(Reason::InvalidField, "the request is invalid")
                .violation("app_id", "must be 1 to 9223372036854775807")
        })
    }

    /// Takes the number of a stored row.
    pub fn from_row(app_id: i64) -> Self {
        Self(app_id)
    }

    /// Returns the number as stored.
    pub fn get(self) -> i64 {
        self.0
    }

    /// Returns the number as the contracts write it.
    pub fn to_request(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppId(..)")
    }
}

/// The answer for a tenant that does not exist, and for one that the caller may not speak for: they are the same.
pub fn tenant_unknown() -> Error {
    Error::new(Reason::TenantUnknown, "there is no such tenant")
}

/// The answer for an agent that speaks about another machine than the one that its token names.
pub fn not_its_machine() -> Error {
    Error::new(Reason::PermissionDenied, "an agent acts for its own machine only")
}

/// Permission to act for one tenant.
#[derive(Debug, Clone)]
pub struct TenantScope {
    app_id: AppId,
    principal: Arc<Principal>,
    masked: bool,
}

impl TenantScope {
    pub(crate) fn new(app_id: AppId, principal: Arc<Principal>, masked: bool) -> Self {
        Self { app_id, principal, masked }
    }

    /// Returns the tenant.
    pub fn app_id(&self) -> AppId {
        self.app_id
    }

    /// Returns the caller.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Returns the machine that the caller is bound to; none unless it is an agent.
    pub fn machine(&self) -> Option<Uuid> {
        self.principal.machine.filter(|_| self.principal.kind == Kind::Agent)
    }

    /// Says whether personal fields are hidden from the caller.
    pub fn masked(&self) -> bool {
        self.masked
    }
}

/// A service's own background work; every use of a system scope without a caller is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Opens connections, migrates, checks readiness.
    Startup,
    /// Gives feed entries their positions.
    FeedRelay,
    /// Follows a feed of another service.
    FeedFollower,
    /// Moves deletions through their states.
    Deletions,
    /// Evaluates authentication events again.
    Detection,
    /// Folds counts of assets.
    Counts,
    /// Sweeps what has expired: idempotency entries, leases.
    Sweep,
    /// Prepares or inspects data in a test or a benchmark.
    Harness,
}

/// Permission to act for no tenant, or for all.
#[derive(Debug, Clone)]
pub struct SystemScope {
    principal: Arc<Principal>,
    masked: bool,
}

impl SystemScope {
    pub(crate) fn new(principal: Arc<Principal>, masked: bool) -> Self {
        Self { principal, masked }
    }

    /// Makes the scope of a service's own work.
    pub fn job(job: Job) -> Self {
        Self { principal: Arc::new(Principal::service(format!("job/{job:?}"))), masked: false }
    }

    /// Makes the scope of one tenant for the same work.
    pub fn tenant(&self, app_id: AppId) -> TenantScope {
        TenantScope { app_id, principal: self.principal.clone(), masked: self.masked }
    }

    /// Returns the caller.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Says whether personal fields are hidden from the caller.
    pub fn masked(&self) -> bool {
        self.masked
    }
}

/// Permission for whoever knows an id; the operation looks the id up.
#[derive(Debug, Clone)]
pub struct CapabilityScope {
    principal: Arc<Principal>,
    masked: bool,
}

impl CapabilityScope {
    pub(crate) fn new(principal: Arc<Principal>, masked: bool) -> Self {
        Self { principal, masked }
    }

    /// Returns the caller.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Says whether personal fields are hidden from the caller.
    pub fn masked(&self) -> bool {
        self.masked
    }

    /// Turns knowledge of an id into permission to look at what it names, wherever that is kept.
    pub fn system(&self) -> SystemScope {
        SystemScope { principal: self.principal.clone(), masked: self.masked }
    }
}

/// Reads a machine's id out of a credential or a request.
pub(crate) fn machine(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}
