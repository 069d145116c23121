//! The guards: the only ways to the database, and what each state of the fence lets through.

mod fencing;
mod opening;
mod purge;
mod read;
mod system;
mod tenant;

use cwpp_access::AppId;
use cwpp_access::scope::{TenantScope, tenant_unknown};
use cwpp_chassis::{Error, Reason};
use sea_orm::QueryResult;
use uuid::Uuid;

pub(crate) use fencing::FenceTx;
pub use opening::OpeningTx;
pub(crate) use purge::PurgeTx;
pub use read::TenantRead;
pub use system::{SystemRead, SystemTx};
pub use tenant::TenantTx;

use crate::dialect::Dialect;
use crate::error::{StoreError, StoreResult};
use crate::fence::State;

/// The fence row as a guard read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The tenant.
    pub app_id: AppId,
    /// The tenant's life.
    pub incarnation: Uuid,
    /// The state.
    pub state: State,
    /// Rises with each sealing.
    pub epoch: i64,
    /// Rises with each scoped deletion.
    pub scope_epoch: i64,
}

/// What a guard wants from the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// To write as ever.
    Write,
    /// To write what a scheduled termination still admits: audit, revocation of grants, cancelling.
    WriteWhileClosing,
    /// To give feed entries their positions: also while the tenant is being opened, for whoever opens it follows a feed.
    Position,
    /// To read.
    Read,
    /// To delete everything.
    Purge,
}

/// The table of states and guards. A missing row refuses everything.
pub fn admit(want: Want, state: Option<State>) -> Result<(), Error> {
    let Some(state) = state else { return Err(tenant_unknown()) };
    match (want, state) {
        (Want::Write | Want::WriteWhileClosing | Want::Position | Want::Read, State::Active)
        | (Want::WriteWhileClosing | Want::Position | Want::Read, State::ReadOnly)
        | (Want::Position, State::Opening)
        | (Want::Purge, State::Sealed) => Ok(()),
        (Want::Purge, _) => Err(Error::new(Reason::EpochMismatch, "the tenant is not sealed")),
        (_, State::Opening) => Err(Error::new(Reason::TenantOpening, "the tenant is being opened")
            .retry_after(std::time::Duration::from_secs(1))),
        (Want::Write, State::ReadOnly) => {
            Err(Error::new(Reason::TenantReadOnly, "the tenant's termination is scheduled: it is read-only"))
        }
        (_, State::Sealed) => Err(Error::new(Reason::TenantFenced, "the tenant is sealed for its erasure")),
    }
}

/// Spells the read of a fence row.
pub(crate) fn fence_sql(app_id: AppId, lock: &str) -> String {
    format!(
        "SELECT app_id, incarnation, state, epoch, scope_epoch FROM tenant_fence WHERE app_id = {}{lock}",
        app_id.get()
    )
}

/// Reads a fence row.
pub(crate) fn fenced(rows: &[QueryResult]) -> StoreResult<Option<Fenced>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let number: i16 = row.try_get("", "state")?;
    let state = State::from_number(number)
        .ok_or_else(|| StoreError::Refused(Error::internal(anyhow::anyhow!("fence state {number} is none of ours"))))?;
    Ok(Some(Fenced {
        app_id: AppId::from_row(row.try_get("", "app_id")?),
        incarnation: row.try_get("", "incarnation")?,
        state,
        epoch: row.try_get("", "epoch")?,
        scope_epoch: row.try_get("", "scope_epoch")?,
    }))
}

/// Whoever stands for one tenant: scopes and the guards made from them.
pub trait HasTenant {
    /// Returns the tenant.
    fn app_id(&self) -> AppId;
}

impl HasTenant for TenantScope {
    fn app_id(&self) -> AppId {
        TenantScope::app_id(self)
    }
}

/// A guard that stands in a transaction which writes data of one tenant.
pub trait Writes: HasTenant + sea_orm::ConnectionTrait + Sync {
    /// Returns the database's kind, for statements that must be spelled apart.
    fn dialect(&self) -> Dialect;
}

/// Passes sea-orm's statements to the guard's connection.
macro_rules! connection {
    ($guard:ty $(, $check:ident)?) => {
        #[async_trait::async_trait]
        impl sea_orm::ConnectionTrait for $guard {
            fn get_database_backend(&self) -> sea_orm::DbBackend {
                self.session.dialect().backend()
            }

            async fn execute_raw(&self, stmt: sea_orm::Statement) -> Result<sea_orm::ExecResult, sea_orm::DbErr> {
                $( self.$check(&stmt.sql, true)?; )?
                self.session.execute(stmt).await
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<sea_orm::ExecResult, sea_orm::DbErr> {
                self.execute_raw(sea_orm::Statement::from_string(self.get_database_backend(), sql)).await
            }

            async fn query_one_raw(&self, stmt: sea_orm::Statement) -> Result<Option<sea_orm::QueryResult>, sea_orm::DbErr> {
                $( self.$check(&stmt.sql, false)?; )?
                self.session.query_one(stmt).await
            }

            async fn query_all_raw(&self, stmt: sea_orm::Statement) -> Result<Vec<sea_orm::QueryResult>, sea_orm::DbErr> {
                $( self.$check(&stmt.sql, false)?; )?
                self.session.query_all(stmt).await
            }

            fn support_returning(&self) -> bool {
                false
            }
        }
    };
}
pub(crate) use connection;
