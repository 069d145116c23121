//! The queries on tenants, each read together with its fence in one statement.

use chrono::{DateTime, Utc};
use cwpp_access::AppId;
use cwpp_storage::{OpeningTx, OrRefuse, State, StoreResult, SystemRead, Tenanted};
use sea_orm::{ConnectionTrait, FromQueryResult, IntoActiveModel, Statement, Value};
use uuid::Uuid;

use super::entity;

/// A tenant with what its fence says.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Seen {
    /// The account's number.
    pub(crate) app_id: i64,
    /// The account's UIN.
    pub(crate) uin: i64,
    /// The request that registered it.
    pub(crate) request_id: Uuid,
    /// The region.
    pub(crate) region: String,
    /// Version of the agreement.
    pub(crate) agreement_version: String,
    /// When it was accepted.
    pub(crate) agreement_accepted_time: DateTime<Utc>,
    /// When the tenant was registered.
    pub(crate) create_time: DateTime<Utc>,
    /// This life of the tenant.
    pub(crate) incarnation: Uuid,
    /// The number of the fence's state.
    state: i16,
}

impl Seen {
    /// Puts a row and the fence of its opening together.
    pub(crate) fn opening(row: entity::Model, incarnation: Uuid) -> Self {
        Self {
            app_id: row.app_id,
            uin: row.uin,
            request_id: row.request_id,
            region: row.region,
            agreement_version: row.agreement_version,
            agreement_accepted_time: row.agreement_accepted_time,
            create_time: row.create_time,
            incarnation,
            state: State::Opening.number(),
        }
    }

    /// Returns the state; a number that is none counts as sealed, which shows least.
    pub(crate) fn state(&self) -> State {
        State::from_number(self.state).unwrap_or(State::Sealed)
    }
}

const SELECT: &str = "SELECT t.app_id, t.uin, t.request_id, t.region, t.agreement_version, t.agreement_accepted_time, \
     t.create_time, f.incarnation, f.state FROM tenant t JOIN tenant_fence f ON f.app_id = t.app_id";

/// Inserts a tenant; a UIN that another one has becomes `taken`.
pub(crate) async fn create(
    tx: &OpeningTx,
    row: entity::Model,
    taken: impl FnOnce() -> cwpp_chassis::Error,
) -> StoreResult<()> {
    // The fence row is new, so the tenant's own key is free: what is taken is the UIN.
    entity::Entity::insert_of(tx, row.into_active_model()).await.or_exists(taken)
}

/// Reads a tenant in whatever state it is.
pub(crate) async fn get(tx: &SystemRead, app_id: AppId) -> StoreResult<Option<Seen>> {
    Ok(select(tx, "WHERE t.app_id = ?", [app_id.get().into()]).one(tx).await?)
}

/// Reads tenants by `app_id` after one.
pub(crate) async fn list(tx: &SystemRead, after: i64, limit: u64) -> StoreResult<Vec<Seen>> {
    let values = [after.into(), limit.into()];
    Ok(select(tx, "WHERE t.app_id > ? ORDER BY t.app_id LIMIT ?", values).all(tx).await?)
}

fn select<const N: usize>(
    tx: &SystemRead,
    rest: &str,
    values: [Value; N],
) -> sea_orm::SelectorRaw<sea_orm::SelectModel<Seen>> {
    Seen::find_by_statement(Statement::from_sql_and_values(
        tx.get_database_backend(),
        format!("{SELECT} {rest}"),
        values,
    ))
}
