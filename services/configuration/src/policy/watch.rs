//! The stream of changed policies over all tenants.

use std::collections::{HashMap, HashSet};

use cwpp_access::{AppId, Outgoing, SystemScope};
use cwpp_chassis::{Reason, Result};
use cwpp_contracts::configuration::v1::WatchPoliciesResponse;
use cwpp_storage::Db;
use cwpp_storage::feed::{self, Head};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::draft::Full;
use super::{ops, store};
use crate::watch::{self, Watched};

/// Entries that one statement reads.
const BATCH: u64 = 1_000;

/// Opens the stream.
pub(crate) async fn open(
    db: Db,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
) -> Result<Outgoing<WatchPoliciesResponse>> {
    watch::open(db, scope, cursor, shutdown, Policies::default()).await
}

/// What a stream knows: how far it has read the feed of each life of a tenant. One that it meets for the first time is
/// read from the beginning, since a cursor holds no positions of tenants.
#[derive(Default)]
struct Policies {
    positions: HashMap<AppId, (Uuid, i64)>,
}

#[async_trait::async_trait]
impl Watched for Policies {
    const FEED: &'static str = ops::FEED;
    type Message = WatchPoliciesResponse;

    async fn changed(&mut self, db: &Db, scope: &SystemScope, head: Head) -> Result<Vec<WatchPoliciesResponse>> {
        let known = self.positions.get(&head.app_id).copied();
        let tenant = scope.tenant(head.app_id);
        let read = db
            .read(&tenant, |tx| async move {
                let mut entries = Vec::new();
                let life = tx.incarnation();
                let mut position = known.filter(|(known, _)| *known == life).map_or(0, |(_, position)| position);
                loop {
                    let batch = feed::changes(&tx, ops::FEED, position, BATCH).await?;
                    let Some(last) = batch.last() else { break };
                    position = last.position;
                    entries.extend(batch.into_iter().map(|change| change.body));
                }
                let ids = ids(&entries);
                let policies = store::get_all(&tx, &ids).await?;
                Ok(((life, position), ids, policies))
            })
            .await;
        let (ids, policies) = match read {
            Ok((position, ids, policies)) => {
                self.positions.insert(head.app_id, position);
                (ids, policies)
            }
            // Sealed: whoever obeys its policies must not go on, so each is told as deleted.
            Err(error) if error.reason() == Reason::TenantFenced => {
                let entries = db
                    .system_read(scope, |tx| {
                        let tenant = &tenant;
                        async move { store::entries_of_sealed(&tx, tenant.app_id(), ops::FEED).await }
                    })
                    .await?;
                (ids(&entries), Vec::new())
            }
            // Gone, or another life of it is being opened: there is nothing to tell.
            Err(error) if matches!(error.reason(), Reason::TenantUnknown | Reason::TenantOpening) => {
                self.positions.remove(&head.app_id);
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut policies: HashMap<Uuid, Full> = policies.into_iter().map(|full| (full.row.policy_id, full)).collect();
        ids.into_iter()
            .map(|policy_id| {
                Ok(WatchPoliciesResponse {
                    app_id: head.app_id.to_request(),
                    policy_id: policy_id.to_string(),
                    policy: policies.remove(&policy_id).map(Full::message).transpose()?,
                    cursor: String::new(),
                })
            })
            .collect()
    }

    fn stamp(message: &mut WatchPoliciesResponse, cursor: String) {
        message.cursor = cursor;
    }

    fn alive() -> WatchPoliciesResponse {
        WatchPoliciesResponse::default()
    }
}

/// Returns the policies that entries name, each once, in the order in which they changed first.
fn ids(entries: &[Vec<u8>]) -> Vec<Uuid> {
    let mut seen = HashSet::new();
    entries.iter().filter_map(|body| Uuid::from_slice(body).ok()).filter(|id| seen.insert(*id)).collect()
}
