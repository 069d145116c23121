//! The stream of registered tenants.

use cwpp_access::{Outgoing, SystemScope};
use cwpp_chassis::Result;
use cwpp_contracts::configuration::v1::WatchTenantsResponse;
use cwpp_storage::Db;
use cwpp_storage::feed::Head;
use tokio_util::sync::CancellationToken;

use super::{ops, rpc};
use crate::watch::{self, Watched};

/// Opens the stream.
pub(crate) async fn open(
    db: Db,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
) -> Result<Outgoing<WatchTenantsResponse>> {
    watch::open(db, scope, cursor, shutdown, Tenants).await
}

/// Each head is one tenant, sent as it is now.
struct Tenants;

#[async_trait::async_trait]
impl Watched for Tenants {
    const FEED: &'static str = ops::FEED;
    type Message = WatchTenantsResponse;

    async fn changed(&mut self, db: &Db, scope: &SystemScope, head: Head) -> Result<Vec<WatchTenantsResponse>> {
        let seen = ops::changed(db, scope, head.app_id).await?;
        let message = |seen| WatchTenantsResponse { tenant: Some(rpc::message(seen)), cursor: String::new() };
        Ok(seen.map(message).into_iter().collect())
    }

    fn stamp(message: &mut WatchTenantsResponse, cursor: String) {
        message.cursor = cursor;
    }

    fn alive() -> WatchTenantsResponse {
        WatchTenantsResponse::default()
    }
}
