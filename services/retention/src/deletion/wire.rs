//! Between stored deletions and the contract.

use chrono::{DateTime, Utc};
use cwpp_contracts::retention::v1 as wire;
use cwpp_storage::StoreResult;
use prost_types::Timestamp;

use super::state::Budget;
use super::store::Run;

/// Writes a time as the contract does.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // Below 10^9, so it fits.
    Timestamp { seconds: time.timestamp(), nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default() }
}

/// Writes a deletion as the contract does.
pub fn deletion(run: &Run, budget: &Budget) -> StoreResult<wire::Deletion> {
    let state = run.state()?;
    let row = &run.deletion;
    let services = run.services.iter().map(|service| wire::ServiceProgress {
        service: service.service.clone(),
        epoch: service.epoch.unsigned_abs(),
        rows_deleted: run
            .counts
            .iter()
            .filter(|count| count.service == service.service)
            .map(|count| count.row_count.unsigned_abs())
            .sum(),
        verified: service.verified,
    });
    Ok(wire::Deletion {
        deletion_id: if row.id.is_nil() { String::new() } else { row.id.to_string() },
        incarnation: row.incarnation.to_string(),
        cause: i32::from(row.cause),
        state: state.to_wire().into(),
        stalled: row.stalled,
        blocker: row.blocker.clone(),
        effective_time: Some(timestamp(row.effective_time)),
        state_time: Some(timestamp(row.state_time)),
        state_deadline: Some(timestamp(budget.leave_by(state, row.effective_time))),
        deadline: Some(timestamp(budget.deadline(row.effective_time))),
        services: services.collect(),
    })
}
