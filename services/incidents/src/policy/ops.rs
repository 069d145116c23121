//! What the followed policies mean.

use cwpp_access::SystemScope;
use cwpp_chassis::{Error, Result};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind};
use cwpp_contracts::configuration::v1::{LoginWhitelist, Policy, policy};
use cwpp_storage::{Db, StoreResult, TenantTx};
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
    spec: Vec<u8>,
    revision: i64,
}

impl Change {
    /// Reads what the feed tells; what is no uuid is a fault of the peer.
    pub(crate) fn read(policy_id: &str, policy: Option<Policy>) -> Result<Self> {
        let policy_id = Uuid::try_parse(policy_id).map_err(Error::internal)?;
        Ok(Self { policy_id, whitelist: policy.and_then(InForce::of) })
    }
}

impl InForce {
    /// Takes an enabled login whitelist. One that covers machines by tags, which are not known here, covers none.
    fn of(policy: Policy) -> Option<Self> {
        let Some(policy::Spec::LoginWhitelist(spec)) = policy.spec else { return None };
        let MachineScope { machine_ids, .. } = policy.machines.clone().unwrap_or_default();
        let scope_kind = policy.machines.unwrap_or_default().kind();
        policy.enabled.then(|| Self {
            scope_kind,
            machine_ids: machine_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect(),
            spec: spec.encode_to_vec(),
            revision: i64::try_from(policy.revision).unwrap_or(i64::MAX),
        })
    }
}

/// Reads how far the feed was followed.
pub(super) async fn cursor(db: &Db, scope: &SystemScope, source: &str) -> Result<String> {
    db.system_read(scope, |on| async move { store::cursor(&on, source).await }).await
}

/// Moves the cursor where there is nothing to do.
pub(super) async fn skip(db: &Db, scope: &SystemScope, source: &str, position: &str) -> Result<()> {
    db.system(scope, |tx| async move { store::follow(&tx, source, position).await }).await
}

/// Takes a change in, and the cursor with it. A tenant whose termination is scheduled may still be kept, so its
/// policies go on.
pub(super) async fn take(
    db: &Db,
    scope: &cwpp_access::TenantScope,
    change: &Change,
    source: &str,
    position: &str,
) -> Result<()> {
    db.write_while_closing(scope, |tx| async move {
        match &change.whitelist {
            Some(whitelist) => {
                let row = whitelist::Model {
                    app_id: scope.app_id().get(),
                    policy_id: change.policy_id,
                    scope_kind: number(whitelist.scope_kind),
                    spec: whitelist.spec.clone(),
                    revision: whitelist.revision,
                };
                store::put(&tx, row, whitelist.machine_ids.clone()).await?;
            }
            None => store::delete(&tx, change.policy_id).await?,
        }
        store::follow(&tx, source, position).await
    })
    .await
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
