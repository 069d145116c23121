//! The services that hold a tenant's data: the others over gRPC, the own one through its engine.

mod far;

use std::sync::Arc;
use std::time::Duration;

use cwpp_access::ops::ErasureServiceOps;
use cwpp_access::{AppId, Job, SystemScope};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::erasure::v1 as wire;
use cwpp_storage::Eraser;
use futures::StreamExt;
use uuid::Uuid;

use crate::config;

/// The own name among the services.
pub const OWN: &str = "retention";
/// The service that keeps the tenants.
pub const CONFIGURATION: &str = "configuration";

/// How long a short call may take.
const SHORT: Duration = Duration::from_secs(8);
/// How long a call that deletes or counts may take beyond its work.
const SLACK: Duration = Duration::from_secs(4);

/// A tenant as every service is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Tenant {
    /// Its number.
    pub app_id: AppId,
    /// Its life.
    pub incarnation: Uuid,
}

/// One service.
#[derive(Clone)]
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    erasure: Arc<dyn ErasureServiceOps>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.name).finish()
    }
}

/// All services, in the order of the purge: data, then the policies that guard it, then ourselves.
#[derive(Debug, Clone)]
pub struct Peers {
    all: Arc<[Peer]>,
}

/// Progress of a purge in one service.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    /// Rows deleted so far, per table.
    pub deleted: Vec<wire::TableCount>,
    /// Whether rows may be left.
    pub more: bool,
    /// Whether the incarnation is closed there.
    pub closed: bool,
}

impl Peers {
    /// Names the services of the settings. No connection is made yet.
    pub fn connect(targets: &config::Peers, client: &ClientConfig, own: Eraser) -> anyhow::Result<Self> {
        let far = |name, target: &str| {
            let erasure: Arc<dyn ErasureServiceOps> =
                Arc::new(far::Far::new(name, Channel::connect_lazy(target, client)?));
            anyhow::Ok(Peer { name, erasure })
        };
        Ok(Self {
            all: Arc::new([
                far("inventory", &targets.inventory)?,
                far("incidents", &targets.incidents)?,
                far(CONFIGURATION, &targets.configuration)?,
                Peer { name: OWN, erasure: Arc::new(own) },
            ]),
        })
    }

    /// Returns all services in the order of the purge.
    pub fn all(&self) -> &[Peer] {
        &self.all
    }

    /// Finds a service by name.
    pub fn named(&self, name: &str) -> Option<&Peer> {
        self.all.iter().find(|peer| peer.name == name)
    }
}

fn scope() -> SystemScope {
    SystemScope::job(Job::Deletions)
}

/// Gives a call its time, also where the far side has stopped in the middle of it.
async fn within<T>(name: &str, time: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(time, call).await.unwrap_or_else(|_| {
        Err(Error::new(Reason::DeadlineExceeded, format!("{name} did not answer within {} s", time.as_secs())))
    })
}

fn fence_of(fence: Option<wire::Fence>) -> Result<wire::Fence> {
    fence.ok_or_else(|| Error::new(Reason::PeerUnavailable, "the answer carries no fence"))
}

impl Peer {
    /// Opens the tenant there.
    pub async fn open(&self, tenant: Tenant) -> Result<wire::Fence> {
        let request =
            wire::OpenTenantRequest { app_id: tenant.app_id.to_request(), incarnation: tenant.incarnation.to_string() };
        within(self.name, SHORT, async {
            let answer = self.erasure.open_tenant(scope(), request).await?;
            fence_of(answer.fence)
        })
        .await
    }

    /// Moves the tenant's fence there.
    pub async fn fence(&self, tenant: Tenant, state: TenantState, token: i64) -> Result<wire::Fence> {
        let request = wire::FenceRequest {
            app_id: tenant.app_id.to_request(),
            incarnation: tenant.incarnation.to_string(),
            state: state.into(),
            token: token.unsigned_abs(),
        };
        within(self.name, SHORT, async {
            let answer = self.erasure.fence(scope(), request).await?;
            fence_of(answer.fence)
        })
        .await
    }

    /// Lifts READ_ONLY there.
    pub async fn unfence(&self, tenant: Tenant, token: i64) -> Result<()> {
        let request = wire::UnfenceRequest {
            app_id: tenant.app_id.to_request(),
            incarnation: tenant.incarnation.to_string(),
            token: token.unsigned_abs(),
        };
        within(self.name, SHORT, async { self.erasure.unfence(scope(), request).await.map(|_| ()) }).await
    }

    /// Deletes rows there for a while; with `close`, also the fence row behind the last one.
    pub async fn erase(
        &self,
        tenant: Tenant,
        token: i64,
        epoch: i64,
        budget: Duration,
        pause: Duration,
        close: bool,
    ) -> Result<Erased> {
        let request = wire::EraseRequest {
            app_id: tenant.app_id.to_request(),
            incarnation: tenant.incarnation.to_string(),
            token: token.unsigned_abs(),
            epoch: epoch.unsigned_abs(),
            budget: prost_types::Duration::try_from(budget).ok(),
            pause: (!pause.is_zero()).then(|| prost_types::Duration::try_from(pause).ok()).flatten(),
            close,
        };
        within(self.name, budget + SLACK, async {
            let mut progress = self.erasure.erase(scope(), request).await?;
            // Without a last message nothing is known to have been done.
            let mut last = Erased { more: true, ..Erased::default() };
            while let Some(answer) = progress.next().await {
                let wire::EraseResponse { deleted, more, closed } = answer?;
                last = Erased { deleted, more, closed };
            }
            Ok(last)
        })
        .await
    }

    /// Counts what is left there.
    pub async fn count_rows(&self, tenant: Tenant, time: Duration) -> Result<wire::CountRowsResponse> {
        let request =
            wire::CountRowsRequest { app_id: tenant.app_id.to_request(), incarnation: tenant.incarnation.to_string() };
        within(self.name, time, self.erasure.count_rows(scope(), request)).await
    }
}
