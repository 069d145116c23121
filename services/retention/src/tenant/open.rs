//! Opens new tenants in every service, in configuration last: there the tenant becomes ACTIVE for all to see, and who
//! sees that may use any service. Several replicas may do the same: opening twice is opening once.

use std::sync::Arc;
use std::time::Duration;

use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::Result;
use cwpp_storage::Db;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::entity::opening;
use super::store;
use crate::config::Worker;
use crate::peer::{CONFIGURATION, OWN, Peer, Peers, Tenant};

const BATCH: u64 = 64;
const PARALLEL: usize = 8;

/// The opener.
#[derive(Clone)]
pub struct Opener {
    pub(crate) db: Db,
    pub(crate) peers: Peers,
    pub(crate) worker: Worker,
    pub(crate) wake: Arc<Notify>,
}

fn scope() -> SystemScope {
    SystemScope::job(Job::FeedFollower)
}

/// The job: opens what is to be opened, when woken and at each poll.
pub async fn run(opener: Opener, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let dialect = opener.db.dialect();
        let pending =
            opener.db.system_read(&scope(), |on| async move { store::pending(&on, dialect, BATCH).await }).await;
        match pending {
            Ok(pending) => {
                let opened = stream::iter(pending).for_each_concurrent(PARALLEL, |row| async {
                    let incarnation = row.incarnation;
                    if let Err(e) = opener.open(row).await {
                        tracing::warn!(%incarnation, error = %e, "an opening could not be written down");
                    }
                });
                tokio::select! { () = opened => {}, () = shutdown.cancelled() => break }
            }
            Err(e) => tracing::debug!(error = %e, "tenants to be opened cannot be read"),
        }
        tokio::select! {
            () = opener.wake.notified() => {}
            () = tokio::time::sleep(opener.worker.poll) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

impl Opener {
    /// Opens one tenant in every service, and notes what came of it.
    async fn open(&self, row: opening::Model) -> Result<()> {
        let tenant = Tenant { app_id: AppId::from_row(row.app_id), incarnation: row.incarnation };
        let others = self.peers.all().iter().filter(|peer| peer.name != OWN);
        let (last, first): (Vec<&Peer>, Vec<&Peer>) = others.partition(|peer| peer.name == CONFIGURATION);
        let mut failed = Vec::new();
        for peers in [first, last] {
            if failed.is_empty() {
                failed = refusals(&peers, tenant).await;
            }
        }
        let tenant_scope = scope().tenant(tenant.app_id);
        if failed.is_empty() {
            tracing::info!(incarnation = %tenant.incarnation, "a tenant is open");
            return self
                .db
                .write_while_closing(&tenant_scope, |tx| async move { store::opened(&tx, tenant.incarnation).await })
                .await;
        }
        let attempt = row.attempt.saturating_add(1);
        let wait = self.wait(row.attempt);
        tracing::warn!(incarnation = %tenant.incarnation, attempt, blocker = failed.join(", "), "a tenant is not open everywhere yet");
        metrics::counter!("retention_openings_failed_total").increment(1);
        self.db
            .write_while_closing(&tenant_scope, |tx| async move {
                let now = tx.database_time().await?.timestamp_micros();
                let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 4);
                store::postpone(&tx, attempt, now + wait).await
            })
            .await
    }

    fn wait(&self, attempt: i32) -> Duration {
        self.worker.retry_min.saturating_mul(1 << attempt.clamp(0, 16)).min(self.worker.retry_max)
    }
}

/// Opens a tenant in these services at once; tells which did not, and why.
async fn refusals(peers: &[&Peer], tenant: Tenant) -> Vec<String> {
    let opened = join_all(peers.iter().map(|peer| async move { (peer.name, peer.open(tenant).await) })).await;
    let refused = |(name, opened): (&str, Result<_>)| Some(format!("{name}: {}", opened.err()?.reason().as_str()));
    opened.into_iter().filter_map(refused).collect()
}
