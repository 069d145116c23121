//! The names of the machines' operating systems: counted over an index that holds nothing else.

use cwpp_chassis::Violations;
use cwpp_contracts::inventory::v1::ListOsNamesRequest;
use cwpp_storage::{HasTenant, StoreResult, TenantRead, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, QueryTrait};

use super::entity::{Column, Entity};
use crate::asset::class::drive;

/// A name, and how many machines have it.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Count {
    /// The name; empty for machines that do not tell it.
    pub os_name: String,
    /// How many machines.
    pub machines: i64,
}

/// Chooses names; says what is wrong with the choice.
pub fn chosen(request: &ListOsNamesRequest, violations: &mut Violations) -> Condition {
    request.os_name.as_ref().map_or_else(Condition::all, |by| drive("os_name", by, "os_name", violations))
}

/// Spells the list, by name.
pub fn list(whose: &impl HasTenant, chosen: &Condition, after: Option<&str>, limit: u64) -> SelectStatement {
    let mut select = Entity::of(whose).select_only().column(Column::OsName);
    select = select.column_as(Column::MachineId.count(), "machines").filter(chosen.clone());
    if let Some(after) = after {
        select = select.filter(Column::OsName.gt(after));
    }
    let select = select.group_by(Column::OsName).order_by_asc(Column::OsName).limit(limit);
    select.into_query().force_index("machine_os_name", IndexHintScope::All).take()
}

/// Reads names.
pub async fn counts(read: &TenantRead, chosen: &Condition, after: Option<&str>, limit: u64) -> StoreResult<Vec<Count>> {
    let rows = read.query_all(&list(read, chosen, after, limit)).await?;
    Ok(rows.iter().map(|row| Count::from_query_result(row, "")).collect::<Result<_, _>>()?)
}
