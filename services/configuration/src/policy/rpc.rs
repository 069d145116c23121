//! The contract of policies: checks requests, translates both ways.

use cwpp_access::ops::PolicyServiceOps;
use cwpp_access::{Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::configuration::v1 as wire;
use cwpp_storage::page::{Binding, Page};
use tokio_util::sync::CancellationToken;

use super::draft::{Draft, Fields, Full};
use super::ops::Policies;
use super::store::Cursor;
use super::watch;

/// The service.
pub(crate) struct PolicyRpc {
    pub(crate) policies: Policies,
    pub(crate) shutdown: CancellationToken,
}

#[async_trait::async_trait]
impl PolicyServiceOps for PolicyRpc {
    async fn create_policy(
        &self,
        scope: TenantScope,
        request: wire::CreatePolicyRequest,
    ) -> Result<wire::CreatePolicyResponse> {
        let mut violations = Violations::new();
        let request_id = violations.uuid("request_id", &request.request_id);
        let draft = match &request.policy {
            Some(policy) => Draft::check(policy, Fields::all(), &mut violations)?,
            None => {
                violations.push("policy", "must be set");
                Draft::default()
            }
        };
        violations.finish()?;
        let policy = self.policies.create(&scope, request_id.unwrap_or_default(), &request, &draft).await?;
        Ok(wire::CreatePolicyResponse { policy: Some(policy.message()?) })
    }

    async fn get_policy(&self, scope: TenantScope, request: wire::GetPolicyRequest) -> Result<wire::GetPolicyResponse> {
        let mut violations = Violations::new();
        let policy_id = violations.uuid("policy_id", &request.policy_id);
        violations.finish()?;
        let policy = self.policies.get(&scope, policy_id.unwrap_or_default()).await?;
        Ok(wire::GetPolicyResponse { policy: Some(policy.message()?) })
    }

    async fn list_policies(
        &self,
        scope: TenantScope,
        mut request: wire::ListPoliciesRequest,
    ) -> Result<wire::ListPoliciesResponse> {
        let mut violations = Violations::new();
        let kind = wire::PolicyKind::try_from(request.kind);
        violations.check(kind.is_ok(), "kind", "must be a kind of policy, or not given for every kind");
        violations.check(
            request.page.as_ref().is_none_or(|page| page.page_size >= 0),
            "page.page_size",
            "must not be negative",
        );
        violations.finish()?;
        let kind = kind.ok().filter(|kind| *kind != wire::PolicyKind::Unspecified);
        let page = request.page.take();
        let (keys, now) = (self.policies.db.keys(), self.policies.clock.now());
        let binding = Binding::new(scope.app_id(), "ListPolicies", &request);
        let page: Page<Cursor> = Page::read(keys, page.as_ref(), &binding, now)?;
        let mut found = self.policies.list(&scope, kind, page.after.as_ref(), page.limit()).await?;
        let cursor = |last: &Full| (last.row.kind, last.row.name.clone());
        let next_page_token = page.cut(keys, &mut found, &binding, now, cursor)?;
        Ok(wire::ListPoliciesResponse { policies: messages(found)?, next_page_token })
    }

    async fn update_policy(
        &self,
        scope: TenantScope,
        request: wire::UpdatePolicyRequest,
    ) -> Result<wire::UpdatePolicyResponse> {
        let mut violations = Violations::new();
        let fields = Fields::of_mask(request.update_mask.as_ref(), &mut violations);
        let (policy_id, draft) = match &request.policy {
            Some(policy) => {
                (violations.uuid("policy.policy_id", &policy.policy_id), Draft::check(policy, fields, &mut violations)?)
            }
            None => {
                violations.push("policy", "must be set");
                (None, Draft::default())
            }
        };
        violations.finish()?;
        let etag = request.policy.as_ref().map_or("", |policy| policy.etag.as_str());
        let policy = self.policies.update(&scope, policy_id.unwrap_or_default(), etag, &draft).await?;
        Ok(wire::UpdatePolicyResponse { policy: Some(policy.message()?) })
    }

    async fn delete_policy(
        &self,
        scope: TenantScope,
        request: wire::DeletePolicyRequest,
    ) -> Result<wire::DeletePolicyResponse> {
        let mut violations = Violations::new();
        let policy_id = violations.uuid("policy_id", &request.policy_id);
        violations.finish()?;
        self.policies.delete(&scope, policy_id.unwrap_or_default(), &request.etag).await?;
        Ok(wire::DeletePolicyResponse {})
    }

    async fn get_effective_policies(
        &self,
        scope: TenantScope,
        request: wire::GetEffectivePoliciesRequest,
    ) -> Result<wire::GetEffectivePoliciesResponse> {
        let mut violations = Violations::new();
        let machine_id = violations.uuid("machine_id", &request.machine_id);
        violations.finish()?;
        let (found, revision) = self.policies.effective(&scope, machine_id.unwrap_or_default()).await?;
        Ok(wire::GetEffectivePoliciesResponse { policies: messages(found)?, revision: revision.unsigned_abs() })
    }

    async fn watch_policies(
        &self,
        scope: SystemScope,
        request: wire::WatchPoliciesRequest,
    ) -> Result<Outgoing<wire::WatchPoliciesResponse>> {
        watch::open(self.policies.db.clone(), scope, &request.cursor, self.shutdown.clone()).await
    }
}

fn messages(found: Vec<Full>) -> Result<Vec<wire::Policy>> {
    found.into_iter().map(Full::message).collect()
}
