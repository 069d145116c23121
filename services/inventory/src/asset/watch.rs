//! The stream of machines whose packages changed, over all tenants, each with all its packages.

use cwpp_access::{Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Error, Result};
use cwpp_contracts::inventory::v1::WatchPackagesResponse;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_storage::watch::{self, Watched};
use cwpp_storage::{Db, StoreResult, TenantRead, TenantTx, mark};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::class::{self, Class, Whose};
use super::query::MOST_BYTES;
use crate::machine;

const FEED: &str = "package";
/// Packages of one message.
const SENT: usize = 1000;

/// The classes whose changes are told to the followers: those that have versions in an order of their ecosystem.
static TOLD: [&dyn Class; 2] = [&class::SystemPackage, &class::JarPackage];

/// Says whether a class's changes are told to the followers.
pub fn is_told(class: &dyn Class) -> bool {
    TOLD.iter().any(|told| told.class() == class.class())
}

/// Tells the followers that packages of machines changed. Call `feed_grew` after the commit.
pub async fn changed(tx: &TenantTx, machine_ids: &[Uuid]) -> StoreResult<()> {
    mark::set(tx, FEED, machine_ids, false).await
}

/// Tells the followers that machines are removed with their packages.
pub async fn removed(tx: &TenantTx, machine_ids: &[Uuid]) -> StoreResult<()> {
    mark::set(tx, FEED, machine_ids, true).await
}

/// Opens the stream.
pub(crate) async fn open(
    db: Db,
    scope: SystemScope,
    cursor: &str,
    shutdown: CancellationToken,
) -> Result<Outgoing<WatchPackagesResponse>> {
    watch::open(db, scope, cursor, shutdown, Packages).await
}

struct Packages;

/// Reads all packages of a machine, class by class in the order of their keys. One that is removed has none: what it left
/// is on its way out, and nothing is told when it is gone.
async fn packages(read: &TenantRead, machine_id: Uuid) -> StoreResult<Vec<Item>> {
    let mut items = Vec::new();
    if machine::store::get(read, machine_id).await?.is_none() {
        return Ok(items);
    }
    for class in TOLD {
        let mut select = class.rows(Whose(read));
        select.and_where(Expr::col("machine_id").eq(machine_id)).order_by("item_key", sea_orm::Order::Asc);
        for row in read.query_all(&select).await? {
            items.push(class.load(&row)?);
        }
    }
    Ok(items)
}

/// Puts an item into its list.
fn put(item: Item, part: &mut WatchPackagesResponse) -> Result<()> {
    match item {
        Item::SystemPackage(package) => part.packages.push(package),
        Item::JarPackage(jar) => part.jar_packages.push(jar),
        _ => return Err(Error::internal(anyhow::anyhow!("a class that is not told"))),
    }
    Ok(())
}

#[async_trait::async_trait]
impl Watched for Packages {
    const FEED: &'static str = FEED;
    // A machine may have 30,000 packages.
    const AT_ONCE: usize = 1;
    type Message = WatchPackagesResponse;

    async fn read(&self, db: &Db, tenant: &TenantScope, keys: &[Uuid]) -> Result<Vec<Vec<WatchPackagesResponse>>> {
        let mut things = Vec::with_capacity(keys.len());
        for id in keys {
            let mut rest = db.read(tenant, |read| async move { packages(&read, *id).await }).await?.into_iter();
            let mut parts = Vec::with_capacity(rest.len() / SENT + 1);
            loop {
                let mut part = WatchPackagesResponse {
                    app_id: tenant.app_id().to_request(),
                    machine_id: id.to_string(),
                    first: parts.is_empty(),
                    ..Default::default()
                };
                let mut bytes = 0;
                for item in rest.by_ref().take(SENT) {
                    bytes += item.encoded_len();
                    put(item, &mut part)?;
                    if bytes >= MOST_BYTES {
                        break;
                    }
                }
                part.last = rest.len() == 0;
                parts.push(part);
                if rest.len() == 0 {
                    break;
                }
            }
            things.push(parts);
        }
        Ok(things)
    }

    fn stamp(message: &mut WatchPackagesResponse, cursor: String) {
        message.cursor = cursor;
    }

    fn alive() -> WatchPackagesResponse {
        WatchPackagesResponse::default()
    }
}
