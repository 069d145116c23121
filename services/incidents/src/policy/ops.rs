//! What the followed policies mean.

use cwpp_chassis::{Error, Result};
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::{LoginWhitelist, Policy, policy};
use cwpp_storage::{StoreResult, TenantTx};
use prost::Message;
use uuid::Uuid;

use super::entity::whitelist;
use super::store;
use crate::detection::login::Whitelist;
use crate::incident::entity::number;

/// A change of one policy, as far as logins go.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) policy_id: Uuid,
    /// None where no whitelist of this id is in force.
    pub(crate) whitelist: Option<InForce>,
}

/// A whitelist in force.
#[derive(Debug)]
pub(crate) struct InForce {
    scope_kind: MachineScopeKind,
    machine_ids: Vec<Uuid>,
    tags: Vec<String>,
    spec: Vec<u8>,
    revision: i64,
}

impl Change {
    /// Reads what the feed tells; what is no uuid is a fault of the peer.
    pub(crate) fn read(policy_id: &str, policy: Option<&Policy>) -> Result<Self> {
        let policy_id = Uuid::try_parse(policy_id).map_err(Error::internal)?;
        Ok(Self { policy_id, whitelist: policy.and_then(InForce::of) })
    }
}

/// Says whether a policy is a login whitelist that is in force.
pub(super) fn is_in_force(policy: &Policy) -> bool {
    policy.enabled && matches!(policy.spec, Some(policy::Spec::LoginWhitelist(_)))
}

impl InForce {
    /// Takes an enabled login whitelist.
    fn of(policy: &Policy) -> Option<Self> {
        let Some(policy::Spec::LoginWhitelist(spec)) = &policy.spec else { return None };
        let machines = policy.machines.clone().unwrap_or_default();
        is_in_force(policy).then(|| Self {
            scope_kind: machines.kind(),
            tags: machines.tags.clone(),
            machine_ids: machines.machine_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect(),
            spec: spec.encode_to_vec(),
            revision: i64::try_from(policy.revision).unwrap_or(i64::MAX),
        })
    }
}

/// Takes a change in.
pub(super) async fn take(tx: &TenantTx, change: &Change) -> StoreResult<()> {
    let Some(whitelist) = &change.whitelist else { return store::delete(tx, change.policy_id).await };
    let row = whitelist::Model {
        app_id: tx.app_id().get(),
        policy_id: change.policy_id,
        scope_kind: number(whitelist.scope_kind),
        tags: whitelist.tags.clone().into(),
        spec: whitelist.spec.clone(),
        revision: whitelist.revision,
    };
    store::put(tx, row, whitelist.machine_ids.clone()).await
}

/// Reads the whitelists that cover a machine.
pub(crate) async fn whitelists(tx: &TenantTx, machine_id: Uuid) -> StoreResult<Vec<Whitelist>> {
    let rows = store::covering(tx, machine_id).await?;
    let read = |row: whitelist::Model| match LoginWhitelist::decode(row.spec.as_slice()) {
        Ok(spec) => Ok(Whitelist::from(spec)),
        Err(error) => Err(Error::internal(error).into()),
    };
    rows.into_iter().map(read).collect()
}
