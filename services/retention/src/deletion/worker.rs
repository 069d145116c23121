//! The worker: finds deletions that are due, claims each, and takes it as many steps as there are.

use std::collections::HashMap;

use cwpp_chassis::Error;
use cwpp_chassis::telemetry::Trouble;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ops::Deletions;
use super::run::{Halt, Hold, Next, scope};
use super::state::State;
use super::{purge, seal, store, verify};

/// Deletions looked at per round.
const BATCH: u64 = 64;

/// The job: until the shutdown, finds what is due and works on it.
pub async fn run(desk: Deletions, shutdown: CancellationToken) {
    let mut trouble = Trouble::of("deletion-worker");
    let mut working: JoinSet<Uuid> = JoinSet::new();
    let mut taken: HashMap<Uuid, tokio::task::Id> = HashMap::new();
    while !shutdown.is_cancelled() {
        let (dialect, now) = (desk.db.dialect(), desk.clock.now());
        let due = desk.db.system_read(&scope(), |on| async move { store::due(&on, dialect, now, BATCH).await }).await;
        trouble.hear(&due);
        for due in due.unwrap_or_default() {
            if working.len() >= desk.config.worker.parallel || taken.contains_key(&due.id) {
                continue;
            }
            let (desk, shutdown) = (desk.clone(), shutdown.clone());
            let handle = working.spawn(async move {
                work(&desk, due, &shutdown).await;
                due.id
            });
            taken.insert(due.id, handle.id());
        }
        observe(&desk).await;
        tokio::select! {
            Some(done) = working.join_next() => {
                match done {
                    Ok(id) => { taken.remove(&id); }
                    // A step that panicked: its lease runs out, and it is tried again.
                    Err(e) => { taken.retain(|_, task| *task != e.id()); }
                }
            }
            () = desk.wake.notified() => {}
            () = desk.clock.tick(desk.config.worker.poll) => {}
            () = shutdown.cancelled() => {}
        }
    }
    while working.join_next().await.is_some() {}
}

/// Claims a deletion and takes it on until there is nothing more to do now.
async fn work(desk: &Deletions, due: store::Due, shutdown: &CancellationToken) {
    let mut hold = match Hold::claim(desk, due).await {
        Ok(Some(hold)) => hold,
        Ok(None) => return,
        Err(e) => return tracing::warn!(incarnation = %due.incarnation, error = %e, "a deletion cannot be claimed"),
    };
    let ended = steps(&mut hold, shutdown).await;
    if let Err(Halt::Failed(e)) = &ended {
        tracing::warn!(incarnation = %due.incarnation, error = ?e, "a step of a deletion failed");
    }
    if let Err(e) = hold.release().await {
        tracing::debug!(error = %e, "a lease could not be given back");
    }
    // A claim of its own for what comes next, at once.
    if ended.is_ok() {
        desk.wake.notify_one();
    }
}

async fn steps(hold: &mut Hold<'_>, shutdown: &CancellationToken) -> Result<(), Halt> {
    loop {
        hold.renew().await?;
        match step(hold).await {
            Ok(Next::Again) if !shutdown.is_cancelled() => {}
            Ok(_) => return Ok(()),
            Err(Halt::Blocked(blocker)) => {
                hold.renew().await?;
                return hold.stall(&blocker).await;
            }
            Err(other) => return Err(other),
        }
    }
}

/// One step. Each can be repeated: what it does elsewhere is idempotent, what it did is written down at its end.
pub async fn step(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    match hold.state()? {
        State::Scheduled => seal::scheduled(hold).await,
        State::Sealing => seal::sealing(hold).await,
        State::Sealed => seal::sealed(hold).await,
        State::Purging | State::Throttled => purge::purging(hold).await,
        State::Verifying => verify::verifying(hold).await,
        State::ResidueWait => verify::residue_wait(hold).await,
        State::Cancelled => seal::cancelled(hold).await,
        State::Certified => Ok(Next::Rest),
    }
}

/// Shows how deletions stand: per state, how many are stalled or late, and the least time left to any.
async fn observe(desk: &Deletions) {
    let running = desk.db.system_read(&scope(), |on| async move { store::all_running(&on, 10_000).await }).await;
    let running = match running {
        Ok(running) => running,
        Err(e) => return report(&e),
    };
    let (now, budget) = (desk.clock.now(), desk.config.budget());
    for state in State::ALL.into_iter().filter(|state| !state.is_over()) {
        let there = running.iter().filter(|row| row.state == state.number()).count();
        metrics::gauge!("retention_deletions", "state" => state.name()).set(there as f64);
    }
    let stalled = running.iter().filter(|row| row.stalled).count();
    let late = running.iter().filter(|row| {
        State::from_number(row.state).is_some_and(|state| budget.leave_by(state, row.effective_time) < now)
    });
    let left = running.iter().map(|row| (budget.deadline(row.effective_time) - now).num_seconds()).min();
    metrics::gauge!("retention_deletions_stalled").set(stalled as f64);
    metrics::gauge!("retention_deletions_late").set(late.count() as f64);
    metrics::gauge!("retention_deadline_seconds").set(left.map_or(f64::INFINITY, |left| left as f64));
}

fn report(error: &Error) {
    tracing::debug!(error = %error, "running deletions cannot be counted");
}
