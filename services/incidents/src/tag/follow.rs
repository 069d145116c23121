//! Follows the tags of all tenants' machines.

use cwpp_access::Outgoing;
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::from_peer;
use cwpp_chassis::{Error, Result};
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::{WatchMachinesRequest, WatchMachinesResponse};
use cwpp_storage::follow::Followed;
use cwpp_storage::{StoreResult, TenantTx};
use futures::StreamExt;
use uuid::Uuid;

/// The stream of machines.
#[derive(Clone)]
pub(crate) struct Machines {
    pub(crate) client: AssetServiceClient<Channel>,
}

/// Returns the tags that a machine has now.
fn tags(message: &WatchMachinesResponse) -> &[String] {
    message.machine.as_ref().map_or(&[], |machine| &machine.tags)
}

#[async_trait::async_trait]
impl Followed for Machines {
    const SOURCE: &'static str = "inventory.machines";
    type Message = WatchMachinesResponse;

    async fn open(&self, cursor: String) -> Result<Outgoing<WatchMachinesResponse>> {
        let opened = self.client.clone().watch_machines(WatchMachinesRequest { cursor }).await;
        let stream = opened.map_err(|status| from_peer("inventory", &status))?.into_inner();
        Ok(stream.map(|next| next.map_err(|status| from_peer("inventory", &status))).boxed())
    }

    fn place(message: &WatchMachinesResponse) -> (u64, &str) {
        (message.app_id, &message.cursor)
    }

    fn keeps(message: &WatchMachinesResponse) -> bool {
        !tags(message).is_empty()
    }

    async fn take(&self, tx: &TenantTx, message: &WatchMachinesResponse) -> StoreResult<()> {
        let machine_id = Uuid::try_parse(&message.machine_id).map_err(Error::internal)?;
        super::put(tx, machine_id, tags(message)).await
    }
}
