//! The report of the classes: negotiate, then stream what the server wants.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::inventory::v1 as inventory;
use inventory::report_assets_request as stream;
use prost::Message;
use tokio::time::Instant;

use super::prepare::{Part, REPORT_BYTES, REPORT_ITEMS, Ready, prepare};
use super::{ClassReport, Report, ReportError, Reporter, Wanted, convert};
use crate::Snapshot;
use crate::class::{Class, Outcome};

/// How often a question or a report is made because the server was busy, or a newer report or a restart made its token
/// worthless.
const ATTEMPTS: u32 = 3;

/// How long what was refused is not offered again.
const REFUSED: Duration = Duration::from_secs(86_400);

/// What the server refused of a class.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    digest: Vec<u8>,
    reason: String,
    at: Instant,
}

/// Whose report it is, and of when.
#[derive(Clone, Copy)]
struct Addressed<'a> {
    machine_id: &'a str,
    at: DateTime<Utc>,
}

/// What the server made of a report, or of a part of it.
#[derive(Default)]
struct Answer {
    results: HashMap<Class, ClassReport>,
    intervals: HashMap<Class, Duration>,
    clock_clamped: bool,
}

impl Answer {
    fn add(&mut self, other: Answer) {
        self.results.extend(other.results);
        self.intervals.extend(other.intervals);
        self.clock_clamped |= other.clock_clamped;
    }
}

impl Reporter {
    /// Asks which classes the tenant wants, before they are read. What the server makes of one about which it cannot be asked,
    /// its report hears.
    pub async fn ask(&mut self, classes: &[Class], now: DateTime<Utc>) -> Result<Wanted, ReportError> {
        let machine_id = self.enrolled()?;
        self.settled()?;
        let to = Addressed { machine_id: &machine_id, at: now };
        let mut wanted = Wanted::default();
        match self.ask_of(to, classes, &mut wanted).await {
            Err(e) if is_of_content(&e) => {
                for class in classes {
                    match self.ask_of(to, &[*class], &mut wanted).await {
                        Err(e) if is_of_content(&e) => wanted.on.push(*class),
                        asked => asked?,
                    }
                }
            }
            asked => asked?,
        }
        if classes.contains(&Class::Account) {
            self.accounts_off = wanted.off.contains(&Class::Account);
        }
        Ok(wanted)
    }

    async fn ask_of(&self, to: Addressed<'_>, classes: &[Class], wanted: &mut Wanted) -> Result<(), ReportError> {
        let offers = classes
            .iter()
            .map(|class| inventory::ClassDigest { asset_class: convert::class(*class).into(), ..Default::default() });
        let offers: Vec<_> = offers.collect();
        let answer = retried(|| self.negotiate(to, offers.clone(), Vec::new())).await?;
        for (class, decision) in classes.iter().zip(&answer.decisions) {
            wanted.intervals.extend(interval(decision).map(|interval| (*class, interval)));
            match decision.decision() {
                inventory::Decision::Disabled => wanted.off.push(*class),
                _ => wanted.on.push(*class),
            }
        }
        Ok(())
    }

    async fn negotiate(
        &self,
        to: Addressed<'_>,
        classes: Vec<inventory::ClassDigest>,
        unread: Vec<inventory::UnreadClass>,
    ) -> Result<inventory::NegotiateReportResponse, ReportError> {
        let request = inventory::NegotiateReportRequest {
            app_id: self.app_id,
            machine_id: to.machine_id.to_owned(),
            classes,
            observed_time: Some(convert::time(to.at)),
            instance_nonce: self.nonce.to_vec(),
            unread,
        };
        Ok(self.assets.clone().negotiate_report(request).await?.into_inner())
    }

    /// Reports the classes of a snapshot, in as few reports as they fit in. One that the server refuses is told as not read, and
    /// keeps no other back.
    pub async fn report(&mut self, snapshot: &Snapshot) -> Result<Report, ReportError> {
        let machine_id = self.enrolled()?;
        self.settled()?;
        let to = Addressed { machine_id: &machine_id, at: snapshot.collected_at };
        let mut answer = Answer::default();
        let (mut batch, mut items, mut bytes) = (Vec::new(), 0, 0);
        for class in &snapshot.classes {
            let part = self.unless_refused(prepare(class), &mut answer);
            let (more_items, more_bytes) = part.ready.as_ref().map_or((0, 0), |ready| (ready.items, ready.bytes));
            if items + more_items > REPORT_ITEMS || bytes + more_bytes > REPORT_BYTES {
                answer.add(self.send_batch(to, &std::mem::take(&mut batch)).await?);
                (items, bytes) = (0, 0);
            }
            (items, bytes) = (items + more_items, bytes + more_bytes);
            batch.extend(Some(part).filter(|part| !part.is_empty()));
        }
        answer.add(self.send_batch(to, &batch).await?);
        let Answer { mut results, intervals, clock_clamped } = answer;
        if let Some(accounts) = results.get(&Class::Account) {
            self.accounts_off = *accounts == ClassReport::Disabled;
        }
        for class in &snapshot.classes {
            if let Outcome::Unreadable { reason } | Outcome::NotPresent { reason } = &class.outcome {
                results.insert(class.class, ClassReport::NotRead { reason: reason.clone() });
            }
        }
        let classes = snapshot.classes.iter();
        let classes = classes.filter_map(|class| Some((class.class, results.remove(&class.class)?))).collect();
        Ok(Report { classes, clock_clamped, intervals })
    }

    /// What was refused is not offered again for a day while it is the same, and told as not read.
    fn unless_refused(&self, part: Part, answer: &mut Answer) -> Part {
        let digest = part.ready.as_ref().map(|ready| &ready.digest.digest);
        let refusal = self.refused.get(&part.class).filter(|refusal| digest == Some(&refusal.digest));
        let Some(Refusal { reason, .. }) = refusal.filter(|refusal| refusal.at.elapsed() < REFUSED) else {
            return part;
        };
        answer.results.insert(part.class, ClassReport::Refused { reason: reason.clone() });
        Part { ready: None, unread: Some(part.unread(reason)), ..part }
    }

    async fn send_batch(&mut self, to: Addressed<'_>, batch: &[Part]) -> Result<Answer, ReportError> {
        let all: Vec<&Part> = batch.iter().collect();
        if all.is_empty() {
            return Ok(Answer::default());
        }
        match retried(|| self.send(to, &all)).await {
            Err(e) if is_of_content(&e) && !is_busy(&e) => {
                let reason = e.reason().map(Reason::as_str);
                tracing::warn!(reason, error = %e, "the report was refused: each class is sent by itself");
                let mut answer = Answer::default();
                for part in batch {
                    answer.add(self.send_alone(to, part).await?);
                }
                Ok(answer)
            }
            sent => sent,
        }
    }

    /// Sends a class by itself. Where it is refused even so, the server is told that it was not read, and why.
    async fn send_alone(&mut self, to: Addressed<'_>, part: &Part) -> Result<Answer, ReportError> {
        let alone = [part];
        let refused = match retried(|| self.send(to, &alone)).await {
            Err(e) if is_of_content(&e) && !is_busy(&e) => e,
            other => return other,
        };
        tracing::warn!(class = part.class.name(), error = %refused, "the server refuses the class");
        let reason = format!("refused by the server: {refused}");
        let unread = vec![part.unread(&reason)];
        match retried(|| self.negotiate(to, Vec::new(), unread.clone())).await {
            // A class that the server does not know.
            Err(e) if is_of_content(&e) => {}
            told => _ = told?,
        }
        if let Some(ready) = &part.ready {
            let (digest, at) = (ready.digest.digest.clone(), Instant::now());
            self.refused.insert(part.class, Refusal { digest, reason: reason.clone(), at });
        }
        let results = HashMap::from([(part.class, ClassReport::Refused { reason })]);
        Ok(Answer { results, ..Answer::default() })
    }

    async fn send(&self, to: Addressed<'_>, parts: &[&Part]) -> Result<Answer, ReportError> {
        let ready: Vec<&Ready> = parts.iter().filter_map(|part| part.ready.as_ref()).collect();
        let offers = ready.iter().map(|ready| ready.digest.clone()).collect();
        let unread = parts.iter().filter_map(|part| part.unread.clone()).collect();
        let answered = self.negotiate(to, offers, unread).await?;
        let mut answer = Answer { clock_clamped: answered.clock_clamped, ..Answer::default() };
        let results = &mut answer.results;
        let mut wanted = Vec::new();
        for (ready, decision) in ready.iter().zip(&answered.decisions) {
            answer.intervals.extend(interval(decision).map(|interval| (ready.class, interval)));
            match decision.decision() {
                inventory::Decision::Unchanged => _ = results.insert(ready.class, ClassReport::Unchanged),
                inventory::Decision::Disabled => _ = results.insert(ready.class, ClassReport::Disabled),
                inventory::Decision::Send | inventory::Decision::Unspecified => wanted.push(*ready),
            }
        }
        if !wanted.is_empty() {
            let messages = self.messages(to.machine_id, &answered.report_token, &wanted);
            let response = self.assets.clone().report_assets(tokio_stream::iter(messages)).await?.into_inner();
            for (ready, result) in wanted.iter().zip(response.results) {
                let sent = ClassReport::Sent {
                    added: result.added,
                    changed: result.changed,
                    removed: result.removed,
                    unchanged: result.unchanged,
                    truncated: result.truncated,
                    clipped: result.clipped,
                };
                results.insert(ready.class, sent);
            }
        }
        Ok(answer)
    }

    fn messages(&self, machine_id: &str, token: &str, wanted: &[&Ready]) -> Vec<inventory::ReportAssetsRequest> {
        let message = |part| inventory::ReportAssetsRequest { app_id: self.app_id, part: Some(part) };
        let chunks: Vec<_> = wanted
            .iter()
            .flat_map(|ready| &ready.chunks)
            .map(|chunk| message(stream::Part::Chunk(chunk.clone())))
            .collect();
        let header = inventory::ReportHeader {
            machine_id: machine_id.to_owned(),
            report_token: token.to_owned(),
            classes: wanted.iter().map(|ready| ready.digest.clone()).collect(),
            declared_bytes: chunks.iter().map(|chunk| chunk.encoded_len() as u64).sum(),
        };
        let mut messages = vec![message(stream::Part::Header(header))];
        messages.extend(chunks);
        messages.push(message(stream::Part::End(inventory::ReportEnd {})));
        messages
    }
}

/// How often the tenant wants a class, where it says so.
fn interval(decision: &inventory::ClassDecision) -> Option<Duration> {
    decision.interval.and_then(|interval| Duration::try_from(interval).ok())
}

/// Calls until it succeeds, fails for good or has failed too often; between calls it waits as long as the server wants.
async fn retried<T, F>(mut call: impl FnMut() -> F) -> Result<T, ReportError>
where
    F: Future<Output = Result<T, ReportError>>,
{
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(e) if is_repeatable(&e) => {
                if let ReportError::Status(status) = &e
                    && let Some(delay) = status::retry_delay(status)
                {
                    tokio::time::sleep(delay).await;
                }
            }
            other => return other,
        }
    }
    call().await
}

/// True when a new negotiation can help.
fn is_repeatable(error: &ReportError) -> bool {
    matches!(
        error.reason(),
        Some(
            Reason::ReportTokenStale
                | Reason::ReportTokenInvalid
                | Reason::ReportBudget
                | Reason::Overloaded
                | Reason::Conflict
        )
    )
}

/// True when the server refused what it was told, or how much of it, so that less may be taken.
fn is_of_content(error: &ReportError) -> bool {
    matches!(
        error.reason(),
        Some(
            Reason::InvalidField
                | Reason::DuplicateItem
                | Reason::ItemCountMismatch
                | Reason::MalformedMessage
                | Reason::MessageTooLarge
                | Reason::ReportBudget
        )
    )
}

/// True when the same would be taken at another time.
fn is_busy(error: &ReportError) -> bool {
    matches!(error, ReportError::Status(status) if status::retry_delay(status).is_some())
}
