//! The kind *abnormal login*: one incident per machine, account, source and time of a login that fails the whitelist.

use std::collections::HashSet;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::ProcessingStatus;
use cwpp_contracts::incidents::v1::{AbnormalLogin, IncidentKind};
use cwpp_storage::{StoreResult, TenantTx};
use uuid::Uuid;

use super::entity::{Model, number};
use super::store;
use crate::detection::{Risks, severity};
use crate::time;

/// A login that was found to be abnormal.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) time: DateTime<Utc>,
    pub(crate) account: String,
    pub(crate) source: IpAddr,
    pub(crate) service: String,
    pub(crate) risks: Risks,
}

/// Returns what this kind says of an incident.
pub(super) fn details(row: &Model) -> AbnormalLogin {
    AbnormalLogin {
        account: row.account.clone(),
        source_address: row.source_address.clone(),
        service: row.service.clone(),
        login_time: Some(time::message(row.first_time)),
        risky_place: row.risky_place,
        risky_account: row.risky_account,
        risky_time: row.risky_time,
        risky_source: row.risky_source,
    }
}

fn row(tx: &TenantTx, machine_id: Uuid, finding: Finding, now: DateTime<Utc>) -> Model {
    let source = finding.source.to_string();
    Model {
        app_id: tx.app_id().get(),
        incident_id: Uuid::now_v7(),
        machine_id,
        kind: number(IncidentKind::AbnormalLogin),
        severity: number(severity::of_login(finding.risks)),
        status: number(ProcessingStatus::Open),
        subject_key: super::subject_key(IncidentKind::AbnormalLogin, &[source.as_bytes(), finding.account.as_bytes()]),
        series: finding.time.timestamp_micros(),
        account: finding.account,
        source_address: source,
        service: finding.service,
        first_time: finding.time,
        last_time: finding.time,
        threshold_time: None,
        attempts: 0,
        accounts: 0,
        cracked: false,
        account_exists: false,
        risky_place: finding.risks.place,
        risky_account: finding.risks.account,
        risky_time: finding.risks.time,
        risky_source: finding.risks.source,
        note: String::new(),
        create_time: now,
        update_time: now,
        version: 1,
    }
}

/// Opens incidents for the logins that have none yet, and returns their ids.
pub(crate) async fn record(
    tx: &TenantTx,
    machine_id: Uuid,
    findings: Vec<Finding>,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Uuid>> {
    let Some(earliest) = findings.iter().map(|finding| finding.time).min() else { return Ok(Vec::new()) };
    let rows: Vec<Model> = findings.into_iter().map(|finding| row(tx, machine_id, finding, now)).collect();
    let subjects: Vec<Uuid> = rows.iter().map(|row| row.subject_key).collect();
    let known = store::by_subjects(tx, machine_id, subjects, earliest).await?;
    let mut known: HashSet<(Uuid, i64)> = known.into_iter().map(|row| (row.subject_key, row.series)).collect();
    let rows: Vec<Model> = rows.into_iter().filter(|row| known.insert((row.subject_key, row.series))).collect();
    let ids = rows.iter().map(|row| row.incident_id).collect();
    store::insert(tx, rows).await?;
    Ok(ids)
}
