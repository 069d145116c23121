//! What machines can do: enrol, show life, be found.

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::TenantScope;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_contracts::common::v1::Page as WirePage;
use cwpp_contracts::inventory::v1::{AgentState, ListMachinesRequest, MachineFacts};
use cwpp_storage::Db;
use cwpp_storage::page::{self, Binding, Page};
use uuid::Uuid;

use super::contact::{Answer, Contact, Contacts};
use super::skew::Skew;
use super::store::{self, Plan};
use super::{entity, liveness};
use crate::keyset::Cursor;

/// How long a machine counts as online after it was seen.
pub const ONLINE: TimeDelta = TimeDelta::minutes(10);

const LIST: &str = "/cwpp.inventory.v1.MachineService/ListMachines";

/// The machines of all tenants.
#[derive(Debug, Clone)]
pub struct Machines {
    db: Db,
    clock: Clock,
    contacts: Contacts,
}

/// A machine that enrols, checked.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The cloud's id; empty where there is none.
    pub quuid: String,
    /// Hash of the host's own id; empty where it is not given.
    pub host_id_hash: Vec<u8>,
    /// The agent's nonce; empty where it is not given.
    pub nonce: Vec<u8>,
    /// The host's clock.
    pub observed: Option<DateTime<Utc>>,
    /// What it says of itself.
    pub facts: MachineFacts,
}

/// A machine with its last sign of life.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The machine.
    pub row: entity::Model,
    /// The last sign of life.
    pub liveness: Option<liveness::Model>,
    /// Whether it was seen within the last ten minutes.
    pub online: bool,
}

impl Machine {
    pub(super) fn new(row: entity::Model, liveness: Option<liveness::Model>, now: DateTime<Utc>) -> Self {
        let online = liveness.as_ref().is_some_and(|l| l.last_seen_at >= now - ONLINE);
        Self { row, liveness, online }
    }
}

/// The answer for a machine that the tenant does not have.
pub fn machine_unknown(id: Uuid) -> Error {
    Error::new(Reason::MachineUnknown, "there is no such machine").resource("machine", id.to_string())
}

impl Machines {
    /// Makes the operations on this database.
    pub fn new(db: Db, clock: Clock, contacts: Contacts) -> Self {
        Self { db, clock, contacts }
    }

    /// Enrols a machine, or finds it again and takes its facts where they differ; true where it is new.
    pub async fn register(&self, scope: &TenantScope, registration: Registration) -> Result<(Machine, bool)> {
        let registered = match self.try_register(scope, &registration).await {
            // Another call enrolled it in between, so now it is there.
            Err(e) if e.reason() == Reason::AlreadyExists => self.try_register(scope, &registration).await,
            other => other,
        };
        self.db.feed_grew();
        registered
    }

    async fn try_register(&self, scope: &TenantScope, registration: &Registration) -> Result<(Machine, bool)> {
        let now = self.clock.now();
        let skew = Skew::of(registration.observed, now);
        let (row, live, created) = self
            .db
            .write(scope, |tx| async move {
                let (row, created) = store::register(&tx, registration, now).await?;
                let old = store::liveness(&tx, row.machine_id).await?;
                let mut live = old.unwrap_or_else(|| liveness::Model::new(row.app_id, row.machine_id, now));
                live.last_seen_at = now;
                (live.clock_skew_us, live.clock_clamped) = (skew.micros, skew.clamped);
                live.instance_nonce.clone_from(&registration.nonce);
                store::touch(&tx, vec![live.clone()]).await?;
                Ok((row, live, created))
            })
            .await?;
        Ok((Machine::new(row, Some(live), now), created))
    }

    /// Takes signs of life; an answer each.
    pub async fn beat(&self, scope: &TenantScope, contacts: Vec<Contact>) -> Result<Vec<Answer>> {
        self.contacts.take(scope, contacts).await
    }

    /// Finds one machine.
    pub async fn get(&self, scope: &TenantScope, id: Uuid) -> Result<Machine> {
        let now = self.clock.now();
        self.db
            .read(scope, |read| async move {
                let row = store::get(&read, id).await?.ok_or_else(|| machine_unknown(id))?;
                let live = store::liveness(&read, id).await?;
                Ok(Machine::new(row, live, now))
            })
            .await
    }

    /// Lists machines page by page.
    pub async fn list(
        &self,
        scope: &TenantScope,
        request: &ListMachinesRequest,
        page: Option<&WirePage>,
        plan: Plan,
        state: AgentState,
    ) -> Result<(Vec<Machine>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), LIST, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let (page, plan) = (&page, &plan);
        let (rows, next) = self
            .db
            .read(scope, |read| async move {
                let list = store::list(&read, plan, state, now - ONLINE);
                store::page(&read, &list, page.after.as_ref(), page.size).await
            })
            .await?;
        let token = next.map(|c| page::next(self.db.keys(), &c, &binding, now)).transpose()?.unwrap_or_default();
        Ok((rows.into_iter().map(|(row, live)| Machine::new(row, live, now)).collect(), token))
    }
}
