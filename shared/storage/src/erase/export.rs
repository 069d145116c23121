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

/// Most rows of one message.
const CHUNK: usize = 200;
/// A message is not filled beyond this many bytes.
const BYTES: usize = 1 << 20;

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
            let (rows, next) = chunk(&walk, &table).await?;
            if next.is_none() {
                walk.tables.pop();
            }
            walk.after = next;
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

/// Reads the rows of one message, and the key after which the next one begins: none at the table's end.
async fn chunk(walk: &Walk, table: &Erasable) -> Result<(Vec<String>, Option<Vec<Key>>)> {
    let dialect = walk.db.dialect();
    let (incarnation, after) = (walk.incarnation, walk.after.as_deref());
    walk.db
        .read(&walk.scope, |tx| async move {
            if tx.incarnation() != incarnation {
                return Err(tenant_unknown().into());
            }
            let found = range::rows(&tx, dialect, table, tx.app_id().get(), after, CHUNK).await?;
            let (mut rows, mut bytes, mut next) = (Vec::with_capacity(found.len()), 0, None);
            for (i, row) in found.iter().enumerate() {
                let object = table
                    .columns
                    .iter()
                    .map(|(name, kind)| Ok((name.clone(), value::json(row, name, *kind)?)))
                    .collect::<StoreResult<serde_json::Map<_, _>>>()?;
                let text = serde_json::Value::Object(object).to_string();
                bytes += text.len();
                rows.push(text);
                let last = i + 1 == found.len();
                if (bytes >= BYTES && !last) || (last && found.len() == CHUNK) {
                    next = Some(range::key_of(table, row)?).filter(|key| !key.is_empty());
                    break;
                }
            }
            Ok((rows, next))
        })
        .await
}
