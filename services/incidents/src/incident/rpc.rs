//! Validates and translates the calls about incidents.

use std::collections::HashSet;

use cwpp_access::TenantScope;
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::common::v1::{BulkResult, ProcessingStatus, Severity};
use cwpp_contracts::incidents::v1::list_incidents_request::Filter;
use cwpp_contracts::incidents::v1::{
    GetIncidentRequest, GetIncidentResponse, Incident, IncidentKind, ListIncidentsRequest, ListIncidentsResponse,
    UpdateIncidentsRequest, UpdateIncidentsResponse,
};
use cwpp_storage::page::{self, Binding, Page};
use uuid::Uuid;

use super::entity::Model;
use super::ops::{self, Query, Update};
use super::store::{Cursor, Driver};
use super::{details, status};
use crate::event::rpc::source_address;
use crate::rpc::Rpc;
use crate::time;

/// The path of the list, which its tokens are bound to.
const LIST: &str = "/cwpp.incidents.v1.IncidentService/ListIncidents";
/// The path of the change, which its request ids are bound to.
const UPDATE: &str = "/cwpp.incidents.v1.IncidentService/UpdateIncidents";
/// Most incidents of one change.
const UPDATES: usize = 100;
/// Most characters of a note.
const NOTE: usize = 255;

fn incident(row: &Model) -> Result<Incident> {
    Ok(Incident {
        incident_id: row.incident_id.to_string(),
        machine_id: row.machine_id.to_string(),
        severity: row.threat_level()?.into(),
        status: row.processing_status()?.into(),
        first_time: Some(time::message(row.first_time)),
        last_time: Some(time::message(row.last_time)),
        create_time: Some(time::message(row.create_time)),
        update_time: Some(time::message(row.update_time)),
        etag: row.etag(),
        details: Some(details(row)?),
    })
}

pub(crate) async fn list(
    rpc: &Rpc,
    scope: TenantScope,
    request: ListIncidentsRequest,
) -> Result<ListIncidentsResponse> {
    let mut violations = Violations::new();
    let kind = match IncidentKind::try_from(request.kind) {
        Ok(IncidentKind::Unspecified) => None,
        Ok(kind) => Some(kind),
        Err(_) => {
            violations.push("kind", "must be a kind of incidents");
            None
        }
    };
    let severity = match Severity::try_from(request.minimum_severity) {
        Ok(Severity::Unspecified) => None,
        Ok(severity) => Some(severity),
        Err(_) => {
            violations.push("minimum_severity", "must be a severity");
            None
        }
    };
    let driver = driver(&mut violations, request.filter.as_ref(), kind);
    let size = request.page.as_ref().map_or(0, |page| page.page_size);
    violations.check(size >= 0, "page.page_size", "must not be negative");
    violations.finish()?;

    let now = rpc.clock.now();
    let page = request.page.clone();
    let binding = Binding::new(scope.app_id(), LIST, &ListIncidentsRequest { page: None, ..request });
    let page = Page::<Cursor>::read(rpc.db.keys(), page.as_ref(), &binding, now)?;
    let kind = kind.filter(|_| !matches!(driver, Driver::Kind(_)));
    let query = Query { driver, kind, severity, cursor: page.after, size: page.size };
    let (rows, cursor) = ops::list(&rpc.db, &scope, &query).await?;
    let next_page_token = page::next(rpc.db.keys(), cursor.as_ref(), &binding, now)?;
    Ok(ListIncidentsResponse { incidents: rows.iter().map(incident).collect::<Result<_>>()?, next_page_token })
}

fn driver(violations: &mut Violations, filter: Option<&Filter>, kind: Option<IncidentKind>) -> Driver {
    match filter {
        None => kind.map_or(Driver::All, Driver::Kind),
        Some(Filter::MachineId(id)) => Driver::Machine(violations.uuid("machine_id", id).unwrap_or_default()),
        Some(Filter::SourceAddress(text)) => {
            let address = source_address(text);
            violations.check(address.is_some(), "source_address", "must be an IPv4 or IPv6 address");
            Driver::Source(address.map(|address| address.to_string()).unwrap_or_default())
        }
        Some(Filter::Status(number)) => {
            let status = of_incidents(*number);
            violations.check(status.is_some(), "status", STATUSES);
            Driver::Status(status.unwrap_or_default())
        }
    }
}

const STATUSES: &str = "must be OPEN, IN_PROGRESS, RESOLVED, IGNORED or WHITELISTED";

fn of_incidents(number: i32) -> Option<ProcessingStatus> {
    ProcessingStatus::try_from(number).ok().filter(|status| status::is_of_incidents(*status))
}

pub(crate) async fn get(rpc: &Rpc, scope: TenantScope, request: GetIncidentRequest) -> Result<GetIncidentResponse> {
    let mut violations = Violations::new();
    let id = violations.uuid("incident_id", &request.incident_id);
    violations.finish()?;
    let row = ops::get(&rpc.db, &scope, id.unwrap_or_default()).await?;
    Ok(GetIncidentResponse { incident: Some(incident(&row)?) })
}

pub(crate) async fn update(
    rpc: &Rpc,
    scope: TenantScope,
    request: UpdateIncidentsRequest,
) -> Result<UpdateIncidentsResponse> {
    let update = validate(&request)?;
    let results = ops::update(&rpc.db, &rpc.clock, &scope, UPDATE, &request, &update).await?;
    Ok(UpdateIncidentsResponse { results: results_of(&request, results)? })
}

fn validate(request: &UpdateIncidentsRequest) -> Result<Update> {
    let mut violations = Violations::new();
    let request_id = violations.uuid("request_id", &request.request_id);
    let number = request.incident_ids.len();
    let fits = violations.check(
        (1..=UPDATES).contains(&number),
        "incident_ids",
        format!("must have 1 to {UPDATES} items, has {number}"),
    );
    let mut seen = HashSet::new();
    let mut incident_ids = Vec::new();
    if fits {
        for (index, id) in request.incident_ids.iter().enumerate() {
            let field = format!("incident_ids[{index}]");
            let Some(id) = violations.uuid(field.as_str(), id) else { continue };
            violations.check(seen.insert(id), field, "must not be named twice");
            incident_ids.push(id);
        }
    }
    let status = of_incidents(request.status);
    violations.check(status.is_some(), "status", STATUSES);
    violations.characters("note", &request.note, 0, NOTE);
    violations.finish()?;
    Ok(Update {
        request_id: request_id.unwrap_or_else(Uuid::nil),
        incident_ids,
        status: status.unwrap_or_default(),
        note: request.note.clone(),
    })
}

/// Translates what became of each incident; a fault of the service is none of an incident's.
fn results_of(request: &UpdateIncidentsRequest, results: Vec<Result<()>>) -> Result<Vec<BulkResult>> {
    let mut answers = Vec::with_capacity(results.len());
    for (id, result) in request.incident_ids.iter().zip(results) {
        answers.push(match result {
            Ok(()) => BulkResult { id: id.clone(), ok: true, ..Default::default() },
            Err(error) if is_of_one(&error) => BulkResult {
                id: id.clone(),
                ok: false,
                reason: error.reason().as_str().to_owned(),
                message: error.message().to_owned(),
            },
            Err(error) => return Err(error),
        });
    }
    Ok(answers)
}

fn is_of_one(error: &Error) -> bool {
    matches!(error.reason(), Reason::IncidentUnknown | Reason::InvalidTransition)
}
