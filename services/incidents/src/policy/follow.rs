//! Follows the login whitelists of all tenants.

use cwpp_access::Outgoing;
use cwpp_chassis::Result;
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::from_peer;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{WatchPoliciesRequest, WatchPoliciesResponse};
use cwpp_storage::follow::Followed;
use cwpp_storage::{StoreResult, TenantTx};
use futures::StreamExt;

use super::ops::{self, Change};

/// The stream of policies.
#[derive(Clone)]
pub(crate) struct Policies {
    pub(crate) client: PolicyServiceClient<Channel>,
}

#[async_trait::async_trait]
impl Followed for Policies {
    const SOURCE: &'static str = "configuration.policies";
    type Message = WatchPoliciesResponse;

    async fn open(&self, cursor: String) -> Result<Outgoing<WatchPoliciesResponse>> {
        let opened = self.client.clone().watch_policies(WatchPoliciesRequest { cursor }).await;
        let stream = opened.map_err(|status| from_peer("configuration", &status))?.into_inner();
        Ok(stream.map(|next| next.map_err(|status| from_peer("configuration", &status))).boxed())
    }

    fn place(message: &WatchPoliciesResponse) -> (u64, &str) {
        (message.app_id, &message.cursor)
    }

    fn keeps(message: &WatchPoliciesResponse) -> bool {
        message.policy.as_ref().is_some_and(ops::is_in_force)
    }

    async fn take(&self, tx: &TenantTx, message: &WatchPoliciesResponse) -> StoreResult<()> {
        ops::take(tx, &Change::read(&message.policy_id, message.policy.as_ref())?).await
    }
}
