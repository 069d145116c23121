//! The retention contract.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use cwpp_access::ops::RetentionServiceOps;
use cwpp_access::{CapabilityScope, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::retention::v1 as wire;
use cwpp_storage::page::{Binding, Page};
use futures::StreamExt;
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ops::{Deletions, Order};
use super::store::Run;

const LIST: &str = "/cwpp.retention.v1.RetentionService/ListDeletions";
/// How far back an effective time may lie.
const PAST: TimeDelta = TimeDelta::hours(24);
/// How often a watched deletion is looked at; another replica may be working on it.
const LOOK: Duration = Duration::from_millis(500);

/// Serves the retention contract.
#[derive(Debug, Clone)]
pub struct RetentionRpc {
    pub(crate) deletions: Deletions,
    pub(crate) shutdown: CancellationToken,
}

impl RetentionRpc {
    fn answer(&self, run: &Run) -> Result<wire::Deletion> {
        Ok(super::wire::deletion(run, &self.deletions.config.budget())?)
    }
}

/// Reads an effective time; every fault becomes a violation.
fn effective(violations: &mut Violations, sent: Option<Timestamp>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let sent = sent?;
    let time = u32::try_from(sent.nanos).ok().and_then(|nanos| DateTime::from_timestamp(sent.seconds, nanos));
    let Some(time) = time.map(|time| time.trunc_subsecs(6)) else {
        violations.push("effective_time", "must be a time");
        return None;
    };
    violations.check(time <= now, "effective_time", "must not be in the future");
    violations.check(time >= now - PAST, "effective_time", "must not be more than 24 hours ago");
    Some(time)
}

fn confirmed(violations: &mut Violations, app_id: u64, confirm: u64) {
    violations.check(app_id == confirm, "confirm_app_id", "must repeat app_id");
}

fn id(text: &str) -> Result<Uuid> {
    let mut violations = Violations::new();
    let id = violations.uuid("deletion_id", text);
    violations.finish()?;
    Ok(id.unwrap_or_default())
}

#[async_trait::async_trait]
impl RetentionServiceOps for RetentionRpc {
    async fn terminate_subscription(
        &self,
        scope: TenantScope,
        request: wire::TerminateSubscriptionRequest,
    ) -> Result<wire::TerminateSubscriptionResponse> {
        let mut violations = Violations::new();
        confirmed(&mut violations, request.app_id, request.confirm_app_id);
        let effective_time = effective(&mut violations, request.effective_time, self.deletions.clock.now());
        violations.finish()?;
        let (cause, validate_only) = (wire::DeletionCause::Termination, request.validate_only);
        let run = self.deletions.terminate(&scope, Order { cause, effective_time, validate_only }).await?;
        Ok(wire::TerminateSubscriptionResponse { deletion: Some(self.answer(&run)?) })
    }

    async fn delete_account(
        &self,
        scope: TenantScope,
        request: wire::DeleteAccountRequest,
    ) -> Result<wire::DeleteAccountResponse> {
        let mut violations = Violations::new();
        confirmed(&mut violations, request.app_id, request.confirm_app_id);
        violations.finish()?;
        let (cause, validate_only) = (wire::DeletionCause::AccountDeletion, request.validate_only);
        let run = self.deletions.terminate(&scope, Order { cause, effective_time: None, validate_only }).await?;
        Ok(wire::DeleteAccountResponse { deletion: Some(self.answer(&run)?) })
    }

    async fn cancel_termination(
        &self,
        scope: TenantScope,
        request: wire::CancelTerminationRequest,
    ) -> Result<wire::CancelTerminationResponse> {
        let run = self.deletions.cancel(&scope, id(&request.deletion_id)?).await?;
        Ok(wire::CancelTerminationResponse { deletion: Some(self.answer(&run)?) })
    }

    async fn get_deletion(
        &self,
        _: CapabilityScope,
        request: wire::GetDeletionRequest,
    ) -> Result<wire::GetDeletionResponse> {
        let run = self.deletions.find(id(&request.deletion_id)?).await?;
        Ok(wire::GetDeletionResponse { deletion: Some(self.answer(&run)?) })
    }

    async fn list_deletions(
        &self,
        scope: SystemScope,
        mut request: wire::ListDeletionsRequest,
    ) -> Result<wire::ListDeletionsResponse> {
        let page = request.page.take();
        let (binding, now) = (Binding::system(LIST, &request), self.deletions.clock.now());
        let keys = self.deletions.db.keys();
        let page = Page::read(keys, page.as_ref(), &binding, now)?;
        let mut runs = self.deletions.list(&scope, &page).await?;
        let next_page_token = page.cut(keys, &mut runs, &binding, now, |run| run.deletion.id)?;
        let deletions = runs.iter().map(|run| self.answer(run)).collect::<Result<_>>()?;
        Ok(wire::ListDeletionsResponse { deletions, next_page_token })
    }

    async fn watch_deletion(
        &self,
        _: CapabilityScope,
        request: wire::WatchDeletionRequest,
    ) -> Result<Outgoing<wire::WatchDeletionResponse>> {
        let id = id(&request.deletion_id)?;
        // Refused before the stream begins where there is none.
        self.deletions.find(id).await?;
        let watch = Watch { service: self.clone(), id, changes: self.deletions.grown.subscribe(), last: None };
        Ok(futures::stream::try_unfold(watch, |watch| watch.next()).boxed())
    }

    async fn retry_deletion(
        &self,
        scope: SystemScope,
        request: wire::RetryDeletionRequest,
    ) -> Result<wire::RetryDeletionResponse> {
        let run = self.deletions.retry(&scope, id(&request.deletion_id)?).await?;
        Ok(wire::RetryDeletionResponse { deletion: Some(self.answer(&run)?) })
    }

    async fn get_certificate(
        &self,
        scope: CapabilityScope,
        request: wire::GetCertificateRequest,
    ) -> Result<wire::GetCertificateResponse> {
        let id = id(&request.deletion_id)?;
        let found = crate::certificate::ops::get(&self.deletions, &scope.system(), id).await?;
        Ok(wire::GetCertificateResponse { certificate: found.body, public_key: found.public_key })
    }

    async fn verify_certificate(
        &self,
        scope: CapabilityScope,
        request: wire::VerifyCertificateRequest,
    ) -> Result<wire::VerifyCertificateResponse> {
        let mut violations = Violations::new();
        violations.length("certificate", &request.certificate, 1, 1 << 20);
        violations.finish()?;
        let verdict = crate::certificate::ops::verify(&self.deletions, &scope.system(), &request.certificate).await?;
        Ok(match verdict {
            Ok(()) => wire::VerifyCertificateResponse { valid: true, problem: String::new() },
            Err(problem) => wire::VerifyCertificateResponse { valid: false, problem },
        })
    }
}

/// A deletion that is watched.
struct Watch {
    service: RetentionRpc,
    id: Uuid,
    changes: tokio::sync::watch::Receiver<u64>,
    last: Option<wire::Deletion>,
}

impl Watch {
    /// Waits for the next change; ends behind the last one.
    async fn next(mut self) -> Result<Option<(wire::WatchDeletionResponse, Self)>> {
        loop {
            if self.last.as_ref().is_some_and(|last| is_over(last.state())) || self.service.shutdown.is_cancelled() {
                return Ok(None);
            }
            let deletion = self.service.answer(&self.service.deletions.find(self.id).await?)?;
            if self.last.as_ref() != Some(&deletion) {
                self.last = Some(deletion.clone());
                return Ok(Some((wire::WatchDeletionResponse { deletion: Some(deletion) }, self)));
            }
            tokio::select! {
                _ = self.changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.service.shutdown.cancelled() => {}
            }
        }
    }
}

fn is_over(state: wire::DeletionState) -> bool {
    matches!(state, wire::DeletionState::Certified | wire::DeletionState::Cancelled)
}
