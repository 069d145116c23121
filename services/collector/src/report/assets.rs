//! The report of the classes: negotiate, then stream what the server wants.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::inventory::v1 as inventory;
use inventory::report_assets_request::Part;
use prost::Message;

use super::{ClassReport, Report, ReportError, Reporter, Wanted, convert};
use crate::Snapshot;
use crate::class::{Class, ClassSnapshot, Outcome, Skipped};

/// A chunk holds about so many bytes, and at most so many items.
const CHUNK_BYTES: usize = 512 << 10;
const CHUNK_ITEMS: usize = 2_000;
/// A report may have 64 MiB, chunks and their frames.
const REPORT_BYTES: usize = 60 << 20;
/// A reason why a class was not read has at most so many characters.
const UNREAD_CHARACTERS: usize = 255;
/// How often a question or a report is made because the server was busy, or a newer report or a restart made its token
/// worthless.
const ATTEMPTS: u32 = 3;

/// Each class has its part of a report, so that what is cut of one depends on no other.
const fn class_bytes(class: Class) -> usize {
    match class {
        Class::Process => 12 << 20,
        Class::Account | Class::JarPackage | Class::SystemPackage => 8 << 20,
        Class::ListeningPort => 4 << 20,
        _ => 3 << 19,
    }
}

/// The parts of all classes fit.
const _: () = {
    let (mut sum, mut at) = (0, 0);
    while at < Class::ALL.len() {
        sum += class_bytes(Class::ALL[at]);
        at += 1;
    }
    assert!(sum <= REPORT_BYTES);
};

/// A class, ready to be sent.
struct Ready {
    class: Class,
    digest: inventory::ClassDigest,
    chunks: Vec<inventory::ReportChunk>,
}

/// Says what of a class could not be read, was left out or cut; of one whose source is not there, that it is not.
fn unread_class(class: &ClassSnapshot) -> Option<inventory::UnreadClass> {
    let mut reasons = Vec::new();
    match &class.outcome {
        Outcome::Unreadable { reason } | Outcome::NotPresent { reason } => reasons.push(reason.clone()),
        Outcome::Truncated { total } => reasons.push(format!("{} of {total} are told", class.items.len())),
        Outcome::Complete => {}
    }
    if !class.unread_sources.is_empty() {
        reasons.push(format!("not read: {}", class.unread_sources.join(", ")));
    }
    if let Some(Skipped { source, line, reason }) = class.skipped.first() {
        let place = if *line == 0 { source.clone() } else { format!("{source}:{line}") };
        reasons.push(format!("left out: {place}: {reason}"));
    }
    let cut = class.items.iter().filter(|item| item.is_cut()).count();
    if cut > 0 {
        reasons.push("too long and cut: texts or lists of items".to_owned());
    }
    let reason = reasons.join("; ").chars().take(UNREAD_CHARACTERS).collect();
    let (asset_class, left_out, cut) = (convert::class(class.class).into(), class.skipped_count as u64, cut as u64);
    (!reasons.is_empty()).then_some(inventory::UnreadClass { asset_class, reason, left_out, cut })
}

impl Reporter {
    /// Asks which classes the tenant wants, before they are read.
    pub async fn ask(&mut self, classes: &[Class], now: DateTime<Utc>) -> Result<Wanted, ReportError> {
        let machine_id = self.enrolled()?;
        self.settled()?;
        let offers = classes
            .iter()
            .map(|class| inventory::ClassDigest { asset_class: convert::class(*class).into(), ..Default::default() });
        let offers: Vec<_> = offers.collect();
        let answer = retried(|| self.negotiate(&machine_id, now, offers.clone(), Vec::new())).await?;
        let mut wanted = Wanted::default();
        for (class, decision) in classes.iter().zip(&answer.decisions) {
            wanted.intervals.extend(interval(decision).map(|interval| (*class, interval)));
            match decision.decision() {
                inventory::Decision::Disabled => wanted.off.push(*class),
                _ => wanted.on.push(*class),
            }
        }
        if classes.contains(&Class::Account) {
            self.accounts_off = wanted.off.contains(&Class::Account);
        }
        Ok(wanted)
    }

    async fn negotiate(
        &self,
        machine_id: &str,
        observed: DateTime<Utc>,
        classes: Vec<inventory::ClassDigest>,
        unread: Vec<inventory::UnreadClass>,
    ) -> Result<inventory::NegotiateReportResponse, ReportError> {
        let request = inventory::NegotiateReportRequest {
            app_id: self.app_id,
            machine_id: machine_id.to_owned(),
            classes,
            observed_time: Some(convert::time(observed)),
            instance_nonce: self.nonce.to_vec(),
            unread,
        };
        Ok(self.assets.clone().negotiate_report(request).await?.into_inner())
    }

    /// Reports the classes of a snapshot.
    pub async fn report(&mut self, snapshot: &Snapshot) -> Result<Report, ReportError> {
        let machine_id = self.enrolled()?;
        self.settled()?;
        let (mut not_read, mut unread) = (HashMap::new(), Vec::new());
        let mut ready = Vec::new();
        for class in &snapshot.classes {
            match &class.outcome {
                Outcome::Complete => ready.push(prepare(class, 0)),
                Outcome::Truncated { total } => ready.push(prepare(class, *total)),
                Outcome::Unreadable { reason } | Outcome::NotPresent { reason } => {
                    not_read.insert(class.class, ClassReport::NotRead { reason: reason.clone() });
                }
            }
            unread.extend(unread_class(class));
        }
        let mut report = Report::default();
        let mut results = HashMap::new();
        if !ready.is_empty() || !unread.is_empty() {
            let sent = retried(|| self.send(&machine_id, snapshot, &ready, &unread)).await?;
            (results, report.clock_clamped, report.intervals) = sent;
        }
        if let Some(accounts) = results.get(&Class::Account) {
            self.accounts_off = *accounts == ClassReport::Disabled;
        }
        results.extend(not_read);
        let classes = snapshot.classes.iter();
        report.classes = classes.filter_map(|class| Some((class.class, results.remove(&class.class)?))).collect();
        Ok(report)
    }

    async fn send(
        &self,
        machine_id: &str,
        snapshot: &Snapshot,
        ready: &[Ready],
        unread: &[inventory::UnreadClass],
    ) -> Result<(HashMap<Class, ClassReport>, bool, HashMap<Class, Duration>), ReportError> {
        let offers = ready.iter().map(|ready| ready.digest.clone()).collect();
        let answer = self.negotiate(machine_id, snapshot.collected_at, offers, unread.to_vec()).await?;
        let (mut results, mut intervals) = (HashMap::new(), HashMap::new());
        let mut wanted = Vec::new();
        for (ready, decision) in ready.iter().zip(&answer.decisions) {
            intervals.extend(interval(decision).map(|interval| (ready.class, interval)));
            match decision.decision() {
                inventory::Decision::Unchanged => _ = results.insert(ready.class, ClassReport::Unchanged),
                inventory::Decision::Disabled => _ = results.insert(ready.class, ClassReport::Disabled),
                inventory::Decision::Send | inventory::Decision::Unspecified => wanted.push(ready),
            }
        }
        if !wanted.is_empty() {
            let messages = self.messages(machine_id, &answer.report_token, &wanted);
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
        Ok((results, answer.clock_clamped, intervals))
    }

    fn messages(&self, machine_id: &str, token: &str, wanted: &[&Ready]) -> Vec<inventory::ReportAssetsRequest> {
        let message = |part| inventory::ReportAssetsRequest { app_id: self.app_id, part: Some(part) };
        let chunks: Vec<_> =
            wanted.iter().flat_map(|ready| &ready.chunks).map(|chunk| message(Part::Chunk(chunk.clone()))).collect();
        let header = inventory::ReportHeader {
            machine_id: machine_id.to_owned(),
            report_token: token.to_owned(),
            classes: wanted.iter().map(|ready| ready.digest.clone()).collect(),
            declared_bytes: chunks.iter().map(|chunk| chunk.encoded_len() as u64).sum(),
        };
        let mut messages = vec![message(Part::Header(header))];
        messages.extend(chunks);
        messages.push(message(Part::End(inventory::ReportEnd {})));
        messages
    }
}

/// Makes chunks of a class; `total` is how many items the host has if some are left out already, else 0.
fn prepare(snapshot: &ClassSnapshot, total: usize) -> Ready {
    let mut chunks = vec![inventory::ReportChunk::default()];
    let (mut in_chunk, mut bytes, mut items) = (0, 0, 0_usize);
    for item in &snapshot.items {
        let item = convert::item(item);
        let length = item.encoded_len() + 8;
        if bytes + length > class_bytes(snapshot.class) {
            break;
        }
        let full =
            chunks.last().is_some_and(|chunk| in_chunk + length > CHUNK_BYTES || chunk.items.len() >= CHUNK_ITEMS);
        if full {
            chunks.push(inventory::ReportChunk::default());
            in_chunk = 0;
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.items.push(item);
        }
        (in_chunk, bytes, items) = (in_chunk + length, bytes + length, items + 1);
    }
    chunks.retain(|chunk| !chunk.items.is_empty());
    let found = if total > 0 || items < snapshot.items.len() { total.max(snapshot.items.len()) } else { 0 };
    let digest = inventory::ClassDigest {
        asset_class: convert::class(snapshot.class).into(),
        digest: snapshot.digest().to_vec(),
        items: u32::try_from(items).unwrap_or(u32::MAX),
        found: u32::try_from(found).unwrap_or(u32::MAX),
    };
    Ready { class: snapshot.class, digest, chunks }
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
