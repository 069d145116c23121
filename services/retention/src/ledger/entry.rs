//! An entry of the ledger, and the chain that entries form.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A change of state, in the chain. Names no tenant but by its incarnation, and not the deletion's id, which is a capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1 without a gap.
    pub seq: u64,
    /// The hash of the entry before it (hex).
    pub prev: String,
    /// The life of the tenant.
    pub incarnation: Uuid,
    /// The state that was entered.
    pub state: String,
    /// When.
    pub time: DateTime<Utc>,
    /// The token of the worker that did it; 0 where a caller did.
    pub token: u64,
    /// The effective time of the termination: what was restored from before it is to be deleted again.
    pub effective: DateTime<Utc>,
    /// What led to it where that is not the usual way: tables with rows left, a seal that was lost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The hash of the certificate, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<String>,
}

/// An entry with its hash: one line of the exported ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The entry.
    pub entry: Entry,
    /// The hash (hex) of its canonical JSON.
    pub hash: String,
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is missing or comes twice.
    #[error("entry {expected} is expected, {found} found")]
    Gap {
        /// The number that should stand here.
        expected: u64,
        /// The number that stands here.
        found: u64,
    },
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the one before it")]
    Link(u64),
    /// An entry is not what was hashed.
    #[error("entry {0} was changed")]
    Changed(u64),
    /// A line is no entry.
    #[error("line {0} is no entry of a ledger")]
    Malformed(usize),
}

impl Entry {
    /// Returns the hash (hex) of its canonical form.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(hex::encode(Sha256::digest(serde_jcs::to_vec(self)?)))
    }
}

/// Verifies an exported ledger offline; returns number and hash of its last entry.
pub fn verify(text: &str) -> Result<(u64, String), Broken> {
    let (mut seq, mut head) = (0, GENESIS.to_owned());
    for (at, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|_| Broken::Malformed(at + 1))?;
        let entry = &line.entry;
        if entry.seq != seq + 1 {
            return Err(Broken::Gap { expected: seq + 1, found: entry.seq });
        }
        if entry.prev != head {
            return Err(Broken::Link(entry.seq));
        }
        if entry.hash().ok().as_deref() != Some(line.hash.as_str()) {
            return Err(Broken::Changed(entry.seq));
        }
        (seq, head) = (entry.seq, line.hash);
    }
    Ok((seq, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u64) -> Vec<String> {
        let mut prev = GENESIS.to_owned();
        (1..=length)
            .map(|seq| {
                let entry = Entry {
                    seq,
                    prev: prev.clone(),
                    incarnation: Uuid::now_v7(),
                    state: "SEALED".into(),
                    time: DateTime::UNIX_EPOCH,
                    token: seq,
                    effective: DateTime::UNIX_EPOCH,
                    detail: None,
                    certificate: None,
                };
                let hash = entry.hash().unwrap();
                prev = hash.clone();
                serde_json::to_string(&Line { entry, hash }).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_whole_chain_verifies_to_its_head() {
        assert_eq!(verify("").unwrap(), (0, GENESIS.to_owned()));
        let lines = chain(5);
        assert_eq!(verify(&lines.join("\n")).unwrap().0, 5);
    }

    #[test]
    fn a_missing_swapped_or_changed_entry_is_noticed() {
        let lines = chain(5);
        let without = [&lines[..2], &lines[3..]].concat().join("\n");
        assert_eq!(verify(&without), Err(Broken::Gap { expected: 3, found: 4 }));
        let changed = lines.join("\n").replacen("SEALED", "SCHEDULED", 1);
        assert_eq!(verify(&changed), Err(Broken::Changed(1)));
        let foreign = [&chain(1)[..], &lines[1..]].concat().join("\n");
        assert_eq!(verify(&foreign), Err(Broken::Link(2)));
        assert_eq!(verify("nonsense"), Err(Broken::Malformed(1)));
    }
}
