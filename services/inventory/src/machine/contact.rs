//! Contacts of machines, written together: heartbeats and negotiations of one tenant that come at the same time share a
//! transaction, which also reads what they are answered with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::{AppId, TenantScope};
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_contracts::inventory::v1::Decision;
use cwpp_storage::{Db, StoreResult, TenantTx};
use tokio::sync::{OnceCell, oneshot};
use uuid::Uuid;

use super::instance::{self, Claims, Standing};
use super::skew::Skew;
use super::{liveness, load, store};
use crate::asset::form::Forms;
use crate::asset::snapshot::{self, Offer, Verdict};
use crate::asset::unread::{self, Unread};
use crate::policy::collection;

/// Contacts that are written without waiting for more.
const ENOUGH: usize = 20;
/// Most contacts in one transaction.
const MOST: usize = 1000;

/// A machine was heard of.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The machine.
    pub machine_id: Uuid,
    /// The agent's nonce; empty where it gave none.
    pub nonce: Vec<u8>,
    /// The host's clock.
    pub observed: Option<DateTime<Utc>>,
    /// Its load; none where this kind of contact carries none.
    pub load: Option<Load>,
    /// What it could report; empty for a heartbeat.
    pub classes: Vec<Offer>,
    /// What it could not read, or only in part; empty for a heartbeat.
    pub unread: Vec<Unread>,
}

impl Contact {
    /// Says whether it is more than a sign of life.
    fn negotiates(&self) -> bool {
        !self.classes.is_empty() || !self.unread.is_empty()
    }
}

/// The load of a machine: in percent, but for the average.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Processor.
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<f64>,
    /// The fullest disk.
    pub disk: Option<f64>,
    /// Processes that ran or waited to, over the last minute.
    pub average: Option<f64>,
}

/// What a contact is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whether the machine is enrolled.
    pub known: bool,
    /// What the agent is to the machine.
    pub standing: Standing,
    /// How far its clock is off.
    pub skew: Skew,
    /// The database's clock; only where classes were offered.
    pub at: DateTime<Utc>,
    /// For each offered class what to do with it.
    pub verdicts: Vec<Verdict>,
}

/// Gathers contacts, a lane per tenant, so that no tenant waits for another.
#[derive(Debug, Clone)]
pub struct Contacts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Clock,
    linger: Duration,
    forms: OnceCell<Forms>,
    lanes: Mutex<HashMap<AppId, Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    contacts: Vec<Contact>,
    reply: oneshot::Sender<Result<Vec<Answer>>>,
}

impl Contacts {
    /// Writes to this database; `linger` is how long few contacts wait for more.
    pub fn new(db: Db, clock: Clock, linger: Duration) -> Self {
        Self { inner: Arc::new(Inner { db, clock, linger, forms: OnceCell::new(), lanes: Mutex::default() }) }
    }

    /// Writes contacts together with others of the tenant and returns an answer each.
    pub async fn take(&self, scope: &TenantScope, contacts: Vec<Contact>) -> Result<Vec<Answer>> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { contacts, reply };
        let starts = {
            let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            match lanes.get_mut(&scope.app_id()) {
                Some(lane) => {
                    lane.push(waiting);
                    false
                }
                None => {
                    lanes.insert(scope.app_id(), vec![waiting]);
                    true
                }
            }
        };
        if starts {
            tokio::spawn(self.inner.clone().drive(scope.clone()));
        }
        answer.await.map_err(|_| Error::internal(anyhow::anyhow!("a lane of contacts ended early")))?
    }
}

impl Inner {
    /// Writes a lane until it is empty. The lane's place in the map says that somebody drives it.
    async fn drive(self: Arc<Self>, scope: TenantScope) {
        let _driven = Driven { inner: &self, app_id: scope.app_id() };
        loop {
            if self.waiting(scope.app_id()) < ENOUGH {
                tokio::time::sleep(self.linger).await;
            }
            let batch = self.next(scope.app_id());
            if batch.is_empty() {
                return;
            }
            metrics::histogram!("inventory_contacts_per_transaction")
                .record(batch.iter().map(|w| w.contacts.len()).sum::<usize>() as f64);
            match self.write(&scope, &batch).await {
                Ok(mut answers) => {
                    for waiting in batch {
                        let rest = answers.split_off(waiting.contacts.len().min(answers.len()));
                        let own = std::mem::replace(&mut answers, rest);
                        let _ = waiting.reply.send(Ok(own));
                    }
                }
                Err(e) => {
                    for waiting in batch {
                        let _ = waiting.reply.send(Err(copy(&e)));
                    }
                }
            }
        }
    }

    fn waiting(&self, app_id: AppId) -> usize {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(&app_id).map_or(0, |lane| lane.iter().map(|w| w.contacts.len()).sum())
    }

    /// Takes what waits, at most [`MOST`] contacts unless the first call alone has more; an empty lane is removed.
    fn next(&self, app_id: AppId) -> Vec<Waiting> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = lanes.get_mut(&app_id) else { return Vec::new() };
        let mut contacts = 0;
        let fitting = lane.iter().take_while(|w| {
            contacts += w.contacts.len();
            contacts <= MOST
        });
        let take = fitting.count().max(1).min(lane.len());
        let batch: Vec<_> = lane.drain(..take).collect();
        if batch.is_empty() {
            lanes.remove(&app_id);
        }
        batch
    }

    async fn write(&self, scope: &TenantScope, batch: &[Waiting]) -> Result<Vec<Answer>> {
        let now = self.clock.now();
        let forms = self.forms.get_or_try_init(|| Forms::load(&self.db, now)).await?;
        self.db.write(scope, |tx| async move { write(&tx, batch, forms, now).await }).await
    }
}

/// Frees a lane whose driver ends, also by a panic: the calls that wait get an error, the next call starts another driver.
struct Driven<'a> {
    inner: &'a Inner,
    app_id: AppId,
}

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.app_id);
        }
    }
}

async fn write(tx: &TenantTx, batch: &[Waiting], forms: &Forms, now: DateTime<Utc>) -> StoreResult<Vec<Answer>> {
    let contacts = || batch.iter().flat_map(|w| &w.contacts);
    let mut ids: Vec<Uuid> = contacts().map(|c| c.machine_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = store::hold(tx, &ids).await?;
    ids.retain(|id| known.contains(id));
    let mut old = store::lock_livenesses(tx, &ids).await?;
    let mut claims = claims(tx, contacts(), &old).await?;
    let mut asking: Vec<Uuid> =
        contacts().filter(|c| c.negotiates() && known.contains(&c.machine_id)).map(|c| c.machine_id).collect();
    asking.sort_unstable();
    asking.dedup();
    let (snapshots, mut said, settings, at) = match asking.is_empty() {
        true => (HashMap::new(), HashMap::new(), HashMap::new(), now),
        false => (
            snapshot::of_machines(tx, &asking).await?,
            unread::of_machines(tx, &asking).await?,
            collection::settings(tx, &asking).await?,
            tx.database_time().await?,
        ),
    };
    let mut rows: BTreeMap<Uuid, liveness::Model> = BTreeMap::new();
    let (mut answers, mut kept) = (Vec::new(), Vec::new());
    // The last of a machine holds.
    let mut negotiations: BTreeMap<Uuid, &Contact> = BTreeMap::new();
    for contact in contacts() {
        let skew = Skew::of(contact.observed, now);
        let wanted = settings.get(&contact.machine_id);
        let verdicts: Vec<Verdict> = contact
            .classes
            .iter()
            .map(|offer| {
                let snapshot = snapshots.get(&(contact.machine_id, offer.class));
                let wanted = wanted.map(|settings| settings.class(offer.class)).unwrap_or_default();
                offer.decide(snapshot, tx.scope_epoch(), wanted, (forms, now))
            })
            .collect();
        let is_known = known.contains(&contact.machine_id);
        let mut standing = Standing::Holds;
        if is_known {
            let row = rows.entry(contact.machine_id).or_insert_with(|| {
                old.remove(&contact.machine_id)
                    .unwrap_or_else(|| liveness::Model::new(tx.app_id().get(), contact.machine_id, now))
            });
            standing = claims.entry(contact.machine_id).or_default().hear(row, &contact.nonce, None, now);
            if standing != Standing::Clone {
                row.last_seen_at = now;
            }
            if standing == Standing::Holds {
                (row.clock_skew_us, row.clock_clamped) = (skew.micros, skew.clamped);
                if contact.negotiates() {
                    negotiations.insert(contact.machine_id, contact);
                }
                if let Some(load) = contact.load {
                    kept.extend(load::take(row, load, now));
                }
                let is_checked = |(offer, v): (&Offer, &Verdict)| offer.is_read() && v.decision != Decision::Disabled;
                if contact.classes.iter().zip(&verdicts).any(is_checked) {
                    row.last_checked_at = Some(now);
                }
            }
        }
        answers.push(Answer { known: is_known, standing, skew, at, verdicts });
    }
    for (machine_id, contact) in negotiations {
        let old = said.remove(&machine_id).unwrap_or_default();
        // Of a class that the tenant switched off nothing is kept, not even why it could not be read.
        let is_off = |class: i16| settings.get(&machine_id).is_some_and(|settings| settings.class(class).off);
        let (off, said): (Vec<Unread>, Vec<Unread>) = contact.unread.iter().cloned().partition(|u| is_off(u.class));
        let read =
            contact.classes.iter().filter(|offer| offer.is_read() || is_off(offer.class)).map(|offer| offer.class);
        let read = read.chain(off.iter().map(|unread| unread.class));
        unread::take(tx, machine_id, read, &said, &old, now).await?;
    }
    for (machine_id, claims) in claims {
        claims.put(tx, machine_id).await?;
    }
    kept.sort_unstable_by_key(|row| row.machine_id);
    load::put(tx, kept).await?;
    store::touch(tx, rows.into_values().collect()).await?;
    Ok(answers)
}

/// Reads the claims of the machines under whose id another agent than the one that holds it speaks, which is rare.
async fn claims<'a>(
    tx: &TenantTx,
    contacts: impl Iterator<Item = &'a Contact>,
    old: &HashMap<Uuid, liveness::Model>,
) -> StoreResult<BTreeMap<Uuid, Claims>> {
    let other = |c: &Contact| {
        !c.nonce.is_empty()
            && old.get(&c.machine_id).is_some_and(|l| !l.instance_nonce.is_empty() && l.instance_nonce != c.nonce)
    };
    let mut ids: Vec<Uuid> = contacts.filter(|c| other(c)).map(|c| c.machine_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows: BTreeMap<Uuid, Vec<instance::Model>> = BTreeMap::new();
    for row in instance::claims(tx, &ids).await? {
        rows.entry(row.machine_id).or_default().push(row);
    }
    Ok(ids.into_iter().map(|id| (id, Claims::new(rows.remove(&id).unwrap_or_default()))).collect())
}

/// Copies what callers see of an error that several of them get.
fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.reason(), error.message());
    if error.reason() == Reason::Internal {
        copy = copy.source(anyhow::anyhow!("{error:?}"));
    }
    for (key, value) in error.metadata() {
        copy = copy.with(key, value);
    }
    if let Some(delay) = error.retry_delay() {
        copy = copy.retry_after(delay);
    }
    if let Some((kind, name)) = error.resource_name() {
        copy = copy.resource(kind, name);
    }
    copy
}
