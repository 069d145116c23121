//! Steps up to the seal, and back from a cancelled deletion.

use cwpp_chassis::{Error, Reason};
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::erasure::v1 as wire;
use futures::future::join_all;

use super::run::{Halt, Hold, Next, Note};
use super::state::{State, later};
use crate::peer::{Peer, Tenant};

/// Moves the fence of one service. A service that has not seen the tenant yet is told of it first: with the fence row
/// there, a late opening finds it fenced.
async fn fence(peer: &Peer, tenant: Tenant, state: TenantState, token: i64) -> Result<wire::Fence, Error> {
    match peer.fence(tenant, state, token).await {
        Err(e) if matches!(e.reason(), Reason::TenantUnknown | Reason::TenantOpening | Reason::InvalidTransition) => {
            peer.open(tenant).await?;
            peer.fence(tenant, state, token).await
        }
        other => other,
    }
}

/// Waits for the end of the grace, with writes refused everywhere.
pub async fn scheduled(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    let now = hold.desk.clock.now();
    let end = later(hold.run.deletion.effective_time, hold.desk.config.deletion.grace);
    if now >= end {
        unbraked(hold)?;
        hold.run.deletion.sealing_time = Some(now);
        hold.enter(State::Sealing);
        let moved = hold.save(Note { seals: true, ..Note::default() }).await;
        if matches!(moved, Err(Halt::Blocked(_))) {
            // Not sealed: what is written next is the state as it was.
            hold.back_to_stored();
            hold.run.deletion.sealing_time = None;
        }
        return moved.map(|()| Next::Again);
    }
    let tenant = hold.known_tenant().await?;
    let blocked = fence_all(hold, tenant, TenantState::ReadOnly).await;
    hold.run.deletion.due_time = Some(if blocked.is_none() { end } else { now });
    match blocked {
        Some(halt) => Err(halt),
        None => hold.save(Note::default()).await.map(|()| Next::Rest),
    }
}

/// Seals the tenant in every service.
pub async fn sealing(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    unbraked(hold)?;
    let tenant = hold.known_tenant().await?;
    if let Some(halt) = fence_all(hold, tenant, TenantState::Sealed).await {
        return Err(halt);
    }
    hold.run.deletion.sealed_time = Some(hold.desk.clock.now());
    hold.enter(State::Sealed);
    hold.save(Note::default()).await?;
    Ok(Next::Again)
}

/// Asks every service again: one that came up on a server without the seal shows another epoch.
pub async fn sealed(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    let tenant = hold.known_tenant().await?;
    let before: Vec<i64> = hold.run.services.iter().map(|service| service.epoch).collect();
    if let Some(halt) = fence_all(hold, tenant, TenantState::Sealed).await {
        return Err(halt);
    }
    let lost = hold.run.services.iter().zip(before).find(|(service, epoch)| service.epoch != *epoch);
    if let Some(service) = lost.map(|(service, _)| service.service.clone()) {
        return seal_anew(hold, &service).await;
    }
    hold.enter(State::Purging);
    hold.save(Note::default()).await?;
    Ok(Next::Again)
}

/// Goes back to SEALING, because a service does not stand at the epoch that it was sealed at.
pub async fn seal_anew(hold: &mut Hold<'_>, service: &str) -> Result<Next, Halt> {
    hold.start_over();
    hold.enter(State::Sealing);
    let detail = format!("{service}: not sealed at the expected epoch");
    tracing::warn!(incarnation = %hold.run.deletion.incarnation, service, "the seal was lost and is set anew");
    hold.save(Note { detail: Some(detail), ..Note::default() }).await?;
    Ok(Next::Again)
}

/// Lifts READ_ONLY everywhere after a cancellation.
pub async fn cancelled(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    let tenant = hold.known_tenant().await?;
    let token = hold.token();
    let peers = hold.desk.peers.clone();
    let lifted = join_all(hold.run.services.iter_mut().map(|service| {
        let peer = peers.named(&service.service).cloned();
        async move {
            // Also where READ_ONLY is not known to have arrived: the call may have, its answer not.
            let peer = peer?;
            match peer.unfence(tenant, token).await {
                Ok(()) => {}
                Err(e) if e.reason() == Reason::TenantUnknown => {}
                Err(e) => return Some(Halt::service(peer.name, &e)),
            }
            service.fenced = false;
            None
        }
    }))
    .await;
    match lifted.into_iter().flatten().next() {
        Some(halt) => Err(halt),
        None => {
            hold.run.deletion.due_time = None;
            hold.save(Note::default()).await?;
            Ok(Next::Rest)
        }
    }
}

/// Moves the fence in every service at once and notes what answered; returns the first that did not.
async fn fence_all(hold: &mut Hold<'_>, tenant: Tenant, state: TenantState) -> Option<Halt> {
    let token = hold.token();
    let peers = hold.desk.peers.clone();
    // A service that is closed has no fence any more; it is closed for good.
    let open = hold.run.services.iter_mut().filter(|service| !service.closed);
    let moved = join_all(open.map(|service| {
        let peer = peers.named(&service.service).cloned();
        async move {
            let Some(peer) = peer else { return Some(Halt::Blocked(format!("{}: not configured", service.service))) };
            match fence(&peer, tenant, state, token).await {
                Ok(fence) => {
                    service.fenced = true;
                    if state == TenantState::Sealed {
                        service.epoch = i64::try_from(fence.epoch).unwrap_or_default();
                    }
                    None
                }
                Err(e) => Some(Halt::service(peer.name, &e)),
            }
        }
    }))
    .await;
    moved.into_iter().flatten().next()
}

/// Refuses while everything is paused.
pub fn unbraked(hold: &Hold<'_>) -> Result<(), Halt> {
    match hold.desk.config.brakes.paused {
        true => Err(Halt::Blocked("brakes: paused".to_owned())),
        false => Ok(()),
    }
}
