//! Items as received: checked, and packed into one buffer per class, so that a report takes about as much memory as it
//! declared, and a row is unpacked only when it is written.

use cwpp_chassis::{Error, Reason};
use cwpp_contracts::inventory::v1::AssetItem;
use cwpp_contracts::inventory::v1::asset_item::Item;
use prost::Message;
use uuid::Uuid;

use super::check::{Check, Found};
use super::class::Class;
use super::natural_key::NaturalKey;
use super::row::RowHash;

/// An item in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its item key.
    pub key: Uuid,
    /// Its row hash.
    pub hash: Uuid,
    at: u32,
    length: u32,
    /// Its number in the stream.
    number: u32,
}

/// The items of one class of a report.
#[derive(Debug)]
pub struct Batch {
    /// The class.
    pub class: &'static dyn Class,
    /// How many texts were cut.
    pub clipped: u32,
    packed: Vec<u8>,
    entries: Vec<Entry>,
}

/// Buffers that are used again for each item.
#[derive(Debug, Default)]
pub struct Scratch {
    key: NaturalKey,
    row: Vec<u8>,
}

impl Batch {
    /// Starts an empty batch.
    pub fn new(class: &'static dyn Class) -> Self {
        Self { class, clipped: 0, packed: Vec::new(), entries: Vec::new() }
    }

    /// Takes an item of this class; what is wrong with it goes to `found`.
    pub fn push(&mut self, mut item: Item, number: u32, found: &mut Found, scratch: &mut Scratch) {
        let mut check = Check::new(number, found);
        self.class.check(&mut item, &mut check);
        self.clipped += check.clipped();
        if !found.is_empty() {
            return;
        }
        scratch.key.start(self.class.class());
        self.class.natural_key(&item, &mut scratch.key);
        let mut hash = RowHash::start(&mut scratch.row, self.class.columns());
        self.class.store(&item, &mut hash);
        let (key, hash) = (scratch.key.finish(), hash.finish());
        let at = self.packed.len();
        let item = AssetItem { item: Some(item) };
        let length = item.encoded_len();
        self.packed.reserve(length);
        item.encode_raw(&mut self.packed);
        self.entries.push(Entry { key, hash, at: at as u32, length: length as u32, number });
    }

    /// Returns how many items there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts the items into the order of their keys; items of one key are added to the error.
    pub fn sort(&mut self, mut error: Option<Error>) -> Option<Error> {
        self.entries.sort_unstable_by_key(|e| (e.key, e.number));
        for pair in self.entries.windows(2) {
            if pair[0].key == pair[1].key {
                let so_far = error.take().unwrap_or_else(|| {
                    Error::new(Reason::DuplicateItem, "items of one natural key are in the report twice")
                });
                error = Some(match so_far.violations().len() {
                    // More would not fit into an answer.
                    50.. => so_far,
                    _ => so_far.violation(
                        format!("items[{}]", pair[1].number),
                        format!("has the same natural key as items[{}]", pair[0].number),
                    ),
                });
            }
        }
        error
    }

    /// Returns the items, sorted by key after [`Batch::sort`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Unpacks an item.
    pub fn item(&self, entry: &Entry) -> Result<Item, Error> {
        let bytes = &self.packed[entry.at as usize..(entry.at + entry.length) as usize];
        let item = AssetItem::decode(bytes).map_err(Error::internal)?;
        item.item.ok_or_else(|| Error::internal(anyhow::anyhow!("a packed item is empty")))
    }
}
