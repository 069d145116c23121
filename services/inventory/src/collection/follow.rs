//! Follows the collection settings of all tenants.

use cwpp_access::Outgoing;
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::from_peer;
use cwpp_chassis::{Error, Result};
use cwpp_contracts::configuration::v1::policy::Spec;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{Policy, WatchPoliciesRequest, WatchPoliciesResponse};
use cwpp_storage::follow::Followed;
use cwpp_storage::{StoreResult, TenantTx};
use futures::StreamExt;
use prost::Message;
use uuid::Uuid;

use super::entity::policy;
use super::store;

/// The stream of policies.
#[derive(Clone)]
pub(crate) struct Policies {
    pub(crate) client: PolicyServiceClient<Channel>,
}

/// Returns the policy where it is in force and says what is collected.
fn in_force(message: &WatchPoliciesResponse) -> Option<(&Policy, Vec<u8>)> {
    let policy = message.policy.as_ref().filter(|policy| policy.enabled)?;
    match &policy.spec {
        Some(Spec::CollectionSettings(spec)) => Some((policy, spec.encode_to_vec())),
        _ => None,
    }
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
        in_force(message).is_some()
    }

    async fn take(&self, tx: &TenantTx, message: &WatchPoliciesResponse) -> StoreResult<()> {
        let policy_id = Uuid::try_parse(&message.policy_id).map_err(Error::internal)?;
        let Some((policy, spec)) = in_force(message) else { return store::delete(tx, policy_id).await };
        let machines = policy.machines.clone().unwrap_or_default();
        let row = policy::Model {
            app_id: tx.app_id().get(),
            policy_id,
            scope_kind: i16::try_from(machines.kind).map_err(Error::internal)?,
            tags: machines.tags.into(),
            spec,
            since: i64::try_from(policy.revision).map_err(Error::internal)?,
        };
        let ids: Vec<Uuid> = machines.machine_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        store::put(tx, row, &ids).await
    }
}
