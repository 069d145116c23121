//! Steps that delete rows, and the last ones that close.

use std::time::Duration;

use cwpp_chassis::{Error, Reason};
use cwpp_contracts::erasure::v1 as wire;

use super::entity::count;
use super::run::{Halt, Hold, Next, Note};
use super::seal;
use super::state::{State, later};

/// How long a purge waits that was held back.
const THROTTLE: Duration = Duration::from_secs(2);

/// Deletes for a while in the first service that is not empty yet.
pub async fn purging(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    seal::unbraked(hold)?;
    let tenant = hold.known_tenant().await?;
    let Some(at) = hold.run.services.iter().position(|service| !service.purged) else { return purged(hold).await };
    let service = hold.run.services[at].clone();
    let missing = || Halt::Blocked(format!("{}: not configured", service.service));
    let peer = hold.desk.peers.named(&service.service).cloned().ok_or_else(missing)?;
    let (budget, pause) = (hold.desk.config.purge.call, pause(hold));
    match peer.erase(tenant, hold.token(), service.epoch, budget, pause, false).await {
        Ok(erased) => {
            note_counts(hold, &service.service, &erased.deleted);
            hold.run.services[at].purged = !erased.more;
            if hold.state()? == State::Throttled {
                hold.enter(State::Purging);
                hold.save(Note::default()).await?;
            }
            if hold.run.services.iter().all(|service| service.purged) {
                return purged(hold).await;
            }
            hold.save(Note::default()).await?;
            Ok(Next::Again)
        }
        Err(e) if unsealed(&e) => seal::seal_anew(hold, &service.service).await,
        Err(e) if e.reason() == Reason::Overloaded => {
            // One entry in the ledger, however long the service stays busy.
            if hold.state()? != State::Throttled {
                hold.enter(State::Throttled);
            }
            let wait = e.retry_delay().unwrap_or(THROTTLE).max(THROTTLE);
            let detail = Some(format!("{}: busy", service.service));
            hold.save(Note { detail, wait: Some(wait), ..Note::default() }).await?;
            Ok(Next::Rest)
        }
        Err(e) => Err(Halt::service(peer.name, &e)),
    }
}

/// Says whether a service has lost the seal, or the tenant with it.
fn unsealed(error: &Error) -> bool {
    matches!(error.reason(), Reason::EpochMismatch | Reason::TenantUnknown)
}

/// All services say that nothing is left: another claim counts.
async fn purged(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    hold.run.deletion.purged_time = Some(hold.desk.clock.now());
    hold.run.deletion.purge_token = hold.token();
    hold.enter(State::Verifying);
    hold.save(Note::default()).await?;
    Ok(Next::Rest)
}

/// The pause between chunks: whole while there is all the time of the purge, none at its end.
fn pause(hold: &Hold<'_>) -> Duration {
    let (pause, window) = (hold.desk.config.purge.pause, hold.desk.config.deletion.purge);
    let end = later(hold.run.deletion.effective_time, hold.desk.config.deletion.grace + window);
    let left = (end - hold.desk.clock.now()).to_std().unwrap_or_default().min(window);
    if window.is_zero() { Duration::ZERO } else { pause.mul_f64(left.as_secs_f64() / window.as_secs_f64()) }
}

fn note_counts(hold: &mut Hold<'_>, service: &str, deleted: &[wire::TableCount]) {
    let id = hold.run.deletion.id;
    for table in deleted {
        let name: String = table.table.chars().take(64).collect();
        let rows = i64::try_from(table.rows).unwrap_or(i64::MAX);
        let known = hold.run.counts.iter_mut().find(|count| count.service == service && count.table_name == name);
        match known {
            // The service counts from the purge's beginning; what it has said once stays said.
            Some(count) => count.row_count = count.row_count.max(rows),
            None => hold.run.counts.push(count::Model {
                deletion_id: id,
                service: service.to_owned(),
                table_name: name,
                data_class: i16::try_from(table.data_class).unwrap_or_default(),
                row_count: rows,
            }),
        }
    }
}

/// Removes the fence rows, the own one last, and certifies.
pub async fn closing(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    let Some(at) = hold.run.services.iter().position(|service| !service.closed) else {
        hold.certify().await?;
        return Ok(Next::Rest);
    };
    let service = hold.run.services[at].clone();
    let Some(tenant) = hold.tenant().await? else {
        // The own row goes last: whoever closed it died before it wrote that down.
        if service.service != crate::peer::OWN {
            return Err(hold.known_tenant().await.err().unwrap_or(Halt::Lost));
        }
        hold.run.services[at].closed = true;
        hold.save(Note::default()).await?;
        return Ok(Next::Again);
    };
    let missing = || Halt::Blocked(format!("{}: not configured", service.service));
    let peer = hold.desk.peers.named(&service.service).cloned().ok_or_else(missing)?;
    let budget = hold.desk.config.purge.call;
    match peer.erase(tenant, hold.token(), service.epoch, budget, Duration::ZERO, true).await {
        Ok(erased) => {
            hold.run.services[at].closed = erased.closed;
            hold.save(Note::default()).await?;
            Ok(Next::Again)
        }
        Err(e) if unsealed(&e) => seal::seal_anew(hold, &service.service).await,
        // A row came in after the last count.
        Err(e) if e.reason() == Reason::InvalidTransition => {
            super::verify::purge_again(hold, format!("{}: rows left at the close", service.service)).await
        }
        Err(e) => Err(Halt::service(peer.name, &e)),
    }
}
