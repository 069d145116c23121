//! Writes that may be repeated: the same request id does the work once for 24 hours.

use chrono::TimeDelta;
use cwpp_access::{Job, SystemScope, TenantScope};
use cwpp_chassis::{Error, Reason, Result};
use prost::Message;
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use crate::Db;
use crate::error::{OrRepeat, StoreResult};
use crate::guard::TenantTx;

/// How long a request id is remembered.
const LIFE: TimeDelta = TimeDelta::hours(24);
/// How often those that are older are forgotten.
const ROUND: std::time::Duration = std::time::Duration::from_secs(3600);
/// What the keys are derived for.
const PURPOSE: &str = "cwpp 2026-11 request hashes";
/// Old request ids that one transaction forgets.
const SWEEP: usize = 500;
/// Most ids that one request may have created: they share a column.
const MOST_IDS: usize = 100_000;

/// What a repeatable write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It was done now.
    Done(T),
    /// It had been done before and created these: read them again for the answer.
    Replayed(Vec<Uuid>),
}

impl Db {
    /// Runs a transaction as [`Db::write`] does, once per request id: the closure returns its value and the ids that it
    /// created. The same id with another content, or for another method, is `REQUEST_ID_REUSED`. Without an id the
    /// transaction simply runs. Clear the request's `request_id` before hashing only if a retry may change it.
    pub async fn write_once<T, F, Fut>(
        &self,
        scope: &TenantScope,
        method: &str,
        request_id: Option<Uuid>,
        request: &impl Message,
        work: F,
    ) -> Result<Once<T>>
    where
        F: Fn(TenantTx) -> Fut + Send + Sync,
        Fut: Future<Output = StoreResult<(T, Vec<Uuid>)>> + Send,
        T: Send,
    {
        let Some(request_id) = request_id else {
            return self.write(scope, work).await.map(|(value, _)| Once::Done(value));
        };
        let content = request.encode_to_vec();
        let hashes: Vec<Vec<u8>> =
            self.keys().all(PURPOSE).map(|key| blake3::keyed_hash(&key, &content).as_bytes().to_vec()).collect();
        let (hashes, work) = (&hashes, &work);
        self.write(scope, |tx| async move {
            let session = tx.session.clone();
            let app_id = tx.app_id().get();
            let backend = tx.get_database_backend();
            let known = Statement::from_sql_and_values(
                backend,
                "SELECT method, request_hash, created_ids, created_at FROM idempotency WHERE app_id = ? AND request_id = ?",
                [app_id.into(), request_id.into()],
            );
            let now = tx.database_time().await?;
            if let Some(row) = tx.query_one_raw(known).await? {
                let made: chrono::DateTime<chrono::Utc> = row.try_get("", "created_at")?;
                if now - made <= LIFE {
                    let same = row.try_get::<String>("", "method")? == method
                        && hashes.contains(&row.try_get::<Vec<u8>>("", "request_hash")?);
                    if !same {
                        return Err(Error::new(Reason::RequestIdReused, "the request id was used before with another content").into());
                    }
                    metrics::counter!("idempotency_replays_total").increment(1);
                    return Ok(Once::Replayed(unpack(&row.try_get::<Vec<u8>>("", "created_ids")?)));
                }
                let stale = "DELETE FROM idempotency WHERE app_id = ? AND request_id = ?";
                session.execute(Statement::from_sql_and_values(backend, stale, [app_id.into(), request_id.into()])).await?;
            }
            let (value, ids) = work(tx).await?;
            if ids.len() > MOST_IDS {
                return Err(Error::internal(anyhow::anyhow!("a request created {} objects, more than are remembered", ids.len())).into());
            }
            let row: [Value; 6] = [
                app_id.into(),
                request_id.into(),
                method.into(),
                hashes.first().cloned().unwrap_or_default().into(),
                pack(&ids).into(),
                now.into(),
            ];
            let sql = "INSERT INTO idempotency (app_id, request_id, method, request_hash, created_ids, created_at) VALUES (?, ?, ?, ?, ?, ?)";
            // Of two calls with the same id at once one commits; the other repeats and finds it.
            session.execute(Statement::from_sql_and_values(backend, sql, row)).await.or_repeat()?;
            Ok(Once::Done(value))
        })
        .await
    }

    /// Forgets old request ids for as long as the process lives. A replica that does it at the same time does no harm.
    pub async fn forget_requests(self) {
        let scope = SystemScope::job(Job::Sweep);
        loop {
            tokio::time::sleep(ROUND).await;
            if let Err(error) = self.sweep_requests(&scope).await {
                tracing::warn!(error = ?error, "old request ids could not be forgotten; the next round will");
            }
        }
    }

    /// Forgets request ids that are older than a day, tenant by tenant; returns how many.
    pub async fn sweep_requests(&self, scope: &SystemScope) -> Result<u64> {
        let mut swept = 0;
        for tenant in self.tenants(scope).await? {
            loop {
                match self.write(&scope.tenant(tenant.app_id), |tx| async move { forget(&tx).await }).await {
                    Ok(0) => break,
                    Ok(n) => swept += n,
                    // Fenced meanwhile: the purge takes the rows.
                    Err(e)
                        if matches!(
                            e.reason(),
                            Reason::TenantFenced
                                | Reason::TenantReadOnly
                                | Reason::TenantUnknown
                                | Reason::TenantOpening
                        ) =>
                    {
                        break;
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(swept)
    }
}

/// Deletes a batch of a tenant's old request ids.
async fn forget(tx: &TenantTx) -> StoreResult<u64> {
    let backend = tx.get_database_backend();
    let app_id: Value = tx.app_id().get().into();
    let before = tx.database_time().await? - LIFE;
    let sql = format!("SELECT request_id FROM idempotency WHERE app_id = ? AND created_at < ? LIMIT {SWEEP}");
    let old = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, [app_id.clone(), before.into()])).await?;
    if old.is_empty() {
        return Ok(0);
    }
    let mut ids: Vec<Uuid> = old.iter().map(|r| r.try_get("", "request_id")).collect::<Result<_, _>>()?;
    ids.sort();
    let marks = vec!["?"; ids.len()].join(", ");
    let sql = format!("DELETE FROM idempotency WHERE app_id = ? AND request_id IN ({marks})");
    let values: Vec<Value> = std::iter::once(app_id).chain(ids.into_iter().map(Into::into)).collect();
    Ok(tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected())
}

fn pack(ids: &[Uuid]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

fn unpack(bytes: &[u8]) -> Vec<Uuid> {
    bytes.chunks_exact(16).filter_map(|c| Uuid::from_slice(c).ok()).collect()
}
