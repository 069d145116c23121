//! Item keys: what makes two items the same item.

use cwpp_contracts::inventory::v1::AssetClass;
use uuid::Uuid;

/// Version of the encoding. Raising it makes every stored item a new one, so it is never raised lightly.
const VERSION: u8 = 1;

/// Encodes a natural key and hashes it to an item key of 16 bytes.
///
/// The encoding is the version, the class, then each part with its length before it, so that no two keys of different
/// parts read the same. The buffer is kept for the next item.
#[derive(Debug, Default)]
pub struct NaturalKey {
    bytes: Vec<u8>,
}

impl NaturalKey {
    /// Starts the key of an item of this class.
    pub fn start(&mut self, class: AssetClass) -> &mut Self {
        self.bytes.clear();
        self.bytes.push(VERSION);
        self.bytes.extend_from_slice(&(class as i32).to_le_bytes());
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: i64) -> &mut Self {
        self.bytes.extend_from_slice(&8u64.to_le_bytes());
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Returns the item key: the first 16 bytes of the encoding's blake3 hash.
    pub fn finish(&self) -> Uuid {
        short(&blake3::hash(&self.bytes))
    }
}

/// Cuts a hash to 16 bytes.
pub fn short(hash: &blake3::Hash) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Uuid {
        let mut key = NaturalKey::default();
        key.start(AssetClass::Account);
        for part in parts {
            key.text(part);
        }
        key.finish()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
    }

    #[test]
    fn classes_do_not_share_keys() {
        let mut other = NaturalKey::default();
        other.start(AssetClass::SystemPackage).text("root");
        assert_ne!(other.finish(), key(&["root"]));
    }

    #[test]
    fn the_encoding_stays_what_it_is() {
        // Stored keys depend on it: if this fails, every item of every machine would be removed and added again.
        assert_eq!(key(&["root"]).simple().to_string(), "548ba67c1a3a0c94e47788abb5b749de");
    }
}
