//! A deletion in the hands of a worker: its lease, and the one way in which a step is written down.

use std::time::Duration;

use chrono::TimeDelta;
use cwpp_access::{Job, SystemScope};
use cwpp_chassis::{Error, Reason};
use cwpp_storage::fault;
use cwpp_storage::lease::{self, Lease};
use uuid::Uuid;

use super::ops::Deletions;
use super::state::State;
use super::store::{self, Run};
use crate::ledger::{self, Entry};
use crate::peer::Tenant;

/// Why a step ends without being done.
#[derive(Debug)]
pub enum Halt {
    /// Another worker has it, or a caller changed it: nothing more is to be done here.
    Lost,
    /// It waits for a service, or a brake; it is tried again.
    Blocked(String),
    /// The own database failed; whoever finds it due goes on.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        match error.reason() {
            Reason::LeaseLost => Halt::Lost,
            _ => Halt::Failed(error),
        }
    }
}

impl Halt {
    /// A service that refused or did not answer.
    pub fn service(name: &str, error: &Error) -> Self {
        Halt::Blocked(format!("{name}: {} {}", error.reason().as_str(), error.message()))
    }
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another step under this claim.
    Again,
    /// Nothing now; whoever finds it due claims it anew.
    Rest,
}

/// How a step is written down.
#[derive(Debug, Clone, Default)]
pub struct Note {
    /// For the ledger, where the state was entered in an unusual way.
    pub detail: Option<String>,
    /// How long to wait before the next step, by the database's clock.
    pub wait: Option<Duration>,
    /// Whether the brake on seals is held against it.
    pub seals: bool,
}

/// A deletion that this worker holds.
pub struct Hold<'a> {
    /// What the worker shares with the calls.
    pub desk: &'a Deletions,
    /// The deletion and its lease.
    pub run: Run,
    name: String,
    lease: Lease,
    /// The state as stored, to tell a change of state.
    stored: State,
}

/// Returns the scope of the worker.
pub fn scope() -> SystemScope {
    SystemScope::job(Job::Deletions)
}

/// Returns the name of the lease: one per life of a tenant, so that tokens rise from one deletion of it to the next.
fn lease_name(incarnation: Uuid) -> String {
    format!("deletion/{incarnation}")
}

impl<'a> Hold<'a> {
    /// Claims a deletion under a token of its own; none while another worker has it or there is nothing to do.
    pub async fn claim(desk: &'a Deletions, due: store::Due) -> Result<Option<Self>, Error> {
        let name = lease_name(due.incarnation);
        // A holder of its own per claim: so each claim has a token of its own.
        let life = desk.config.worker.lease;
        let Some(lease) = lease::claim(&desk.db, &scope(), &name, Uuid::now_v7(), life).await? else {
            return Ok(None);
        };
        let run = desk.find(due.id).await;
        let hold = match run {
            Ok(run) => Self { desk, stored: run.state().map_err(Error::from)?, run, name, lease },
            Err(e) => {
                lease::release(&desk.db, &scope(), &name, lease).await?;
                return Err(e);
            }
        };
        if hold.is_due().await? {
            return Ok(Some(hold));
        }
        hold.release().await?;
        Ok(None)
    }

    async fn is_due(&self) -> Result<bool, Error> {
        let (dialect, id) = (self.desk.db.dialect(), self.run.deletion.id);
        let now = self.desk.clock.now();
        if self.run.deletion.due_time.is_none_or(|due| due > now) {
            return Ok(false);
        }
        self.desk.db.system_read(&scope(), |on| async move { store::awake(&on, dialect, id).await }).await
    }

    /// Prolongs the lease.
    pub async fn renew(&self) -> Result<(), Halt> {
        let life = self.desk.config.worker.lease;
        match lease::claim(&self.desk.db, &scope(), &self.name, self.lease.holder, life).await? {
            Some(lease) if lease == self.lease => Ok(()),
            // It ran out in between, and was given to us anew under a higher token: start over with what is stored.
            Some(lease) => {
                lease::release(&self.desk.db, &scope(), &self.name, lease).await?;
                Err(Halt::Lost)
            }
            None => Err(Halt::Lost),
        }
    }

    /// Gives the deletion back.
    pub async fn release(self) -> Result<(), Error> {
        lease::release(&self.desk.db, &scope(), &self.name, self.lease).await
    }

    /// Returns the token of this claim.
    pub fn token(&self) -> i64 {
        self.lease.token
    }

    /// Returns where it stands.
    pub fn state(&self) -> Result<State, Halt> {
        Ok(self.run.state().map_err(Error::from)?)
    }

    /// Finds the tenant; none once its fence row here is gone.
    pub async fn tenant(&self) -> Result<Option<Tenant>, Halt> {
        let incarnation = self.run.deletion.incarnation;
        let app_id =
            self.desk.db.system_read(&scope(), |on| async move { store::tenant(&on, incarnation).await }).await?;
        Ok(app_id.map(|app_id| Tenant { app_id, incarnation }))
    }

    /// As [`Hold::tenant`], where it must still be there.
    pub async fn known_tenant(&self) -> Result<Tenant, Halt> {
        let missing = || Halt::Blocked(format!("{}: the tenant's fence row is missing", crate::peer::OWN));
        self.tenant().await?.ok_or_else(missing)
    }

    /// Moves on in memory; [`Hold::save`] writes it down.
    pub fn enter(&mut self, next: State) {
        debug_assert!(self.stored.may_become(next), "{} may not become {next}", self.stored);
        let now = self.desk.clock.now();
        let row = &mut self.run.deletion;
        (row.state, row.state_time, row.due_time) = (next.number(), now, Some(now));
    }

    /// Takes a move back that was not written down.
    pub fn back_to_stored(&mut self) {
        self.run.deletion.state = self.stored.number();
    }

    /// Forgets what was purged and counted: rows, or a lost seal, were found.
    pub fn start_over(&mut self) {
        self.run.deletion.verified_time = None;
        self.run.deletion.confirmed_time = None;
        for service in &mut self.run.services {
            (service.purged, service.verified, service.passed_micros) = (service.closed, false, None);
        }
    }

    /// Writes a step that went well, with its entry in the ledger where the state changed; all or nothing, and nothing
    /// where the lease is over or the deletion was changed by somebody else.
    pub async fn save(&mut self, note: Note) -> Result<(), Halt> {
        let row = &mut self.run.deletion;
        (row.stalled, row.attempt, row.retry_micros) = (false, 0, 0);
        row.blocker.clear();
        self.write(note).await
    }

    /// Writes that it cannot go on for now.
    pub async fn stall(&mut self, blocker: &str) -> Result<(), Halt> {
        let worker = &self.desk.config.worker;
        let row = &mut self.run.deletion;
        let doubled = worker.retry_min.saturating_mul(1 << row.attempt.clamp(0, 16));
        (row.stalled, row.attempt) = (true, row.attempt.saturating_add(1));
        row.blocker = blocker.chars().take(255).collect();
        tracing::warn!(incarnation = %row.incarnation, state = %self.stored, attempt = row.attempt, blocker, "a deletion is stalled");
        self.write(Note { wait: Some(doubled.min(worker.retry_max)), ..Note::default() }).await
    }

    async fn write(&mut self, note: Note) -> Result<(), Halt> {
        self.run.deletion.token = self.lease.token;
        let entering = self.state()?;
        // What was done in the services stands; that it was done is not written down yet.
        fault::point("deletion", entering.name()).await;
        let changed = entering != self.stored;
        let (now, limit) = (self.desk.clock.now(), self.desk.config.brakes.seals_per_hour);
        let (snapshot, name, lease) = (self.run.clone(), self.name.clone(), self.lease);
        let scope = scope();
        let written = self.desk.db.system(&scope, |tx| {
            let (mut run, name, note) = (snapshot.clone(), name.clone(), note.clone());
            async move {
                lease::check(&tx, &name, lease).await?;
                if changed {
                    let head = ledger::store::lock(&tx).await?;
                    // Under the ledger's lock, so that two workers do not both take the last place.
                    if note.seals && store::sealed_after(&tx, now - TimeDelta::hours(1)).await? >= u64::from(limit) {
                        return Err(Error::new(Reason::Overloaded, format!("{limit} seals an hour")).into());
                    }
                    ledger::store::append(&tx, head, entry(&run, entering, note.detail, None)).await?;
                }
                if let Some(wait) = note.wait {
                    let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 4);
                    run.deletion.retry_micros = tx.database_time().await?.timestamp_micros() + wait;
                }
                if !store::update(&tx, &run).await? {
                    return Err(Error::new(Reason::LeaseLost, "the deletion was changed").into());
                }
                run.deletion.version += 1;
                Ok(run)
            }
        });
        self.run = match written.await {
            Err(e) if note.seals && e.reason() == Reason::Overloaded => {
                return Err(Halt::Blocked(format!("brakes: {}", e.message())));
            }
            other => other?,
        };
        if changed {
            self.changed(entering);
        }
        self.desk.announce();
        Ok(())
    }

    /// Writes the last step: the certificate, its entry in the ledger and the state, together.
    pub async fn certify(&mut self) -> Result<(), Halt> {
        let now = self.desk.clock.now();
        self.enter(State::Certified);
        fault::point("deletion", State::Certified.name()).await;
        let row = &mut self.run.deletion;
        (row.certified_time, row.due_time, row.running_of) = (Some(now), None, None);
        (row.stalled, row.attempt, row.retry_micros, row.token) = (false, 0, 0, self.lease.token);
        row.blocker.clear();
        let (snapshot, name, lease) = (self.run.clone(), self.name.clone(), self.lease);
        let (desk, budget) = (self.desk, self.desk.config.budget());
        let scope = scope();
        let written = desk.db.system(&scope, |tx| {
            let (mut run, name) = (snapshot.clone(), name.clone());
            async move {
                lease::check(&tx, &name, lease).await?;
                let head = ledger::store::lock(&tx).await?;
                let signed = crate::certificate::ops::sign(&run, &budget, &head, &desk.signer)?;
                let entry = entry(&run, State::Certified, None, Some(signed.digest.clone()));
                ledger::store::append(&tx, head, entry).await?;
                crate::certificate::store::create(&tx, run.deletion.id, &signed).await?;
                if !store::update(&tx, &run).await? {
                    return Err(Error::new(Reason::LeaseLost, "the deletion was changed").into());
                }
                run.deletion.version += 1;
                Ok(run)
            }
        });
        self.run = written.await?;
        self.changed(State::Certified);
        desk.announce();
        Ok(())
    }

    fn changed(&mut self, state: State) {
        tracing::info!(incarnation = %self.run.deletion.incarnation, from = %self.stored, to = %state, token = self.lease.token, "a deletion moved on");
        metrics::counter!("retention_transitions_total", "state" => state.name()).increment(1);
        self.stored = state;
    }
}

/// Makes the ledger's entry of a state; number and link are set when it is appended.
pub fn entry(run: &Run, state: State, detail: Option<String>, certificate: Option<String>) -> Entry {
    Entry {
        seq: 0,
        prev: String::new(),
        incarnation: run.deletion.incarnation,
        state: state.name().to_owned(),
        time: run.deletion.state_time,
        token: run.deletion.token.unsigned_abs(),
        effective: run.deletion.effective_time,
        detail,
        certificate,
    }
}
