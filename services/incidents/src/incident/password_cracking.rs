//! The kind *password cracking*: one incident per machine, source, service, account (or none: spraying) and series.
//!
//! A series lasts 24 hours from its first failure. While it lasts, its incident is brought up to date, whatever its status.
//! What comes later is another series and opens another incident, also where the former one was resolved or ignored. A
//! password that turns out to be cracked opens a resolved or ignored incident again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use cwpp_contracts::common::v1::ProcessingStatus;
use cwpp_contracts::incidents::v1::{IncidentKind, PasswordCracking};
use cwpp_storage::{StoreResult, TenantTx};
use uuid::Uuid;

use super::entity::{Model, number};
use super::{status, store};
use crate::detection::cracking::{self, Series};
use crate::detection::{AccountKey, Bucket, Verdict};

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

/// Returns what is stored of an incident's series.
pub(crate) fn verdict(row: &Model) -> Verdict {
    Verdict {
        series: Series { first: row.first_time, threshold: row.threshold_time.unwrap_or(row.first_time) },
        last: row.last_time,
        attempts: row.attempts.unsigned_abs(),
        account_exists: row.account_exists,
        cracked: row.cracked,
    }
}

/// What becomes of the accounts that an incident counts.
#[derive(Debug)]
enum Accounts {
    /// These are among them.
    More(BTreeSet<AccountKey>),
    /// These are all.
    All(BTreeSet<AccountKey>),
}

/// Changes that verdicts make to the incidents of a machine.
#[derive(Debug)]
pub(crate) struct Changes {
    machine_id: Uuid,
    now: DateTime<Utc>,
    opened: Vec<(Model, BTreeSet<AccountKey>)>,
    changed: Vec<(Model, Model, Accounts)>,
}

impl Changes {
    /// No change yet.
    pub(crate) fn new(machine_id: Uuid, now: DateTime<Utc>) -> Self {
        Self { machine_id, now, opened: Vec::new(), changed: Vec::new() }
    }

    /// Adds counts to an incident whose series stands.
    pub(crate) fn extend(&mut self, before: &Model, added: &[Bucket]) -> StoreResult<()> {
        let mut accounts = BTreeSet::new();
        let verdict = cracking::extend(&verdict(before), added, &mut accounts);
        self.change(before, &verdict, Accounts::More(accounts))
    }

    /// Replaces what is known of an incident.
    pub(crate) fn replace(
        &mut self,
        before: &Model,
        verdict: &Verdict,
        accounts: BTreeSet<AccountKey>,
    ) -> StoreResult<()> {
        self.change(before, verdict, Accounts::All(accounts))
    }

    fn change(&mut self, before: &Model, verdict: &Verdict, accounts: Accounts) -> StoreResult<()> {
        let mut row = before.clone();
        apply(&mut row, verdict)?;
        self.changed.push((before.clone(), row, accounts));
        Ok(())
    }

    /// Opens an incident and returns the number of its series; `taken` are those of the subject's others.
    pub(crate) fn open(
        &mut self,
        tx: &TenantTx,
        subject: &Subject,
        taken: &[i64],
        verdict: &Verdict,
        accounts: BTreeSet<AccountKey>,
    ) -> StoreResult<i64> {
        // A series that began here once may have been found to begin earlier since: its number stays its own.
        let mut series = verdict.series.first.timestamp_micros();
        while taken.contains(&series) {
            series += 1;
        }
        let mut row = empty(tx, self.machine_id, subject, series, self.now);
        row.accounts = number_of(&accounts);
        apply(&mut row, verdict)?;
        self.opened.push((row, accounts));
        Ok(series)
    }

    /// Writes the changes and returns the ids of the incidents.
    pub(crate) async fn write(self, tx: &TenantTx) -> StoreResult<Vec<Uuid>> {
        let mut ids = Vec::new();
        for (row, accounts) in &self.opened {
            ids.push(row.incident_id);
            if row.account.is_empty() {
                store::add_accounts(tx, row.incident_id, accounts).await?;
            }
        }
        store::insert(tx, self.opened.into_iter().map(|(row, _)| row).collect()).await?;
        let mut changed = self.changed;
        changed.sort_by_key(|(row, ..)| row.incident_id);
        for (before, mut row, accounts) in changed {
            // Where one account is looked at it is the one.
            if row.account.is_empty() {
                row.accounts = count_accounts(tx, &before, accounts).await?;
            }
            if row != before {
                row.update_time = self.now;
                row.version += 1;
                ids.push(row.incident_id);
                store::refresh(tx, row).await?;
            }
        }
        Ok(ids)
    }
}

/// Keeps which accounts an incident counts, and returns how many they are.
async fn count_accounts(tx: &TenantTx, before: &Model, accounts: Accounts) -> StoreResult<i64> {
    match accounts {
        Accounts::More(mut accounts) => {
            for known in store::accounts(tx, before.incident_id, &accounts).await? {
                accounts.remove(&known);
            }
            store::add_accounts(tx, before.incident_id, &accounts).await?;
            Ok(before.accounts + number_of(&accounts))
        }
        Accounts::All(accounts) => {
            store::delete_accounts(tx, before.incident_id).await?;
            store::add_accounts(tx, before.incident_id, &accounts).await?;
            Ok(number_of(&accounts))
        }
    }
}

fn number_of(accounts: &BTreeSet<AccountKey>) -> i64 {
    i64::try_from(accounts.len()).unwrap_or(i64::MAX)
}

fn empty(tx: &TenantTx, machine_id: Uuid, subject: &Subject, series: i64, now: DateTime<Utc>) -> Model {
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
    row.severity = number(verdict.severity());
    row.first_time = verdict.series.first;
    row.last_time = verdict.last;
    row.threshold_time = Some(verdict.series.threshold);
    row.attempts = i64::try_from(verdict.attempts).unwrap_or(i64::MAX);
    row.cracked = verdict.cracked;
    row.account_exists = verdict.account_exists;
    Ok(())
}
