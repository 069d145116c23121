//! Counts what is left of a tenant. The tables come from the database's own catalogue, not from the registry.

use cwpp_access::AppId;
use cwpp_access::scope::tenant_unknown;
use cwpp_chassis::Result;
use cwpp_contracts::erasure::v1 as wire;
use uuid::Uuid;

use super::to_wire;
use crate::Db;
use crate::error::translate;
use crate::guard::{fence_sql, fenced};

/// The fence row goes when the tenant is closed, and is no row of its data.
pub(super) const FENCE: &str = "tenant_fence";

/// Lists the tables that have a tenant's column.
pub(super) async fn tables(db: &Db) -> Result<Vec<String>> {
    let rows = db.catalogue(db.dialect().tables_with_column(), &["app_id".into()]).await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("", "name").map_err(translate)?;
        if name != FENCE {
            tables.push(name);
        }
    }
    Ok(tables)
}

/// Counts a tenant's rows in every table.
pub(super) async fn rows(db: &Db, app_id: AppId, incarnation: Uuid) -> Result<wire::CountRowsResponse> {
    let dialect = db.dialect();
    let fence = fenced(&db.catalogue(&fence_sql(app_id, ""), &[]).await?)?;
    if fence.is_some_and(|f| f.incarnation != incarnation) {
        return Err(tenant_unknown());
    }
    let mut counts = Vec::new();
    for table in tables(db).await? {
        let sql = format!("SELECT COUNT(*) AS n FROM {} WHERE app_id = ?", dialect.quote(&table));
        let rows = db.catalogue(&sql, &[app_id.get().into()]).await?;
        let n: i64 = rows.first().map(|r| r.try_get("", "n")).transpose().map_err(translate)?.unwrap_or(0);
        counts.push(wire::TableCount {
            data_class: db.registry().data_class(&table).into(),
            table,
            rows: n.unsigned_abs(),
        });
    }
    let id = db.catalogue(dialect.server_id(), &[]).await?;
    let id: String = id.first().map(|r| r.try_get_by_index(0)).transpose().map_err(translate)?.unwrap_or_default();
    let now = db.catalogue(&format!("SELECT {} AS now", dialect.now_micros()), &[]).await?;
    let now: i64 = now.first().map(|r| r.try_get("", "now")).transpose().map_err(translate)?.unwrap_or_default();
    Ok(wire::CountRowsResponse {
        fence: fence.as_ref().map(to_wire),
        tables: counts,
        registry_hash: db.registry().hash(),
        server_id: id,
        database_time: Some(prost_types::Timestamp {
            seconds: now.div_euclid(1_000_000),
            nanos: i32::try_from(now.rem_euclid(1_000_000) * 1000).unwrap_or(0),
        }),
    })
}
