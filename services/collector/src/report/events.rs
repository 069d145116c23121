//! Sends a spool's events.

use cwpp_chassis::{Reason, status};
use cwpp_contracts::incidents::v1 as incidents;
use serde::Serialize;

use super::{ReportError, Reporter, convert};
use crate::spool::{Spool, SpoolError};

/// So many events travel together; the contract takes at most 1,000.
const BATCH: usize = 500;
/// How often in a row the two sides may disagree about numbers before it is an error.
const DISAGREEMENTS: u32 = 3;

/// What was sent of a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Events that were sent.
    pub events: u64,
    /// Those of them that the server did not have yet.
    pub taken: u64,
    /// Ids of the incidents that they opened or changed, each once.
    pub incident_ids: Vec<String>,
}

impl Reporter {
    /// Sends all events of a spool that the server does not have yet, and acknowledges them. When this fails, what was
    /// acknowledged stays so, and the rest is sent the next time.
    pub async fn send_events(&mut self, spool: &mut Spool) -> Result<Sent, ReportError> {
        let machine_id = self.enrolled()?;
        let mut sent = Sent::default();
        let mut disagreements = 0;
        while let Some(batch) = spool.next_batch(BATCH)? {
            let request = incidents::ReportAuthEventsRequest {
                app_id: self.app_id,
                machine_id: machine_id.clone(),
                spool_id: batch.spool_id.to_string(),
                first_sequence: batch.first_seq,
                events: batch.events.iter().map(convert::event).collect(),
            };
            let next = match self.incidents.report_auth_events(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    sent.events += batch.events.len() as u64;
                    sent.taken += u64::from(answer.taken);
                    for id in answer.incident_ids {
                        if !sent.incident_ids.contains(&id) {
                            sent.incident_ids.push(id);
                        }
                    }
                    answer.next_sequence
                }
                Err(refused) => next_sequence(&refused).ok_or(refused)?,
            };
            if next > batch.first_seq && next <= batch.last_seq() + 1 {
                spool.acknowledge(next - 1)?;
                disagreements = 0;
                continue;
            }
            disagreements += 1;
            if disagreements > DISAGREEMENTS {
                return Err(ReportError::SpoolRefused);
            }
            match spool.rewind_to(next) {
                Ok(()) => {}
                // One side lost what it knew: what waits is sent under new numbers.
                Err(SpoolError::Gone { .. } | SpoolError::Ahead { .. }) => spool.renumber()?,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(sent)
    }
}

/// Where the server wants to go on, if that is why it refused.
fn next_sequence(refused: &tonic::Status) -> Option<u64> {
    (status::reason(refused) == Some(Reason::SpoolGap)).then_some(())?;
    status::metadata(refused).get("next_sequence")?.parse().ok()
}
