//! Follows the policies of all tenants.

use cwpp_access::Outgoing;
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::from_peer;
use cwpp_chassis::{Error, Result};
use cwpp_contracts::configuration::v1::policy::Spec;
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{Policy, PolicyKind, WatchPoliciesRequest, WatchPoliciesResponse};
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

/// Returns the policy where it is in force and concerns inventory, with its kind and what it says.
fn in_force(message: &WatchPoliciesResponse) -> Option<(&Policy, PolicyKind, Vec<u8>)> {
    let policy = message.policy.as_ref().filter(|policy| policy.enabled)?;
    let (kind, spec) = match policy.spec.as_ref()? {
        Spec::CollectionSettings(spec) => (PolicyKind::CollectionSettings, spec.encode_to_vec()),
        Spec::OfflineMachineRemoval(spec) => (PolicyKind::OfflineMachineRemoval, spec.encode_to_vec()),
        Spec::LoginWhitelist(_) => return None,
    };
    Some((policy, kind, spec))
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
        let Some((policy, kind, spec)) = in_force(message) else { return store::delete(tx, policy_id).await };
        let machines = policy.machines.clone().unwrap_or_default();
        let row = policy::Model {
            app_id: tx.app_id().get(),
            policy_id,
            kind: kind as i16,
            scope_kind: i16::try_from(machines.kind).map_err(Error::internal)?,
            tags: machines.tags.into(),
            spec,
            since: i64::try_from(policy.revision).map_err(Error::internal)?,
        };
        let ids: Vec<Uuid> = machines.machine_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        store::put(tx, row, &ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cwpp_contracts::configuration::v1::{CollectionSettings, LoginWhitelist, OfflineMachineRemoval};

    #[test]
    fn policies_in_force_that_concern_inventory_are_kept() {
        let kept = |enabled: bool, spec: Option<Spec>| {
            let policy = Some(Policy { enabled, spec, ..Default::default() });
            in_force(&WatchPoliciesResponse { policy, ..Default::default() }).map(|(_, kind, spec)| (kind, spec))
        };
        let collection = || Some(Spec::CollectionSettings(CollectionSettings::default()));
        let removal = OfflineMachineRemoval { days: 7 };
        let spec = Spec::OfflineMachineRemoval(removal);
        assert_eq!(kept(true, Some(spec)), Some((PolicyKind::OfflineMachineRemoval, removal.encode_to_vec())));
        assert_eq!(kept(true, collection()), Some((PolicyKind::CollectionSettings, Vec::new())));
        assert_eq!(kept(false, collection()), None);
        assert_eq!(kept(true, Some(Spec::LoginWhitelist(LoginWhitelist::default()))), None);
        assert_eq!(kept(true, None), None);
        assert_eq!(in_force(&WatchPoliciesResponse::default()), None);
    }
}
