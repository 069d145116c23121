//! What callers may do with deletions, and what the worker shares with them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::scope::tenant_unknown;
use cwpp_access::{Job, SystemScope, TenantScope};
use cwpp_chassis::{Clock, Error, Reason, Result, deadline};
use cwpp_contracts::retention::v1::DeletionCause;
use cwpp_storage::{Db, OrRefuse, State as FenceState, page::Page};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::entity::{deletion, service};
use super::run::entry;
use super::state::State;
use super::store::{self, Run};
use crate::certificate::{PublicKey, Signer};
use crate::config::Config;
use crate::ledger;
use crate::peer::Peers;

/// How long a call waits for every service to have taken a new or a cancelled deletion in.
const PATIENCE: Duration = Duration::from_secs(3);

/// Deletions, and all that is needed to work on them. Clones share it.
#[derive(Clone)]
pub struct Deletions {
    pub(crate) db: Db,
    pub(crate) peers: Peers,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
    pub(crate) signer: Signer,
    /// Keys that verify: the signer's, and former ones.
    pub(crate) keys: Arc<[PublicKey]>,
    /// Wakes the worker.
    pub(crate) wake: Arc<Notify>,
    /// Rises with each change of a deletion in this process.
    pub(crate) grown: watch::Sender<u64>,
}

impl std::fmt::Debug for Deletions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deletions").field("signer", &self.signer).finish_non_exhaustive()
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Why.
    pub cause: DeletionCause,
    /// T0; none means now.
    pub effective_time: Option<DateTime<Utc>>,
    /// Only to look, not to start.
    pub validate_only: bool,
}

fn scope() -> SystemScope {
    SystemScope::job(Job::Deletions)
}

/// The answer for a deletion that does not exist, or is another tenant's.
pub fn deletion_unknown() -> Error {
    Error::new(Reason::DeletionUnknown, "there is no such deletion")
}

impl Deletions {
    /// Tells watchers and the ledger's export that something changed.
    pub(super) fn announce(&self) {
        self.grown.send_modify(|count| *count += 1);
    }

    /// Reads a deletion.
    pub async fn find(&self, id: Uuid) -> Result<Run> {
        let found = self.db.system_read(&scope(), |on| async move { store::get(&on, id).await }).await?;
        found.ok_or_else(deletion_unknown)
    }

    /// Starts the deletion of a tenant, or finds the one that goes on.
    pub async fn terminate(&self, scope: &TenantScope, order: Order) -> Result<Run> {
        let fence = self.fence(scope).await?;
        if let Some(run) = self.running(fence.incarnation).await? {
            return Ok(run);
        }
        let run = self.new_run(fence.incarnation, order);
        if order.validate_only {
            // It is none yet, so it has no id to fetch anything with.
            let deletion = deletion::Model { id: Uuid::nil(), ..run.deletion };
            return match fence.state {
                FenceState::Opening => Err(Error::new(Reason::TenantOpening, "the tenant is being opened")),
                _ => Ok(Run { deletion, ..run }),
            };
        }
        let started = self
            .db
            .write(scope, |tx| {
                let mut run = run.clone();
                async move {
                    // The life that the lock shows decides.
                    run.deletion.incarnation = tx.incarnation();
                    run.deletion.running_of = Some(tx.incarnation());
                    let head = ledger::store::lock(&tx).await?;
                    store::supersede(&tx, tx.incarnation()).await?;
                    let taken = || Error::new(Reason::AlreadyExists, "a deletion of the tenant goes on already");
                    store::create(&tx, run.clone()).await.or_exists(taken)?;
                    ledger::store::append(&tx, head, entry(&run, State::Scheduled, None, None)).await?;
                    Ok(run)
                }
            })
            .await;
        match started {
            Ok(run) => {
                tracing::info!(incarnation = %run.deletion.incarnation, "a deletion is scheduled");
                self.announce();
                self.settle(run.deletion.id, |run| run.services.iter().all(|service| service.fenced)).await
            }
            // Another call came first; or it did so long ago that writes are refused already.
            Err(e) if matches!(e.reason(), Reason::AlreadyExists | Reason::TenantReadOnly | Reason::TenantFenced) => {
                self.running(fence.incarnation).await?.ok_or(e)
            }
            Err(e) => Err(e),
        }
    }

    /// Calls a deletion off while it is SCHEDULED.
    pub async fn cancel(&self, scope: &TenantScope, id: Uuid) -> Result<Run> {
        let fence = self.fence(scope).await?;
        let run = self.find(id).await?;
        if run.deletion.incarnation != fence.incarnation {
            return Err(deletion_unknown());
        }
        if run.state()? == State::Cancelled {
            return Ok(run);
        }
        let now = self.clock.now();
        let cancelled = self
            .db
            .write_while_closing(scope, |tx| async move {
                let head = ledger::store::lock(&tx).await?;
                let mut run = store::get(&tx, id).await?.ok_or_else(deletion_unknown)?;
                let state = run.state()?;
                if !state.may_become(State::Cancelled) {
                    return Err(too_late(state).into());
                }
                let row = &mut run.deletion;
                (row.state, row.state_time, row.due_time) = (State::Cancelled.number(), now, Some(now));
                (row.running_of, row.stalled, row.attempt, row.retry_micros) = (None, false, 0, 0);
                row.blocker.clear();
                ledger::store::append(&tx, head, entry(&run, State::Cancelled, None, None)).await?;
                if !store::update(&tx, &run).await? {
                    return Err(Error::new(Reason::Conflict, "the deletion was changed meanwhile").into());
                }
                Ok(())
            })
            .await;
        match cancelled {
            Ok(()) => {}
            Err(e) if e.reason() == Reason::TenantFenced => return Err(too_late(State::Sealing)),
            Err(e) => return Err(e),
        }
        tracing::info!(incarnation = %run.deletion.incarnation, "a deletion is cancelled");
        self.announce();
        self.settle(id, |run| run.deletion.due_time.is_none()).await
    }

    /// Wakes a stalled deletion at once.
    pub async fn retry(&self, scope: &SystemScope, id: Uuid) -> Result<Run> {
        let run = self.find(id).await?;
        if !run.deletion.stalled {
            return match run.state()? {
                state if state.is_over() => {
                    Err(Error::new(Reason::InvalidTransition, "the deletion is over").with("state", state))
                }
                _ => Ok(run),
            };
        }
        self.db.system(scope, |tx| async move { store::retry(&tx, id).await }).await?;
        self.wake.notify_one();
        Ok(run)
    }

    /// Lists deletions, the newest first.
    pub async fn list(&self, scope: &SystemScope, page: &Page<Uuid>) -> Result<Vec<Run>> {
        let (after, limit) = (page.after, page.limit());
        self.db.system_read(scope, |on| async move { store::list(&on, after, limit).await }).await
    }

    /// Reads a tenant's fence here; without one the tenant is unknown.
    async fn fence(&self, tenant: &TenantScope) -> Result<store::Fence> {
        let app_id = tenant.app_id();
        let fence = self.db.system_read(&scope(), |on| async move { store::fence(&on, app_id).await }).await?;
        fence.ok_or_else(tenant_unknown)
    }

    async fn running(&self, incarnation: Uuid) -> Result<Option<Run>> {
        self.db.system_read(&scope(), |on| async move { store::running(&on, incarnation).await }).await
    }

    fn new_run(&self, incarnation: Uuid, order: Order) -> Run {
        let (id, now) = (Uuid::now_v7(), self.clock.now());
        let services = self.peers.all().iter().map(|peer| service::Model {
            deletion_id: id,
            service: peer.name.to_owned(),
            fenced: false,
            epoch: 0,
            purged: false,
            passed_micros: None,
            verified: false,
            closed: false,
            tables_counted: 0,
            registry_hash: String::new(),
            server_id: String::new(),
        });
        Run {
            services: services.collect(),
            counts: Vec::new(),
            deletion: deletion::Model {
                id,
                incarnation,
                running_of: Some(incarnation),
                cause: i16::try_from(order.cause as i32).unwrap_or_default(),
                state: State::Scheduled.number(),
                stalled: false,
                blocker: String::new(),
                effective_time: order.effective_time.unwrap_or(now),
                request_time: now,
                state_time: now,
                due_time: Some(now),
                retry_micros: 0,
                attempt: 0,
                token: 0,
                purge_token: 0,
                sealing_time: None,
                sealed_time: None,
                purged_time: None,
                verified_time: None,
                confirmed_time: None,
                certified_time: None,
                version: 1,
            },
        }
    }

    /// Wakes the worker, and waits a while for it to have told every service: who is answered then sees writes refused
    /// (or admitted) everywhere. Where a service is away the answer says so, and the worker goes on.
    async fn settle(&self, id: Uuid, done: impl Fn(&Run) -> bool) -> Result<Run> {
        let left = deadline::remaining().map_or(PATIENCE, |left| (left / 2).min(PATIENCE));
        let until = tokio::time::Instant::now() + left;
        self.wake.notify_one();
        let mut changes = self.grown.subscribe();
        loop {
            let run = self.find(id).await?;
            if done(&run) || run.deletion.stalled || tokio::time::Instant::now() >= until {
                return Ok(run);
            }
            // Another replica's worker may be the one; it is not heard of here.
            let look = tokio::time::Instant::now() + Duration::from_millis(100);
            let _ = tokio::time::timeout_at(look.min(until), changes.changed()).await;
        }
    }
}

fn too_late(state: State) -> Error {
    Error::new(Reason::InvalidTransition, format!("a deletion can be cancelled while it is SCHEDULED; it is {state}"))
        .with("state", state)
}
