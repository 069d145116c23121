//! The difference between what a machine reported and what is stored.

use uuid::Uuid;

use super::batch::Entry;

/// What has to be written so that the stored rows equal the reported ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Keys of rows that are gone, sorted.
    pub removed: Vec<Uuid>,
    /// Items to write by their place in the batch, sorted by key; true where the item is new.
    pub written: Vec<(u32, bool)>,
    /// How many of them are new.
    pub added: u32,
    /// Items that are the same.
    pub unchanged: u32,
}

impl Diff {
    /// Compares; both sides are sorted by key.
    pub fn between(stored: &[(Uuid, Uuid)], reported: &[Entry]) -> Self {
        let mut diff = Self::default();
        let mut stored = stored.iter().peekable();
        for (place, entry) in (0u32..).zip(reported) {
            while let Some((key, _)) = stored.next_if(|(key, _)| *key < entry.key) {
                diff.removed.push(*key);
            }
            match stored.next_if(|(key, _)| *key == entry.key) {
                Some((_, hash)) if *hash == entry.hash => diff.unchanged += 1,
                Some(_) => diff.written.push((place, false)),
                None => {
                    diff.written.push((place, true));
                    diff.added += 1;
                }
            }
        }
        diff.removed.extend(stored.map(|(key, _)| *key));
        diff
    }

    /// Returns how many items changed.
    pub fn changed(&self) -> u32 {
        u32::try_from(self.written.len()).unwrap_or(u32::MAX) - self.added
    }

    /// Returns how many rows have to be written or deleted.
    pub fn rows(&self) -> usize {
        self.removed.len() + self.written.len()
    }

    /// Returns the part of the work between two positions: deletions come first.
    pub fn part(&self, from: usize, to: usize) -> (&[Uuid], &[(u32, bool)]) {
        let gone = self.removed.len();
        let removed = &self.removed[from.min(gone)..to.min(gone)];
        let written = &self.written[from.saturating_sub(gone)..to.saturating_sub(gone)];
        (removed, written)
    }
}
