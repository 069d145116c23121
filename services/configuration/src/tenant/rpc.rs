//! The contract of tenants: checks requests, translates both ways.

use chrono::TimeDelta;
use cwpp_access::ops::TenantServiceOps;
use cwpp_access::{AppId, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::configuration::v1 as wire;
use cwpp_storage::State;
use cwpp_storage::page::{Binding, Page};
use tokio_util::sync::CancellationToken;

use super::ops::{Draft, Tenants};
use super::store::Seen;
use super::watch;

/// How far the clock of a caller may be ahead of ours.
const SKEW: TimeDelta = TimeDelta::minutes(1);
/// Most characters of a region and of the agreement's version.
const MAX_TEXT: usize = 63;

/// The service.
pub(crate) struct TenantRpc {
    pub(crate) tenants: Tenants,
    pub(crate) shutdown: CancellationToken,
}

#[async_trait::async_trait]
impl TenantServiceOps for TenantRpc {
    async fn create_tenant(
        &self,
        scope: SystemScope,
        request: wire::CreateTenantRequest,
    ) -> Result<wire::CreateTenantResponse> {
        let draft = self.draft(&request)?;
        let seen = self.tenants.create(&scope, &draft).await?;
        Ok(wire::CreateTenantResponse { tenant: Some(message(seen)) })
    }

    async fn get_tenant(&self, scope: TenantScope, _: wire::GetTenantRequest) -> Result<wire::GetTenantResponse> {
        Ok(wire::GetTenantResponse { tenant: Some(message(self.tenants.get(&scope).await?)) })
    }

    async fn list_tenants(
        &self,
        scope: SystemScope,
        mut request: wire::ListTenantsRequest,
    ) -> Result<wire::ListTenantsResponse> {
        let page = request.page.take();
        let (keys, now) = (self.tenants.db.keys(), self.tenants.clock.now());
        let binding = Binding::system("ListTenants", &request);
        let page: Page<i64> = Page::read(keys, page.as_ref(), &binding, now)?;
        let mut found = self.tenants.list(&scope, page.after, page.limit()).await?;
        let next_page_token = page.cut(keys, &mut found, &binding, now, |last| last.app_id)?;
        Ok(wire::ListTenantsResponse { tenants: found.into_iter().map(message).collect(), next_page_token })
    }

    async fn watch_tenants(
        &self,
        scope: SystemScope,
        request: wire::WatchTenantsRequest,
    ) -> Result<Outgoing<wire::WatchTenantsResponse>> {
        watch::open(self.tenants.db.clone(), scope, &request.cursor, self.shutdown.clone()).await
    }
}

impl TenantRpc {
    fn draft(&self, request: &wire::CreateTenantRequest) -> Result<Draft> {
        const RANGE: &str = "must be 1 to 9223372036854775807";
        let mut violations = Violations::new();
        let number = |value: u64| i64::try_from(value).ok().filter(|number| *number > 0);
        let app_id = AppId::from_request(request.app_id).ok();
        violations.check(app_id.is_some(), "app_id", RANGE);
        let request_id = violations.uuid("request_id", &request.request_id);
        let uin = number(request.uin);
        violations.check(uin.is_some(), "uin", RANGE);
        text("region", &request.region, &mut violations);
        text("agreement_version", &request.agreement_version, &mut violations);
        let at = "agreement_accepted_time";
        let accepted = request.agreement_accepted_time.as_ref().map(crate::time::stored);
        match accepted {
            None => violations.push(at, "must be set"),
            Some(None) => violations.push(at, "must be a time of the years 1 to 9999"),
            Some(Some(time)) => {
                violations.check(time <= self.tenants.clock.now() + SKEW, at, "must not be in the future");
                violations.check(time.timestamp() >= 0, at, "must not be before 1970");
            }
        }
        violations.finish()?;
        match (app_id, request_id, uin, accepted.flatten()) {
            (Some(app_id), Some(request_id), Some(uin), Some(agreement_accepted_time)) => Ok(Draft {
                app_id,
                request_id,
                uin,
                region: request.region.clone(),
                agreement_version: request.agreement_version.clone(),
                agreement_accepted_time,
            }),
            _ => Err(cwpp_chassis::Error::internal(anyhow::anyhow!("a checked request is not whole"))),
        }
    }
}

fn text(at: &str, value: &str, violations: &mut Violations) {
    if violations.characters(at, value, 1, MAX_TEXT) {
        violations.check(
            !value.chars().any(|c| c.is_control() || c.is_whitespace()),
            at,
            "must not contain white space",
        );
    }
}

/// Returns a tenant's message. Of a sealed tenant nothing is shown but that there is one.
pub(super) fn message(seen: Seen) -> wire::Tenant {
    let state = seen.state();
    let mut tenant = wire::Tenant {
        app_id: AppId::from_row(seen.app_id).to_request(),
        state: state.to_contract().into(),
        incarnation: seen.incarnation.to_string(),
        ..Default::default()
    };
    if state != State::Sealed {
        tenant.uin = seen.uin.unsigned_abs();
        tenant.region = seen.region;
        tenant.agreement_version = seen.agreement_version;
        tenant.agreement_accepted_time = Some(crate::time::message(seen.agreement_accepted_time));
        tenant.create_time = Some(crate::time::message(seen.create_time));
    }
    tenant
}
