//! What machines can do: enrol, show life, be found, tagged, counted, removed.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::TenantScope;
use cwpp_access::scope::not_its_machine;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_contracts::common::v1::Page as WirePage;
use cwpp_contracts::inventory::v1::{
    AgentState, AssetClass, DeleteMachinesRequest, InstanceState, ListMachinesRequest, ListOsNamesRequest,
    ListTagsRequest, MachineFacts, TagOrder,
};
use cwpp_storage::page::{self, Binding, Page};
use cwpp_storage::{Db, HasTenant, StoreResult, TenantTx, fault};
use sea_orm::sea_query::Condition;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::contact::{Answer, Contact, Contacts};
use super::instance::{self, Claims, Standing};
use super::query::{self, Plan};
use super::removal::{self, Removed};
use super::skew::Skew;
use super::summary::{self, Summary};
use super::{day, entity, liveness, load, os_name, store, tag, tag_count, watch};
use crate::bulk;
use crate::keyset::Cursor;
use crate::policy::collection;

/// How long a machine counts as online after it was seen.
pub const ONLINE: TimeDelta = TimeDelta::minutes(10);

/// When an agent whose machine is contested asks again: by then both will have spoken.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Machines that get their tags in one transaction: at most 50 each.
const TAGGED_AT_ONCE: usize = 20;

/// Machines of which a tag is taken or replaced in one transaction.
const REPLACED_AT_ONCE: u64 = 100;

const LIST: &str = "/cwpp.inventory.v1.MachineService/ListMachines";
const TAGS: &str = "/cwpp.inventory.v1.MachineService/ListTags";
const OS_NAMES: &str = "/cwpp.inventory.v1.MachineService/ListOsNames";

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
    /// What tells the host from the one that it is a clone of, where it was given any.
    pub distinct: Option<Uuid>,
    /// The agent's nonce; empty where it is not given.
    pub nonce: Vec<u8>,
    /// Hash of the kernel's id of this start, where it is given.
    pub boot: Option<Uuid>,
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
    /// The state of its agent.
    pub state: AgentState,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Whether another agent speaks for it as well.
    pub contested: bool,
}

impl Machine {
    fn new(row: entity::Model, liveness: Option<liveness::Model>, tags: Vec<String>, now: DateTime<Utc>) -> Self {
        let state = match &liveness {
            Some(l) if l.uninstalled_at.is_some() => AgentState::Uninstalled,
            Some(l) if l.last_seen_at >= now - ONLINE => AgentState::Online,
            _ => AgentState::Offline,
        };
        Self { row, liveness, state, tags, contested: false }
    }
}

/// A change of what a machine does not say of itself, checked.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The machine.
    pub machine_id: Uuid,
    /// The state of its instance, where that changes.
    pub instance_state: Option<InstanceState>,
    /// The remark, where that changes.
    pub remark: Option<String>,
    /// The version that the machine must have, where one is asked for.
    pub etag: Option<i64>,
}

/// What a registration is answered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The machine.
    pub machine: Machine,
    /// Whether it is new.
    pub created: bool,
    /// What the agent is to keep, because its host is a clone.
    pub distinct: Option<Uuid>,
    /// Whether another agent spoke for the machine lately.
    pub contested: bool,
}

/// The answer for an agent that is not, or not yet, the machine that it speaks for.
pub fn not_the_machine(standing: Standing, id: Uuid) -> Result<()> {
    let error = match standing {
        Standing::Holds => return Ok(()),
        Standing::Contested => {
            Error::new(Reason::MachineContested, "two agents speak for this machine").retry_after(AGAIN)
        }
        Standing::Clone => Error::new(Reason::MachineCloned, "the host is a clone of this machine: register again"),
    };
    Err(error.resource("machine", id.to_string()))
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

    /// Enrols a machine, or finds it again and takes its facts where they differ. The agent of a clone is given a machine
    /// of its own.
    pub async fn register(&self, scope: &TenantScope, registration: Registration) -> Result<Registered> {
        let registered = match self.try_register(scope, &registration).await {
            // Another call enrolled it in between, so now it is there.
            Err(e) if e.reason() == Reason::AlreadyExists => self.try_register(scope, &registration).await,
            other => other,
        };
        self.db.feed_grew();
        registered
    }

    async fn try_register(&self, scope: &TenantScope, registration: &Registration) -> Result<Registered> {
        let (now, bound) = (self.clock.now(), scope.machine());
        self.db
            .write(scope, |tx| async move {
                let registered = enrol(&tx, registration, now).await?;
                // Whose machine it is shows only here; nothing of it stays.
                match bound {
                    Some(own) if own != registered.machine.row.machine_id => Err(not_its_machine().into()),
                    _ => Ok(registered),
                }
            })
            .await
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
                describe(&read, vec![row], now).await?.pop().ok_or_else(|| machine_unknown(id).into())
            })
            .await
    }

    /// Lists machines page by page.
    pub async fn list(
        &self,
        scope: &TenantScope,
        request: &ListMachinesRequest,
        page: Option<&WirePage>,
        plan: &Plan,
    ) -> Result<(Vec<Machine>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), LIST, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let page = &page;
        let (machines, next) = self
            .db
            .read(scope, |read| async move {
                let (rows, next) = query::page(&read, plan, now - ONLINE, page.after.as_ref(), page.size).await?;
                Ok((describe(&read, rows, now).await?, next))
            })
            .await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        Ok((machines, token))
    }

    /// Remembers that a machine's agent was uninstalled.
    pub async fn unregister(&self, scope: &TenantScope, id: Uuid) -> Result<Machine> {
        let now = self.clock.now();
        let machine = self
            .db
            .write(scope, |tx| async move {
                let row = store::lock_many(&tx, &[id]).await?.remove(&id).ok_or_else(|| machine_unknown(id))?;
                let live = store::lock_livenesses(&tx, &[id]).await?.remove(&id);
                let mut live = live.unwrap_or_else(|| liveness::Model::new(row.app_id, id, now));
                if live.uninstalled_at.is_none() {
                    live.uninstalled_at = Some(now);
                    store::touch(&tx, vec![live]).await?;
                    watch::changed(&tx, &[id]).await?;
                }
                describe(&tx, vec![row], now).await?.pop().ok_or_else(|| machine_unknown(id).into())
            })
            .await?;
        self.db.feed_grew();
        Ok(machine)
    }

    /// Changes machines; an answer each.
    pub async fn update(&self, scope: &TenantScope, changes: &[Change]) -> Result<Vec<Result<()>>> {
        let now = self.clock.now();
        let done = self
            .db
            .write(scope, |tx| async move {
                let ids: Vec<Uuid> = changes.iter().map(|c| c.machine_id).collect();
                let mut rows = store::lock_many(&tx, &ids).await?;
                let mut done = Vec::with_capacity(changes.len());
                for change in changes {
                    done.push(match rows.remove(&change.machine_id) {
                        None => Err(machine_unknown(change.machine_id)),
                        Some(row) if change.etag.is_some_and(|etag| etag != row.version) => {
                            Err(Error::new(Reason::EtagMismatch, "the machine was changed in between: read it again"))
                        }
                        Some(row) => {
                            apply(&tx, row, change, now).await?;
                            Ok(())
                        }
                    });
                }
                Ok(done)
            })
            .await?;
        self.db.feed_grew();
        Ok(done)
    }

    /// Gives machines their tags, which are sorted; an answer each.
    pub async fn tag(&self, scope: &TenantScope, machines: &[(Uuid, Vec<String>)]) -> Result<Vec<Result<()>>> {
        let mut done = Vec::with_capacity(machines.len());
        for machines in machines.chunks(TAGGED_AT_ONCE) {
            let part = self.db.write(scope, |tx| async move {
                let mut ids: Vec<Uuid> = machines.iter().map(|(id, _)| *id).collect();
                ids.sort_unstable();
                let known = store::lock_many(&tx, &ids).await?;
                let mut done = Vec::with_capacity(machines.len());
                for (id, tags) in machines {
                    done.push(match known.contains_key(id) {
                        false => Err(machine_unknown(*id)),
                        true => {
                            tag::set(&tx, *id, tags).await?;
                            Ok(())
                        }
                    });
                }
                Ok(done)
            });
            done.extend(part.await?);
        }
        self.db.feed_grew();
        Ok(done)
    }

    /// Adds tags to machines and takes tags away; an answer each.
    pub async fn retag(
        &self,
        scope: &TenantScope,
        ids: &[Uuid],
        add: &[String],
        remove: &[String],
    ) -> Result<Vec<Result<()>>> {
        let mut done = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TAGGED_AT_ONCE) {
            let part = self.db.write(scope, |tx| async move {
                let known = store::lock_many(&tx, ids).await?;
                let mut tags = tag::of_machines(&tx, ids).await?;
                let mut done = Vec::with_capacity(ids.len());
                for id in ids {
                    if !known.contains_key(id) {
                        done.push(Err(machine_unknown(*id)));
                        continue;
                    }
                    let mut tags: BTreeSet<String> = tags.remove(id).unwrap_or_default().into_iter().collect();
                    tags.retain(|tag| !remove.contains(tag));
                    tags.extend(add.iter().cloned());
                    if tags.len() > tag::MOST {
                        let refused = Error::new(Reason::InvalidField, "the machine would have too many tags");
                        done.push(Err(
                            refused.violation("add", format!("would make {} tags, most are {}", tags.len(), tag::MOST))
                        ));
                        continue;
                    }
                    tag::set(&tx, *id, &Vec::from_iter(tags)).await?;
                    done.push(Ok(()));
                }
                Ok(done)
            });
            done.extend(part.await?);
        }
        self.db.feed_grew();
        Ok(done)
    }

    /// Takes tags away from all machines that have them, and gives those another in their place where one is named. Returns
    /// how many machines there were, and whether some may be left because the time was over.
    pub async fn replace_tags(&self, scope: &TenantScope, tags: &[String], by: Option<&String>) -> Result<(u64, bool)> {
        let mut changed = 0;
        for tag in tags {
            let mut after = Uuid::nil();
            loop {
                let part = self.db.write(scope, |tx| async move {
                    let rows = tx.query_all(&tag::machines(&tx, tag, after, REPLACED_AT_ONCE)).await?;
                    let ids =
                        rows.iter().map(|row| row.try_get_by_index(0)).collect::<std::result::Result<Vec<_>, _>>()?;
                    // The rows that a removed machine left are none of anybody's.
                    let known = store::lock_many(&tx, &ids).await?;
                    let there: Vec<Uuid> = ids.iter().filter(|id| known.contains_key(id)).copied().collect();
                    Ok((tag::replace(&tx, &there, tags, by).await?, ids.last().copied()))
                });
                let (more, last) = part.await?;
                changed += more;
                self.db.feed_grew();
                fault::point("tags", "replaced").await;
                match last {
                    None => break,
                    // A call with little time does one part.
                    Some(_) if changed > 0 && bulk::is_over() => return Ok((changed, true)),
                    Some(last) => after = last,
                }
            }
        }
        Ok((changed, false))
    }

    /// Lists the names of operating systems page by page.
    pub async fn os_names(
        &self,
        scope: &TenantScope,
        request: &ListOsNamesRequest,
        page: Option<&WirePage>,
        chosen: &Condition,
    ) -> Result<(Vec<os_name::Count>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), OS_NAMES, request);
        let page: Page<String> = Page::read(self.db.keys(), page, &binding, now)?;
        let (after, limit) = (page.after.as_deref(), page.limit());
        let counts = self.db.read(scope, |read| async move { os_name::counts(&read, chosen, after, limit).await });
        let mut counts = counts.await?;
        let token = page.cut(self.db.keys(), &mut counts, &binding, now, |last| last.os_name.clone())?;
        Ok((counts, token))
    }

    /// Lists tags page by page.
    pub async fn tags(
        &self,
        scope: &TenantScope,
        request: &ListTagsRequest,
        page: Option<&WirePage>,
        (range, order): &(Condition, TagOrder),
    ) -> Result<(Vec<tag_count::Model>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), TAGS, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let page = &page;
        let (tags, next) = self
            .db
            .read(scope, |read| async move {
                let list = tag_count::list(&read, range, *order);
                let (rows, next) = list.page(&read, page.after.as_ref(), page.size).await?;
                let tag = |row: &QueryResult| tag_count::Model::from_query_result(row, "");
                Ok((rows.iter().map(tag).collect::<std::result::Result<_, _>>()?, next))
            })
            .await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        Ok((tags, token))
    }

    /// Reads how many machines there were on the last days.
    pub async fn days(&self, scope: &TenantScope, days: u32) -> Result<Vec<day::Day>> {
        let now = self.clock.now();
        self.db.read(scope, |read| async move { day::last(&read, days, now).await }).await
    }

    /// Removes machines, or says what would be removed.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        ids: &[Uuid],
        request_id: Option<Uuid>,
        request: &DeleteMachinesRequest,
    ) -> Result<Removed> {
        if request.validate_only {
            return removal::preview(&self.db, scope, ids).await;
        }
        removal::delete(&self.db, scope, ids, (request_id, request), self.clock.now()).await
    }

    /// Counts the tenant's machines, and says when.
    pub async fn summarize(&self, scope: &TenantScope) -> Result<(Summary, DateTime<Utc>)> {
        let now = self.clock.now();
        let summary = self.db.read(scope, |read| async move { summary::read(&read, now - ONLINE, now).await }).await?;
        Ok((summary, now))
    }

    /// Reads the load of a machine over the last day.
    pub async fn load(&self, scope: &TenantScope, id: Uuid) -> Result<Vec<load::Model>> {
        let now = self.clock.now();
        self.db
            .read(scope, |read| async move {
                store::get(&read, id).await?.ok_or_else(|| machine_unknown(id))?;
                load::series(&read, id, now).await
            })
            .await
    }
}

/// Puts signs of life and tags to machines.
pub(super) async fn describe(
    db: &(impl ConnectionTrait + HasTenant),
    rows: Vec<entity::Model>,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Machine>> {
    let ids: Vec<Uuid> = rows.iter().map(|m| m.machine_id).collect();
    let (mut live, mut tags) = (store::livenesses(db, &ids).await?, tag::of_machines(db, &ids).await?);
    let claims = instance::claims(db, &ids).await?;
    let machine = |row: entity::Model| {
        let (live, tags) = (live.remove(&row.machine_id), tags.remove(&row.machine_id).unwrap_or_default());
        let contested = live.as_ref().is_some_and(|live| instance::is_contested(&claims, live, now));
        Machine { contested, ..Machine::new(row, live, tags, now) }
    };
    Ok(rows.into_iter().map(machine).collect())
}

/// Changes a machine that is locked, where the change is one.
async fn apply(tx: &TenantTx, row: entity::Model, change: &Change, now: DateTime<Utc>) -> StoreResult<()> {
    let mut new = row.clone();
    if let Some(state) = change.instance_state {
        new.instance_state = state as i16;
    }
    if let Some(remark) = &change.remark {
        new.remark.clone_from(remark);
    }
    if new == row { Ok(()) } else { store::update(tx, &new, now).await }
}

/// Enrols in one transaction.
async fn enrol(tx: &TenantTx, registration: &Registration, now: DateTime<Utc>) -> StoreResult<Registered> {
    let skew = Skew::of(registration.observed, now);
    let mut own = registration.clone();
    // A clone is looked for under the identity that it is given, where it is hardly a clone of another again.
    let mut may_be_earlier = true;
    for _ in 0..4 {
        let mut found = store::find(tx, &own).await?;
        let mut is_earlier = false;
        if found.is_none() && may_be_earlier {
            found = store::find_earlier(tx, &own).await?;
            is_earlier = found.is_some();
        }
        let created = found.is_none();
        let row = match found {
            Some(row) => row,
            None => store::enrol(tx, &own, now).await?,
        };
        let ids = [row.machine_id];
        let live = store::lock_livenesses(tx, &ids).await?.remove(&row.machine_id);
        let mut live = live.unwrap_or_else(|| liveness::Model::new(row.app_id, row.machine_id, now));
        let mut claims = Claims::new(instance::claims(tx, &ids).await?);
        // That two are of one start of a kernel says nothing here: the containers of a host are, and may share its ids.
        let boot = own.boot.filter(|_| !is_earlier);
        let standing = claims.hear(&mut live, &own.nonce, boot, now);
        claims.put(tx, row.machine_id).await?;
        if standing == Standing::Clone {
            match is_earlier {
                // Its cloud's id tells it from the other.
                true => may_be_earlier = false,
                false => own.distinct = Some(store::distinct(row.machine_id, &own.nonce)),
            }
            continue;
        }
        live.last_seen_at = now;
        if live.uninstalled_at.take().is_some() {
            watch::changed(tx, &ids).await?;
        }
        let contested = standing == Standing::Contested;
        if own.facts.last_user_login_time.is_some() {
            // A login is of the accounts, which the tenant may have switched off.
            let settings = collection::settings(tx, &ids).await?;
            let accounts = settings.get(&row.machine_id).map(|settings| settings.class(AssetClass::Account as i16));
            own.facts.last_user_login_time.take_if(|_| accounts.is_some_and(|accounts| accounts.off));
        }
        let row = match contested {
            true => row,
            false => store::describe(tx, row, &own, now).await?,
        };
        if !contested {
            (live.clock_skew_us, live.clock_clamped) = (skew.micros, skew.clamped);
        }
        store::touch(tx, vec![live.clone()]).await?;
        let tags = tag::of_machines(tx, &ids).await?.remove(&row.machine_id).unwrap_or_default();
        if own.distinct != registration.distinct {
            metrics::counter!("inventory_clones_total").increment(1);
        }
        return Ok(Registered {
            machine: Machine { contested, ..Machine::new(row, Some(live), tags, now) },
            created,
            distinct: own.distinct,
            contested,
        });
    }
    Err(Error::new(Reason::Conflict, "the agent is a clone under every id that it is given").retry_after(AGAIN).into())
}
