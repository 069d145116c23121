//! Reads incidents and changes their status.

use std::collections::HashMap;

use cwpp_access::TenantScope;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_contracts::common::v1::{ProcessingStatus, Severity};
use cwpp_contracts::incidents::v1::{IncidentKind, UpdateIncidentsRequest};
use cwpp_storage::{Db, Once, OrUnknown, StoreResult, TenantRead, TenantTx};
use uuid::Uuid;

use super::entity::{Model, number};
use super::status;
use super::store::{self, Cursor, Driver};

/// Most rows of the driving filter that one page looks at.
const LOOKED_AT: usize = 10_000;
/// Rows that one statement reads where others than the driving filter apply.
const STRIDE: u64 = 1_000;

/// A list as asked for.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) driver: Driver,
    /// Looked for among the rows of the driver.
    pub(super) kind: Option<IncidentKind>,
    /// The least threat level, looked for likewise.
    pub(super) severity: Option<Severity>,
    pub(super) cursor: Option<Cursor>,
    pub(super) size: u64,
}

impl Query {
    fn admits(&self, row: &Model) -> bool {
        self.kind.is_none_or(|kind| row.kind == number(kind))
            && self.severity.is_none_or(|severity| row.severity >= number(severity))
    }

    fn is_driven_only(&self) -> bool {
        self.kind.is_none() && self.severity.is_none()
    }
}

/// A page of incidents, and where the next one begins.
pub(super) type Found = (Vec<Model>, Option<Cursor>);

/// Lists incidents, the one last seen first.
pub(super) async fn list(db: &Db, scope: &TenantScope, query: &Query) -> Result<Found> {
    db.read(scope, |tx| async move { look(&tx, query).await }).await
}

async fn look(tx: &TenantRead, query: &Query) -> StoreResult<Found> {
    let size = usize::try_from(query.size).unwrap_or(usize::MAX);
    let stride = if query.is_driven_only() { query.size + 1 } else { STRIDE };
    let (mut found, mut cursor, mut looked_at) = (Vec::new(), query.cursor, 0);
    loop {
        let rows = store::page(tx, &query.driver, cursor, stride).await?;
        let last = (rows.len() as u64) < stride;
        for row in rows {
            looked_at += 1;
            let here = Cursor::after(&row);
            if query.admits(&row) {
                if found.len() == size {
                    return Ok((found, cursor));
                }
                found.push(row);
            }
            cursor = Some(here);
        }
        if last {
            return Ok((found, None));
        }
        if looked_at >= LOOKED_AT {
            return Ok((found, cursor));
        }
    }
}

/// Reads an incident.
pub(super) async fn get(db: &Db, scope: &TenantScope, incident_id: Uuid) -> Result<Model> {
    db.read(scope, |tx| async move { store::get(&tx, incident_id).await.or_unknown(unknown) }).await
}

fn unknown() -> Error {
    Error::new(Reason::IncidentUnknown, "there is no such incident")
}

/// A change of status as asked for.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) request_id: Uuid,
    pub(super) incident_ids: Vec<Uuid>,
    pub(super) status: ProcessingStatus,
    pub(super) note: String,
}

/// What became of each incident, in the order of the request.
pub(super) type Results = Vec<Result<()>>;

/// Changes the status of incidents, each alone.
pub(super) async fn update(
    db: &Db,
    clock: &Clock,
    scope: &TenantScope,
    method: &str,
    request: &UpdateIncidentsRequest,
    update: &Update,
) -> Result<Results> {
    let now = clock.now();
    let once = db
        .write_once(scope, method, Some(update.request_id), request, |tx| async move {
            let before = locked(&tx, update).await?;
            let mut done = Vec::new();
            let mut results = Vec::new();
            for id in &update.incident_ids {
                let result = change(before.get(id), update.status)?;
                if result.is_ok() {
                    done.push(*id);
                    store::update(&tx, *id, update.status, &update.note, now).await?;
                }
                results.push(result);
            }
            Ok((results, done))
        })
        .await?;
    match once {
        Once::Done(results) => Ok(results),
        Once::Replayed(done) => replayed(db, scope, update, &done).await,
    }
}

async fn locked(tx: &TenantTx, update: &Update) -> StoreResult<HashMap<Uuid, Model>> {
    let rows = store::lock(tx, update.incident_ids.clone()).await?;
    Ok(rows.into_iter().map(|row| (row.incident_id, row)).collect())
}

fn change(before: Option<&Model>, to: ProcessingStatus) -> Result<Result<()>> {
    let Some(before) = before else { return Ok(Err(unknown())) };
    let from = before.processing_status()?;
    Ok(if status::admits(from, to) { Ok(()) } else { Err(not_admitted(to)) })
}

fn not_admitted(to: ProcessingStatus) -> Error {
    let message = "the incident's status does not admit this change; open it again first";
    Error::new(Reason::InvalidTransition, message).with("to", to.as_str_name())
}

/// Answers a repeated call: what was changed then is remembered; what was not was unknown, or did not admit it.
async fn replayed(db: &Db, scope: &TenantScope, update: &Update, done: &[Uuid]) -> Result<Results> {
    let mut results = Vec::new();
    for id in &update.incident_ids {
        results.push(match done.contains(id) {
            true => Ok(()),
            false => get(db, scope, *id).await.and_then(|_| Err(not_admitted(update.status))),
        });
    }
    Ok(results)
}
