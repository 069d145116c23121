//! Makes a class ready to be sent: what of it goes into a report, and what is told of the rest.

use cwpp_contracts::inventory::v1 as inventory;
use prost::Message;

use super::convert;
use crate::class::{Class, ClassSnapshot, Outcome, Skipped};

/// A chunk holds about so many bytes, and at most so many items.
const CHUNK_BYTES: usize = 512 << 10;
const CHUNK_ITEMS: usize = 2_000;
/// A report may have 64 MiB, chunks and their frames, and so many items. No class is cut for another's sake: what does not
/// fit goes in a further report.
pub(super) const REPORT_BYTES: usize = 60 << 20;
pub(super) const REPORT_ITEMS: usize = 100_000;
/// An item takes so many bytes more in its chunk, at most.
const FRAME: usize = 8;
/// A reason why a class was not read has at most so many characters.
const UNREAD_CHARACTERS: usize = 255;

/// A class, ready to be sent.
pub(super) struct Ready {
    pub(super) class: Class,
    pub(super) digest: inventory::ClassDigest,
    pub(super) items: usize,
    pub(super) bytes: usize,
    pub(super) chunks: Vec<inventory::ReportChunk>,
}

/// What is told of a class.
pub(super) struct Part {
    pub(super) class: Class,
    /// What is sent, where it was read.
    pub(super) ready: Option<Ready>,
    /// What was not read, left out or cut.
    pub(super) unread: Option<inventory::UnreadClass>,
}

impl Part {
    /// True when there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_none() && self.unread.is_none()
    }

    /// Tells that nothing of the class is there, for this reason.
    pub(super) fn unread(&self, reason: &str) -> inventory::UnreadClass {
        let numbers = self.unread.clone().unwrap_or_default();
        inventory::UnreadClass { asset_class: convert::class(self.class).into(), reason: short(reason), ..numbers }
    }
}

/// Makes a class ready. Of one that is too large for a report the first items are sent, and the rest is counted.
pub(super) fn prepare(snapshot: &ClassSnapshot) -> Part {
    let class = snapshot.class;
    if !snapshot.is_read() {
        return Part { class, ready: None, unread: unread(snapshot, None) };
    }
    let (items, bytes, chunks) = chunks(snapshot);
    let all = snapshot.items.len();
    let found = match snapshot.outcome {
        Outcome::Truncated { total } => total.max(all),
        _ if items < all => all,
        _ => 0,
    };
    let mut digest = snapshot.digest();
    if items < all {
        // Cut elsewhere, as what is left alone changes in length, it is another content.
        let mut hasher = blake3::Hasher::new_derive_key("cwpp collector digest of a cut class v1");
        digest = *hasher.update(&digest).update(&(items as u64).to_le_bytes()).finalize().as_bytes();
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let digest = inventory::ClassDigest {
        asset_class: convert::class(class).into(),
        digest: digest.to_vec(),
        items: count(items),
        found: count(found),
    };
    let cut = (found > 0).then_some((items, found));
    Part { class, ready: Some(Ready { class, digest, items, bytes, chunks }), unread: unread(snapshot, cut) }
}

/// The first items of a class in chunks, how many they are, and their bytes.
fn chunks(snapshot: &ClassSnapshot) -> (usize, usize, Vec<inventory::ReportChunk>) {
    let mut chunks = vec![inventory::ReportChunk::default()];
    let (mut in_chunk, mut bytes, mut items) = (0, 0, 0_usize);
    for item in &snapshot.items {
        let item = convert::item(item);
        let length = item.encoded_len() + FRAME;
        if bytes + length > REPORT_BYTES {
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
    (items, bytes, chunks)
}

/// Says what of a class could not be read, was left out or cut; of one whose source is not there, that it is not. `cut` is
/// how many items are told of how many, where those are not all.
fn unread(class: &ClassSnapshot, cut: Option<(usize, usize)>) -> Option<inventory::UnreadClass> {
    let mut reasons = Vec::new();
    if let Outcome::Unreadable { reason } | Outcome::NotPresent { reason } = &class.outcome {
        reasons.push(reason.clone());
    }
    reasons.extend(cut.map(|(told, found)| format!("{told} of {found} are told")));
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
    let (asset_class, left_out, cut) = (convert::class(class.class).into(), class.skipped_count as u64, cut as u64);
    let reason = short(&reasons.join("; "));
    (!reasons.is_empty()).then_some(inventory::UnreadClass { asset_class, reason, left_out, cut })
}

fn short(reason: &str) -> String {
    reason.chars().take(UNREAD_CHARACTERS).collect()
}
