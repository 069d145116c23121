//! The stream of changed machines over all tenants.

use std::collections::HashMap;

use cwpp_access::{Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Clock, Result};
use cwpp_contracts::inventory::v1::WatchMachinesResponse;
use cwpp_storage::watch::{self, Watched};
use cwpp_storage::{Db, StoreResult, TenantTx, mark};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ops::{self, Machine};
use super::{store, wire};

const FEED: &str = "machine";

/// Tells the followers that machines are new, or changed: what they say of themselves, their tags or their state. Signs
/// of life are no change. Call `feed_grew` after the commit.
pub async fn changed(tx: &TenantTx, machine_ids: &[Uuid]) -> StoreResult<()> {
    mark::set(tx, FEED, machine_ids, false).await
}

/// Tells the followers that machines are removed.
pub async fn removed(tx: &TenantTx, machine_ids: &[Uuid]) -> StoreResult<()> {
    mark::set(tx, FEED, machine_ids, true).await
}

/// Opens the stream.
pub(crate) async fn open(
    db: Db,
    clock: Clock,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
) -> Result<Outgoing<WatchMachinesResponse>> {
    watch::open(db, scope, cursor, shutdown, Machines { clock }).await
}

struct Machines {
    clock: Clock,
}

#[async_trait::async_trait]
impl Watched for Machines {
    const FEED: &'static str = FEED;
    const AT_ONCE: usize = 200;
    type Message = WatchMachinesResponse;

    async fn read(&self, db: &Db, tenant: &TenantScope, keys: &[Uuid]) -> Result<Vec<Vec<WatchMachinesResponse>>> {
        let now = self.clock.now();
        let described = db
            .read(tenant, |read| async move {
                let rows = store::get_many(&read, keys).await?.into_values().collect();
                ops::describe(&read, rows, now).await
            })
            .await?;
        let mut machines: HashMap<Uuid, Machine> = described.into_iter().map(|m| (m.row.machine_id, m)).collect();
        let message = |id: &Uuid| WatchMachinesResponse {
            app_id: tenant.app_id().to_request(),
            machine_id: id.to_string(),
            machine: machines.remove(id).map(wire::to_wire),
            cursor: String::new(),
        };
        Ok(keys.iter().map(message).map(|message| vec![message]).collect())
    }

    fn stamp(message: &mut WatchMachinesResponse, cursor: String) {
        message.cursor = cursor;
    }

    fn alive() -> WatchMachinesResponse {
        WatchMachinesResponse::default()
    }
}
