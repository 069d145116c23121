//! The kind *password cracking*: one incident per machine, source, service, account (or none: spraying) and series.
//!
//! A series lasts 24 hours from its first failure. While it lasts, its incident is brought up to date, whatever its status.
//! What comes later is another series and opens another incident, also where the former one was resolved or ignored. A
//! password that turns out to be cracked opens a resolved or ignored incident again.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::ProcessingStatus;
use cwpp_contracts::incidents::v1::{IncidentKind, PasswordCracking};
use cwpp_storage::{StoreResult, TenantTx};
use uuid::Uuid;

use super::entity::{Model, number};
use super::{status, store};
use crate::detection::cracking::Series;
use crate::detection::{Known, Verdict};

/// Whose failures an incident counts.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) source: IpAddr,
    pub(crate) service: String,
    /// None where many accounts were tried.
    pub(crate) account: Option<String>,
}

impl Subject {
    /// Returns the hash of the natural key.
    pub(crate) fn key(&self) -> Uuid {
        let source = self.source.to_string();
        let parts = [source.as_bytes(), self.service.as_bytes()];
        match &self.account {
            Some(account) => {
                super::subject_key(IncidentKind::PasswordCracking, &[parts[0], parts[1], account.as_bytes()])
            }
            None => super::subject_key(IncidentKind::PasswordCracking, &parts),
        }
    }
}

/// Returns what this kind says of an incident.
pub(super) fn details(row: &Model) -> PasswordCracking {
    PasswordCracking {
        account: row.account.clone(),
        source_address: row.source_address.clone(),
        service: row.service.clone(),
        attempts: row.attempts.unsigned_abs(),
        accounts: u32::try_from(row.accounts).unwrap_or(u32::MAX),
        cracked: row.cracked,
        account_exists: row.account_exists,
    }
}

/// Reads the stored incidents of natural keys whose series begin at a moment or later.
pub(crate) async fn stored(
    tx: &TenantTx,
    machine_id: Uuid,
    subjects: Vec<Uuid>,
    from: DateTime<Utc>,
) -> StoreResult<Vec<Model>> {
    store::by_subjects(tx, machine_id, subjects, from).await
}

/// Returns the series of a stored incident.
pub(crate) fn known(row: &Model) -> Known {
    Known { series: Series { first: row.first_time, threshold: row.threshold_time.unwrap_or(row.first_time) } }
}

/// Changes that verdicts make to the incidents of a machine.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    opened: Vec<Model>,
    changed: Vec<Model>,
}

impl Changes {
    /// Adds what the verdicts on one subject change; `stored` are its incidents, as the verdicts name them.
    pub(crate) fn add(
        &mut self,
        tx: &TenantTx,
        machine_id: Uuid,
        subject: &Subject,
        stored: &[Model],
        verdicts: Vec<Verdict>,
        now: DateTime<Utc>,
    ) -> StoreResult<()> {
        let mut taken: Vec<i64> = stored.iter().map(|row| row.series).collect();
        for verdict in verdicts {
            if let Some(before) = verdict.known.and_then(|index| stored.get(index)) {
                let mut row = before.clone();
                apply(&mut row, &verdict)?;
                if row != *before {
                    row.update_time = now;
                    row.version += 1;
                    self.changed.push(row);
                }
            } else {
                // A series that began here once may have been found to begin earlier since: its number stays its own.
                let mut series = verdict.series.first.timestamp_micros();
                while taken.contains(&series) {
                    series += 1;
                }
                taken.push(series);
                let mut row = open(tx, machine_id, subject, series, now);
                apply(&mut row, &verdict)?;
                self.opened.push(row);
            }
        }
        Ok(())
    }

    /// Writes the changes and returns the ids of the incidents.
    pub(crate) async fn write(self, tx: &TenantTx) -> StoreResult<Vec<Uuid>> {
        let ids = self.opened.iter().chain(&self.changed).map(|row| row.incident_id).collect();
        store::insert(tx, self.opened).await?;
        let mut changed = self.changed;
        changed.sort_by_key(|row| row.incident_id);
        for row in changed {
            store::refresh(tx, row).await?;
        }
        Ok(ids)
    }
}

fn open(tx: &TenantTx, machine_id: Uuid, subject: &Subject, series: i64, now: DateTime<Utc>) -> Model {
    Model {
        app_id: tx.app_id().get(),
        incident_id: Uuid::now_v7(),
        machine_id,
        kind: number(IncidentKind::PasswordCracking),
        severity: 0,
        status: number(ProcessingStatus::Open),
        subject_key: subject.key(),
        series,
        account: subject.account.clone().unwrap_or_default(),
        source_address: subject.source.to_string(),
        service: subject.service.clone(),
        first_time: now,
        last_time: now,
        threshold_time: None,
        attempts: 0,
        accounts: 0,
        cracked: false,
        account_exists: false,
        risky_place: false,
        risky_account: false,
        risky_time: false,
        risky_source: false,
        note: String::new(),
        create_time: now,
        update_time: now,
        version: 1,
    }
}

fn apply(row: &mut Model, verdict: &Verdict) -> StoreResult<()> {
    if verdict.cracked && !row.cracked && status::reopens(row.processing_status()?) {
        row.status = number(ProcessingStatus::Open);
    }
    row.severity = number(verdict.severity);
    row.first_time = verdict.series.first;
    row.last_time = verdict.last;
    row.threshold_time = Some(verdict.series.threshold);
    row.attempts = i64::try_from(verdict.attempts).unwrap_or(i64::MAX);
    row.accounts = i64::from(verdict.accounts);
    row.cracked = verdict.cracked;
    row.account_exists = verdict.account_exists;
    Ok(())
}
