//! Takes a tenant's rows out, table by table, while it is not sealed.

use cwpp_access::scope::tenant_unknown;
use cwpp_access::{Outgoing, TenantScope};
use cwpp_chassis::Result;
use cwpp_contracts::erasure::v1::ExportTenantResponse;
use futures::StreamExt;
use uuid::Uuid;

use super::range;
use super::value::{self, Key};
use crate::Db;
use crate::error::StoreResult;
use crate::registry::Erasable;

/// Rows of one message.
const CHUNK: usize = 200;

struct Walk {
    db: Db,
    scope: TenantScope,
    incarnation: Uuid,
    tables: Vec<Erasable>,
    after: Option<Vec<Key>>,
}

/// Streams the rows. The fence is asked again for each chunk, so that the stream ends with the seal.
pub(super) async fn run(db: Db, scope: TenantScope, incarnation: Uuid) -> Result<Outgoing<ExportTenantResponse>> {
    let mut tables: Vec<Erasable> = db.registry().erasable_tables().cloned().collect();
    tables.reverse();
    let walk = Walk { db, scope, incarnation, tables, after: None };
    // The first look refuses a tenant that may not be read before the stream begins.
    walk.db
        .read(&walk.scope, |tx| async move { Ok(tx.incarnation()) })
        .await
        .and_then(|i| if i == incarnation { Ok(()) } else { Err(tenant_unknown()) })?;
    Ok(futures::stream::try_unfold(walk, |mut walk| async move {
        while let Some(table) = walk.tables.last().cloned() {
            let (rows, last) = chunk(&walk, &table).await?;
            if rows.len() < CHUNK || last.as_ref().is_none_or(Vec::is_empty) {
                walk.tables.pop();
                walk.after = None;
            } else {
                walk.after = last;
            }
            if !rows.is_empty() {
                return Ok(Some((
                    ExportTenantResponse { table: table.table, data_class: table.data_class.into(), rows },
                    walk,
                )));
            }
        }
        Ok(None)
    })
    .boxed())
}

async fn chunk(walk: &Walk, table: &Erasable) -> Result<(Vec<String>, Option<Vec<Key>>)> {
    let dialect = walk.db.dialect();
    let (incarnation, after) = (walk.incarnation, walk.after.as_deref());
    walk.db
        .read(&walk.scope, |tx| async move {
            if tx.incarnation() != incarnation {
                return Err(tenant_unknown().into());
            }
            let rows = range::rows(&tx, dialect, table, tx.app_id().get(), after, CHUNK).await?;
            let last = rows.last().map(|row| range::key_of(table, row)).transpose()?;
            let rows = rows
                .iter()
                .map(|row| {
                    let object = table
                        .columns
                        .iter()
                        .map(|(name, kind)| Ok((name.clone(), value::json(row, name, *kind)?)))
                        .collect::<StoreResult<serde_json::Map<_, _>>>()?;
                    Ok(serde_json::Value::Object(object).to_string())
                })
                .collect::<StoreResult<Vec<_>>>()?;
            Ok((rows, last))
        })
        .await
}
