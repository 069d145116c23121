//! The erasure engine: opens, fences, counts, exports and erases one tenant's data in this service.

mod count;
mod export;
mod fencing;
mod machine;
mod purge;
mod range;
mod run;
mod value;

use std::str::FromStr;

use cwpp_access::ops::ErasureServiceOps;
use cwpp_access::{AppId, Outgoing, SystemScope};
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::erasure::v1 as wire;
use uuid::Uuid;

pub use machine::{erase_chosen, erase_machine};

use crate::Db;
use crate::guard::Fenced;

/// Serves the erasure contract over a service's database.
#[derive(Debug, Clone)]
pub struct Eraser {
    db: Db,
}

impl Eraser {
    /// Serves this database. Hand it to the generated `ErasureServiceGuarded`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait::async_trait]
impl ErasureServiceOps for Eraser {
    async fn open_tenant(&self, _: SystemScope, request: wire::OpenTenantRequest) -> Result<wire::OpenTenantResponse> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        let fence = fencing::open(&self.db, app_id, incarnation).await?;
        Ok(wire::OpenTenantResponse { fence: Some(to_wire(&fence)) })
    }

    async fn fence(&self, _: SystemScope, request: wire::FenceRequest) -> Result<wire::FenceResponse> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        let state = fencing::wanted(request.state())?;
        let fence = fencing::fence(&self.db, app_id, incarnation, state, token(request.token)?).await?;
        Ok(wire::FenceResponse { fence: Some(to_wire(&fence)) })
    }

    async fn unfence(&self, _: SystemScope, request: wire::UnfenceRequest) -> Result<wire::UnfenceResponse> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        let fence = fencing::unfence(&self.db, app_id, incarnation, token(request.token)?).await?;
        Ok(wire::UnfenceResponse { fence: Some(to_wire(&fence)) })
    }

    async fn erase(&self, _: SystemScope, request: wire::EraseRequest) -> Result<Outgoing<wire::EraseResponse>> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        let order = purge::Order {
            app_id,
            incarnation,
            token: token(request.token)?,
            epoch: purge::epoch(request.epoch)?,
            budget: purge::budget(request.budget.as_ref())?,
            pause: purge::pause(request.pause.as_ref())?,
            close: request.close,
        };
        purge::run(self.db.clone(), order).await
    }

    async fn count_rows(&self, _: SystemScope, request: wire::CountRowsRequest) -> Result<wire::CountRowsResponse> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        count::rows(&self.db, app_id, incarnation).await
    }

    async fn export_tenant(
        &self,
        scope: SystemScope,
        request: wire::ExportTenantRequest,
    ) -> Result<Outgoing<wire::ExportTenantResponse>> {
        let (app_id, incarnation) = names(request.app_id, &request.incarnation)?;
        export::run(self.db.clone(), scope.tenant(app_id), incarnation).await
    }
}

/// Reads a tenant and its incarnation out of a request.
fn names(app_id: u64, incarnation: &str) -> Result<(AppId, Uuid)> {
    let mut violations = Violations::new();
    let number = i64::try_from(app_id).ok().filter(|n| *n > 0);
    violations.check(number.is_some(), "app_id", "must be 1 to 9223372036854775807");
    let id = Uuid::from_str(incarnation).ok().filter(|id| !id.is_nil());
    violations.check(id.is_some(), "incarnation", "must be a UUID");
    violations.finish()?;
    Ok((AppId::from_row(number.unwrap_or_default()), id.unwrap_or_default()))
}

fn token(token: u64) -> Result<i64> {
    let mut violations = Violations::new();
    let number = i64::try_from(token).ok().filter(|n| *n > 0);
    violations.check(number.is_some(), "token", "must be 1 to 9223372036854775807");
    violations.finish()?;
    Ok(number.unwrap_or_default())
}

fn to_wire(fence: &Fenced) -> wire::Fence {
    wire::Fence {
        incarnation: fence.incarnation.to_string(),
        state: fence.state.to_contract().into(),
        epoch: fence.epoch.unsigned_abs(),
        scope_epoch: fence.scope_epoch.unsigned_abs(),
    }
}
