//! Holds a call against the rule of its method.

use std::sync::Arc;

use cwpp_chassis::{Error, Reason, Result};
use futures::StreamExt;
use tonic::Extensions;

use crate::audit::{AuditEntry, AuditSink, Grants, NoGrants};
use crate::mask::Mask;
use crate::principal::{Kind, Principal};
use crate::rule::{Action, Rule};
use crate::scope::{self, AppId, CapabilityScope, Job, SystemScope, TenantScope};
use crate::stream::{Outgoing, Replies};

/// What every guard of a service shares.
#[derive(Clone)]
pub struct Gate {
    grants: Arc<dyn Grants>,
    audit: Option<Arc<dyn AuditSink>>,
    receive: usize,
    send: usize,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("receive", &self.receive).field("send", &self.send).finish_non_exhaustive()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(4 << 20, 16 << 20)
    }
}

/// Returns the caller that the authenticator found; without one the call is refused.
pub fn principal(extensions: &Extensions) -> Result<Arc<Principal>> {
    extensions
        .get::<Arc<Principal>>()
        .cloned()
        .ok_or_else(|| Error::new(Reason::Unauthenticated, "the call carries no credential"))
}

fn denied(rule: &Rule) -> Error {
    Error::new(Reason::PermissionDenied, "the caller lacks the right").with("right", rule.right)
}

impl Gate {
    /// Makes a gate with limits in bytes for messages received and sent; it knows no grants.
    pub fn new(receive: usize, send: usize) -> Self {
        Self { grants: Arc::new(NoGrants), audit: None, receive, send }
    }

    /// Looks grants up here and writes the trail there.
    #[must_use]
    pub fn with_grants(mut self, grants: Arc<dyn Grants>, audit: Arc<dyn AuditSink>) -> Self {
        self.grants = grants;
        self.audit = Some(audit);
        self
    }

    /// Returns the limits for messages, received and sent.
    pub fn message_limits(&self) -> (usize, usize) {
        (self.receive, self.send)
    }

    /// Permits a call for a tenant. What the caller lacks is looked at before what the request says.
    pub async fn tenant(
        &self,
        rule: &'static Rule,
        principal: Arc<Principal>,
        app_id: u64,
        machines: impl FnOnce() -> Vec<String> + Send,
        request: &(impl Mask + Sync),
    ) -> Result<Permitted<TenantScope>> {
        self.right(rule, &principal)?;
        let app_id = AppId::from_request(app_id)?;
        if !principal.speaks_for(app_id) {
            return Err(scope::tenant_unknown());
        }
        if principal.kind == Kind::Agent {
            let own = principal.machine.ok_or_else(|| denied(rule))?;
            if machines().iter().any(|m| scope::machine(m) != Some(own)) {
                return Err(scope::not_its_machine());
            }
        }
        let grant = if principal.kind == Kind::Operator {
            self.grants.live(&SystemScope::job(Job::Startup), app_id, &principal, rule.right).await?
        } else {
            None
        };
        let masked = is_masked(&principal) && grant.is_none();
        self.unseen(rule, masked, request)?;
        let entry =
            grant.map(|grant| AuditEntry { app_id, subject: principal.subject.clone(), grant, method: rule.path });
        Ok(Permitted {
            permit: Permit { masked, entry, audit: self.audit.clone() },
            scope: TenantScope::new(app_id, principal, masked),
        })
    }

    /// Permits a call that speaks about no tenant or all of them: for services, operators and auditors.
    pub fn system(
        &self,
        rule: &'static Rule,
        principal: Arc<Principal>,
        request: &impl Mask,
    ) -> Result<Permitted<SystemScope>> {
        self.right(rule, &principal)?;
        if matches!(principal.kind, Kind::Agent | Kind::TenantUser) {
            return Err(denied(rule));
        }
        let masked = is_masked(&principal);
        self.unseen(rule, masked, request)?;
        Ok(Permitted { permit: Permit::new(masked), scope: SystemScope::new(principal, masked) })
    }

    /// Permits a call of whoever knows the id in the request.
    pub fn capability(
        &self,
        rule: &'static Rule,
        principal: Arc<Principal>,
        request: &impl Mask,
    ) -> Result<Permitted<CapabilityScope>> {
        self.right(rule, &principal)?;
        let masked = is_masked(&principal);
        self.unseen(rule, masked, request)?;
        Ok(Permitted { permit: Permit::new(masked), scope: CapabilityScope::new(principal, masked) })
    }

    fn right(&self, rule: &Rule, principal: &Principal) -> Result<()> {
        if !principal.may(rule.right) || (principal.kind == Kind::Agent && !rule.agent) {
            return Err(denied(rule));
        }
        Ok(())
    }

    /// Refuses what a masked caller must not do: change anything, or choose rows by what it may not see.
    fn unseen(&self, rule: &Rule, masked: bool, request: &impl Mask) -> Result<()> {
        if !masked {
            return Ok(());
        }
        if rule.action != Action::Read {
            return Err(
                Error::new(Reason::PermissionDenied, "the tenant has granted no such access").with("right", rule.right)
            );
        }
        match request.personal() {
            Some(field) => Err(Error::new(
                Reason::MaskedFilter,
                "rows cannot be chosen by a personal field without a grant of the tenant",
            )
            .with("field", field)),
            None => Ok(()),
        }
    }
}

fn is_masked(principal: &Principal) -> bool {
    matches!(principal.kind, Kind::Operator | Kind::Auditor)
}

/// A scope, and what is done to the reply.
pub struct Permitted<S> {
    /// The scope.
    pub scope: S,
    /// What is done to the reply.
    pub permit: Permit,
}

/// What is done to a reply before it leaves: mask it, and write the audit entry.
pub struct Permit {
    masked: bool,
    entry: Option<AuditEntry>,
    audit: Option<Arc<dyn AuditSink>>,
}

impl Permit {
    fn new(masked: bool) -> Self {
        Self { masked, entry: None, audit: None }
    }

    /// Finishes a reply.
    pub async fn reply<T: Mask>(&self, mut reply: T) -> Result<T> {
        if self.masked {
            reply.mask();
        }
        if let (Some(entry), Some(audit)) = (&self.entry, &self.audit) {
            audit.record(entry.clone()).await?;
        }
        Ok(reply)
    }

    /// Finishes each reply of a stream.
    pub fn stream<T: Mask + Send + 'static>(self, replies: Outgoing<T>) -> Replies<T> {
        let permit = Arc::new(self);
        Box::pin(replies.then(move |reply| {
            let permit = permit.clone();
            async move { Ok(permit.reply(reply?).await?) }
        }))
    }
}
