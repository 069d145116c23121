//! Moves the fence.

use cwpp_access::AppId;
use cwpp_access::scope::tenant_unknown;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::common::v1::TenantState;
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::run;
use crate::Db;
use crate::error::{OrRepeat, StoreResult};
use crate::fence::State;
use crate::guard::{FenceTx, Fenced};

/// Reads which state a call wants.
pub(super) fn wanted(state: TenantState) -> Result<State> {
    match state {
        TenantState::ReadOnly => Ok(State::ReadOnly),
        TenantState::Sealed => Ok(State::Sealed),
        TenantState::Unspecified | TenantState::Opening | TenantState::Active => {
            Err(Error::new(Reason::InvalidField, "the request is invalid")
                .violation("state", "must be READ_ONLY or SEALED"))
        }
    }
}

/// Makes the tenant usable.
pub(super) async fn open(db: &Db, app_id: AppId, incarnation: Uuid) -> Result<Fenced> {
    let dialect = db.dialect();
    db.fence(app_id, |tx| async move {
        let closing = || Error::new(Reason::TenantClosing, "the tenant's former life is closed or still being erased");
        match tx.fence {
            Some(fence) if fence.incarnation != incarnation || fence.state == State::Sealed => Err(closing().into()),
            Some(fence) if fence.state == State::Opening => set(&tx, Fenced { state: State::Active, ..fence }).await,
            Some(fence) => Ok(fence),
            None => {
                if is_closed(&tx, dialect, incarnation).await? {
                    return Err(closing().into());
                }
                let fence = Fenced { app_id, incarnation, state: State::Active, epoch: 0, scope_epoch: 0 };
                crate::transact::insert_fence(&tx.session, &fence).await.or_repeat()?;
                Ok(fence)
            }
        }
    })
    .await
}

/// Makes the tenant read-only, or seals it: then no transaction that began before is left, and none comes after.
pub(super) async fn fence(db: &Db, app_id: AppId, incarnation: Uuid, state: State, token: i64) -> Result<Fenced> {
    let dialect = db.dialect();
    db.fence(app_id, |tx| async move {
        let fence = ours(&tx, incarnation)?;
        let progress = run::take(&tx, dialect, incarnation, token).await?;
        run::store(&tx, dialect, incarnation, &progress).await?;
        match (fence.state, state) {
            (State::Sealed, State::Sealed) | (State::ReadOnly, State::ReadOnly) => Ok(fence),
            (State::Sealed, _) => Err(Error::new(Reason::InvalidTransition, "a sealed tenant stays sealed").into()),
            (_, State::Sealed) => set(&tx, Fenced { state, epoch: fence.epoch + 1, ..fence }).await,
            (_, state) => set(&tx, Fenced { state, ..fence }).await,
        }
    })
    .await
}

/// Takes a termination back while the tenant is read-only.
pub(super) async fn unfence(db: &Db, app_id: AppId, incarnation: Uuid, token: i64) -> Result<Fenced> {
    let dialect = db.dialect();
    db.fence(app_id, |tx| async move {
        let fence = ours(&tx, incarnation)?;
        let progress = run::take(&tx, dialect, incarnation, token).await?;
        run::store(&tx, dialect, incarnation, &progress).await?;
        match fence.state {
            State::ReadOnly => set(&tx, Fenced { state: State::Active, ..fence }).await,
            State::Active => Ok(fence),
            State::Sealed | State::Opening => {
                Err(Error::new(Reason::InvalidTransition, "only a read-only tenant goes back to active").into())
            }
        }
    })
    .await
}

/// Says whether an incarnation was closed here.
pub(super) async fn is_closed(
    tx: &impl ConnectionTrait,
    dialect: crate::Dialect,
    incarnation: Uuid,
) -> StoreResult<bool> {
    let sql = "SELECT incarnation FROM closed_incarnation WHERE incarnation = ?";
    let row = tx.query_one_raw(Statement::from_sql_and_values(dialect.backend(), sql, [incarnation.into()])).await?;
    Ok(row.is_some())
}

/// Holds the locked row against the incarnation of the call.
pub(super) fn ours(tx: &FenceTx, incarnation: Uuid) -> StoreResult<Fenced> {
    tx.fence.filter(|f| f.incarnation == incarnation).ok_or_else(|| tenant_unknown().into())
}

async fn set(tx: &FenceTx, fence: Fenced) -> StoreResult<Fenced> {
    let sql = "UPDATE tenant_fence SET state = ?, epoch = ? WHERE app_id = ?";
    let values: [Value; 3] = [fence.state.number().into(), fence.epoch.into(), fence.app_id.get().into()];
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    Ok(fence)
}
