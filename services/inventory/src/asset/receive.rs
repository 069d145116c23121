//! Receives the stream of a report: header, chunks, end mark. Nothing is written before all of it is here and right.

use std::time::Duration;

use cwpp_access::{Incoming, TenantScope};
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::{AssetItem, ClassDigest, ReportAssetsRequest, ReportChunk, ReportHeader};
use prost::Message;
use uuid::Uuid;

use super::apply::{Report, Reported};
use super::batch::{Batch, Scratch};
use super::budget::Reserved;
use super::check::Found;
use super::class::{CAP, CLASSES, Class, by_number, of_item};
use super::ops::Assets;
use crate::policy::collection::{Settings, switched_off};

/// Most bytes of a report.
const MOST_BYTES: u64 = 64 << 20;
/// Most items of a report.
const MOST_ITEMS: u64 = 100_000;
/// Most items of a chunk.
const CHUNK: usize = 5_000;

/// A report that was received whole. Its part of the budget is given back when it is dropped.
#[derive(Debug)]
pub struct Received {
    /// What is to be applied.
    pub report: Report,
    /// Places of the classes in the header's order, among the report's.
    pub places: Vec<usize>,
    /// The machine's name.
    pub machine_name: String,
    _reserved: Reserved,
}

/// What the header announced of a class.
struct Announced {
    offer: ClassDigest,
    batch: Batch,
    collected_since: i64,
}

/// Receives a report.
pub async fn receive(
    assets: &Assets,
    scope: &TenantScope,
    requests: &mut Incoming<ReportAssetsRequest>,
) -> Result<Received> {
    let idle = assets.idle;
    let header = match next(requests, idle).await? {
        Some(Part::Header(header)) => header,
        _ => return Err(incomplete("the first message of a report is its header")),
    };
    let machine_id = check(&header)?;
    // A tenant or machine that takes no report is refused here, not after all of it was sent.
    let (machine_name, settings) = assets.reporter(scope, machine_id).await?;
    collected(&header, &settings)?;
    let token_us = assets.tokens.verify(scope.app_id(), machine_id, &header.report_token)?;
    let reserved = assets.budget.reserve(header.declared_bytes)?;
    let mut classes: Vec<Announced> = Vec::with_capacity(header.classes.len());
    for offer in header.classes {
        let class = known(&offer)?;
        let collected_since = settings.class(offer.asset_class as i16).since;
        classes.push(Announced { offer, batch: Batch::new(class), collected_since });
    }
    let mut intake = Intake {
        classes,
        found: Found::default(),
        scratch: Scratch::default(),
        number: 0,
        left: header.declared_bytes,
    };
    loop {
        match next(requests, idle).await? {
            Some(Part::Chunk(chunk)) => intake.take(chunk)?,
            Some(Part::End(_)) => break,
            Some(Part::Header(_)) => return Err(incomplete("a report has one header")),
            None => return Err(incomplete("the report ended without its end mark")),
        }
    }
    if next(requests, idle).await?.is_some() {
        return Err(incomplete("nothing follows the end mark"));
    }
    let numbers: Vec<i32> = intake.classes.iter().map(|c| c.offer.asset_class).collect();
    let classes = intake.finish()?;
    let place = |number: &i32| classes.iter().position(|c| c.batch.class.class() as i32 == *number);
    let places = numbers.iter().filter_map(place).collect();
    Ok(Received { report: Report { machine_id, token_us, classes }, places, machine_name, _reserved: reserved })
}

/// Takes in chunks.
struct Intake {
    classes: Vec<Announced>,
    found: Found,
    scratch: Scratch,
    /// Number of the next item in the stream.
    number: u32,
    /// Bytes left of what was declared.
    left: u64,
}

impl Intake {
    fn take(&mut self, chunk: ReportChunk) -> Result<()> {
        self.left = self
            .left
            .checked_sub(chunk.encoded_len() as u64)
            .ok_or_else(|| Error::new(Reason::ReportBudget, "more bytes were sent than the header declares"))?;
        let items = chunk.items.len();
        if items > CHUNK {
            self.found.push(self.number, "", format!("begins a chunk of {items} items; at most {CHUNK} are allowed"));
            return Ok(());
        }
        for AssetItem { item } in chunk.items {
            let number = self.number;
            self.number += 1;
            let Some(item) = item else {
                self.found.push(number, "", "must be one of the classes");
                continue;
            };
            let class = of_item(&item).class() as i32;
            match self.classes.iter_mut().find(|c| c.offer.asset_class == class) {
                // More than announced is a mismatch whatever follows; it need not be kept.
                Some(announced) if announced.batch.len() > announced.offer.items as usize => {}
                Some(announced) => announced.batch.push(item, number, &mut self.found, &mut self.scratch),
                None => self.found.push(number, "", "is of a class that the header does not name"),
            }
        }
        Ok(())
    }

    /// Says whether all is there and right, and puts it in order.
    fn finish(mut self) -> Result<Vec<Reported>> {
        self.found.finish()?;
        let mut mismatch = None;
        for (i, class) in self.classes.iter().enumerate() {
            let (announced, came) = (class.offer.items as usize, class.batch.len());
            if announced != came {
                let error = mismatch.take().unwrap_or_else(|| {
                    Error::new(Reason::ItemCountMismatch, "the numbers of items differ from the header's")
                });
                let more = if came > announced { "more" } else { "fewer" };
                mismatch = Some(
                    error.violation(format!("header.classes[{i}].items"), format!("is {announced}, but {more} came")),
                );
            }
        }
        if let Some(error) = mismatch {
            return Err(error);
        }
        self.classes.sort_by_key(|c| c.offer.asset_class);
        let mut duplicates = None;
        for class in &mut self.classes {
            duplicates = class.batch.sort(duplicates);
        }
        if let Some(error) = duplicates {
            return Err(error);
        }
        let reported = |c: Announced| Reported {
            batch: c.batch,
            digest: c.offer.digest,
            found: c.offer.found,
            collected_since: c.collected_since,
        };
        Ok(self.classes.into_iter().map(reported).collect())
    }
}

/// Says whether no more classes are named than there are; each is held against the others only then.
pub(super) fn at_most_all(field: &str, count: usize, violations: &mut Violations) -> bool {
    let all = CLASSES.len();
    violations.check(count <= all, field, format!("must be at most {all}, are {count}"))
}

/// Checks the classes that a host offers or announces; answers all that is wrong with them. What it announces it has read;
/// what it offers without a digest it has not.
pub(super) fn check_classes(field: &str, classes: &[ClassDigest], is_read: bool, violations: &mut Violations) {
    violations.check(!classes.is_empty(), field, "must name at least one class");
    if !at_most_all(field, classes.len(), violations) {
        return;
    }
    for (i, offer) in classes.iter().enumerate() {
        let at = |name: &str| format!("{field}[{i}].{name}");
        let class = by_number(offer.asset_class);
        violations.check(class.is_some(), at("asset_class"), "must be a class of this service");
        let first = classes.iter().position(|c| c.asset_class == offer.asset_class);
        violations.check(first == Some(i), at("asset_class"), "is named before");
        let length = offer.digest.len();
        let is_asked = length == 0 && !is_read;
        let fits = is_asked || (16..=64).contains(&length);
        violations.check(fits, at("digest"), format!("must have 16 to 64 bytes, has {length}"));
        let cap = if is_asked { 0 } else { class.map_or(CAP, |c| c.cap()) };
        violations.check(offer.items <= cap, at("items"), format!("must be at most {cap}, is {}", offer.items));
        let fewer = offer.found == 0 || !is_asked && offer.found > offer.items;
        violations.check(fewer, at("found"), "must be more than items, or 0");
    }
    let items: u64 = classes.iter().map(|c| u64::from(c.items)).sum();
    violations.check(
        items <= MOST_ITEMS,
        field,
        format!("must have at most {MOST_ITEMS} items together, have {items}"),
    );
}

fn check(header: &ReportHeader) -> Result<Uuid> {
    let mut violations = Violations::new();
    let machine_id = violations.uuid("header.machine_id", &header.machine_id);
    violations.check(!header.report_token.is_empty(), "header.report_token", "must be given");
    check_classes("header.classes", &header.classes, true, &mut violations);
    violations.check(
        header.declared_bytes <= MOST_BYTES,
        "header.declared_bytes",
        format!("must be at most {MOST_BYTES}, is {}", header.declared_bytes),
    );
    violations.finish()?;
    Ok(machine_id.unwrap_or_default())
}

/// Refuses classes that the tenant switched off, all at once.
fn collected(header: &ReportHeader, settings: &Settings) -> Result<()> {
    let off = header.classes.iter().enumerate().filter(|(_, c)| settings.class(c.asset_class as i16).off);
    let mut error = None;
    for (i, _) in off {
        let so_far = error.take().unwrap_or_else(switched_off);
        error = Some(so_far.violation(format!("header.classes[{i}]"), "is switched off on this machine"));
    }
    error.map_or(Ok(()), Err)
}

fn known(offer: &ClassDigest) -> Result<&'static dyn Class> {
    by_number(offer.asset_class).ok_or_else(|| Error::internal(anyhow::anyhow!("an unchecked class")))
}

async fn next(requests: &mut Incoming<ReportAssetsRequest>, idle: Duration) -> Result<Option<Part>> {
    let message = tokio::time::timeout(idle, requests.next()).await;
    match message.map_err(|_| incomplete("the next message did not come in time"))?? {
        None => Ok(None),
        Some(ReportAssetsRequest { part: Some(part), .. }) => Ok(Some(part)),
        Some(_) => Err(incomplete("a message without header, chunk or end mark")),
    }
}

fn incomplete(message: &str) -> Error {
    Error::new(Reason::StreamIncomplete, message)
}
