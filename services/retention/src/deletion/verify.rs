//! Steps that count what is left: under another claim than the purge's, and by the databases' own catalogues.

use cwpp_chassis::Error;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::erasure::v1::CountRowsResponse;
use futures::future::join_all;

use super::run::{Halt, Hold, Next, Note};
use super::seal;
use super::state::{State, later};
use crate::peer::Tenant;

/// What a pass over all services found.
enum Pass {
    /// Nothing anywhere.
    Clean(Vec<CountRowsResponse>),
    /// Rows; the text names service, table and number.
    Rows(String),
    /// A service that is not sealed as it should be.
    Unsealed(String),
}

/// Counts twice, the passes further apart than the longest transaction.
pub async fn verifying(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    if hold.token() <= hold.run.deletion.purge_token {
        // Under the purge's own token nothing is verified.
        return Ok(Next::Rest);
    }
    let tenant = hold.known_tenant().await?;
    let counted = match pass(hold, tenant).await? {
        Pass::Clean(counted) => counted,
        Pass::Rows(found) => return purge_again(hold, found).await,
        Pass::Unsealed(service) => return seal::seal_anew(hold, &service).await,
    };
    let gap = hold.desk.config.verify.gap;
    let apart = i64::try_from(gap.as_micros()).unwrap_or(i64::MAX);
    let mut second = true;
    for (service, counted) in hold.run.services.iter_mut().zip(&counted) {
        let now = micros(counted);
        // Another server than in the first pass: what that one said does not count.
        let same = service.server_id == counted.server_id;
        match service.passed_micros.filter(|first| same && *first <= now) {
            Some(first) => second &= now - first >= apart,
            None => {
                service.passed_micros = Some(now);
                second = false;
            }
        }
        service.tables_counted = i64::try_from(counted.tables.len()).unwrap_or(i64::MAX);
        service.registry_hash = counted.registry_hash.chars().take(64).collect();
        service.server_id = counted.server_id.chars().take(64).collect();
    }
    if !second {
        hold.save(Note { wait: Some(gap), ..Note::default() }).await?;
        return Ok(Next::Rest);
    }
    hold.run.services.iter_mut().for_each(|service| service.verified = true);
    hold.run.deletion.verified_time = Some(hold.desk.clock.now());
    hold.enter(State::ResidueWait);
    hold.run.deletion.due_time = Some(residue_end(hold));
    hold.save(Note::default()).await?;
    Ok(Next::Rest)
}

/// Waits until no copy holds the data any more, counts once more, and closes.
pub async fn residue_wait(hold: &mut Hold<'_>) -> Result<Next, Halt> {
    let end = residue_end(hold);
    if hold.desk.clock.now() < end {
        hold.run.deletion.due_time = Some(end);
        hold.save(Note::default()).await?;
        return Ok(Next::Rest);
    }
    if hold.run.deletion.confirmed_time.is_some() {
        return super::purge::closing(hold).await;
    }
    let tenant = hold.known_tenant().await?;
    match pass(hold, tenant).await? {
        Pass::Clean(_) => {
            hold.run.deletion.confirmed_time = Some(hold.desk.clock.now());
            hold.save(Note::default()).await?;
            Ok(Next::Again)
        }
        Pass::Rows(found) => purge_again(hold, found).await,
        Pass::Unsealed(service) => seal::seal_anew(hold, &service).await,
    }
}

fn residue_end(hold: &Hold<'_>) -> chrono::DateTime<chrono::Utc> {
    let row = &hold.run.deletion;
    later(row.purged_time.unwrap_or(row.state_time), hold.desk.config.backup.horizon())
}

/// Goes back to PURGING and names where the rows were.
pub async fn purge_again(hold: &mut Hold<'_>, found: String) -> Result<Next, Halt> {
    tracing::error!(incarnation = %hold.run.deletion.incarnation, found, "rows were found after the purge: something writes past the fence");
    metrics::counter!("retention_rows_after_purge_total").increment(1);
    hold.start_over();
    hold.enter(State::Purging);
    hold.save(Note { detail: Some(found), ..Note::default() }).await?;
    Ok(Next::Again)
}

/// Counts in every service at once.
async fn pass(hold: &Hold<'_>, tenant: Tenant) -> Result<Pass, Halt> {
    let time = hold.desk.config.purge.call;
    let counted = join_all(hold.run.services.iter().map(|service| {
        let peer = hold.desk.peers.named(&service.service).cloned();
        async move {
            let peer = peer.ok_or_else(|| Halt::Blocked(format!("{}: not configured", service.service)))?;
            peer.count_rows(tenant, time).await.map_err(|e: Error| Halt::service(peer.name, &e))
        }
    }))
    .await;
    let counted = counted.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (service, counted) in hold.run.services.iter().zip(&counted) {
        let sealed = counted.fence.as_ref().is_some_and(|fence| {
            fence.state() == TenantState::Sealed && i64::try_from(fence.epoch) == Ok(service.epoch)
        });
        // What is closed has no fence any more.
        if !sealed && !service.closed {
            return Ok(Pass::Unsealed(service.service.clone()));
        }
    }
    let rows: Vec<String> = (hold.run.services.iter().zip(&counted))
        .flat_map(|(service, counted)| {
            let left = counted.tables.iter().filter(|table| table.rows > 0);
            left.map(move |table| format!("{}.{}: {} rows", service.service, table.table, table.rows))
        })
        .collect();
    Ok(if rows.is_empty() { Pass::Clean(counted) } else { Pass::Rows(rows.join(", ")) })
}

fn micros(counted: &CountRowsResponse) -> i64 {
    let time = counted.database_time.unwrap_or_default();
    time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1000)
}
