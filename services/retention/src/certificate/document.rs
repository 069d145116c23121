//! The certificate as a document: what it says, how it is signed, how anybody verifies it without us.
//!
//! The text is canonical JSON (RFC 8785) with three members: `certificate`, what is said; `signature`, Ed25519 over the
//! canonical form of `certificate` behind a fixed prefix; `public_key`, the key that made it. Whitespace around it and
//! inside it says nothing; every other change breaks it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::key::{PublicKey, Signer};

/// The form of the document; another form gets another name.
pub const FORMAT: &str = "cwpp.deletion-certificate.v1";

/// Stands before the signed bytes, so that a signature of this key over something else is never taken for one over a certificate.
const PREFIX: &[u8] = b"cwpp.deletion-certificate.v1\n";

/// No certificate is larger.
const MAX_BYTES: usize = 1 << 20;

/// What a certificate says. Not a byte of it is personal data, and the tenant's number is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The form, [`FORMAT`].
    pub format: String,
    /// The deletion.
    pub deletion_id: Uuid,
    /// The life of the tenant that was deleted.
    pub incarnation: Uuid,
    /// Why: `TERMINATION` or `ACCOUNT_DELETION`.
    pub cause: String,
    /// The times.
    pub times: Times,
    /// What was done to the rows.
    pub method: String,
    /// What was deleted and counted, per service.
    pub services: Vec<Service>,
    /// Copies outside the tables.
    pub backups: Backups,
    /// The build that did it.
    pub build: Build,
    /// Where the ledger stood when this was written.
    pub ledger: LedgerHead,
}

/// The times of a deletion, by the wall clock of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// T0: the effective time of the termination.
    pub effective: DateTime<Utc>,
    /// From here no transaction of the tenant could commit.
    pub sealed: DateTime<Utc>,
    /// The last row was deleted.
    pub purged: DateTime<Utc>,
    /// Both passes of counting found nothing.
    pub verified: DateTime<Utc>,
    /// The last count, after copies had expired, found nothing; the certificate was written.
    pub certified: DateTime<Utc>,
    /// All had to be gone by then.
    pub deadline: DateTime<Utc>,
}

/// What happened in one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Rows deleted, per data class.
    pub deleted: Vec<Deleted>,
    /// Tables that were counted and found empty.
    pub tables_counted: u64,
    /// Hash of the table registry of its build (hex).
    pub registry_hash: String,
}

/// Rows of one data class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deleted {
    /// The data class, as the contracts name it.
    pub data_class: String,
    /// The number of rows.
    pub rows: u64,
}

/// Copies outside the tables: backups and logs of the databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backups {
    /// How long after the last deleted row they may live.
    pub horizon_seconds: u64,
    /// `DECLARED`: by the operator's settings; nobody has looked into the backups.
    pub assurance: String,
    /// The time after which none holds the data.
    pub expired: DateTime<Utc>,
}

/// The build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// Its commit.
    pub commit: String,
}

/// A place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerHead {
    /// The number of the last entry.
    pub seq: u64,
    /// Its hash (hex).
    pub hash: String,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no document of this form.
    #[error("not a certificate: {0}")]
    Malformed(String),
    /// It was signed with another key than the one given.
    #[error("signed with another key: {found}, expected {expected}")]
    WrongKey {
        /// Fingerprint of the key in the document.
        found: String,
        /// Fingerprint of the key given.
        expected: String,
    },
    /// What it says is not what was signed.
    #[error("the signature does not hold: the certificate was changed")]
    Tampered,
    /// It says things that cannot be.
    #[error("contradicts itself: {0}")]
    Contradiction(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    certificate: serde_json::Value,
    public_key: String,
    signature: String,
}

fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, Problem> {
    serde_jcs::to_vec(value).map_err(|e| Problem::Malformed(e.to_string()))
}

fn signed_bytes(certificate: &serde_json::Value) -> Result<Vec<u8>, Problem> {
    let mut bytes = PREFIX.to_vec();
    bytes.extend(canonical(certificate)?);
    Ok(bytes)
}

/// Signs what is said; the result is the text to hand out.
pub fn sign(certificate: &Certificate, signer: &Signer) -> Result<String, Problem> {
    use ed25519_dalek::Signer as _;
    let key = signer.key();
    let certificate = serde_json::to_value(certificate).map_err(|e| Problem::Malformed(e.to_string()))?;
    let signature = key.sign(&signed_bytes(&certificate)?);
    let document = Document {
        certificate,
        public_key: STANDARD.encode(key.verifying_key().as_bytes()),
        signature: STANDARD.encode(signature.to_bytes()),
    };
    serde_jcs::to_string(&document).map_err(|e| Problem::Malformed(e.to_string()))
}

/// Verifies a certificate offline: form, key, signature, and that it does not contradict itself.
pub fn verify(text: &str, public_key: &PublicKey) -> Result<Certificate, Problem> {
    let document = read(text)?;
    let named = named_key(&document)?;
    if named != *public_key {
        return Err(Problem::WrongKey { found: named.fingerprint(), expected: public_key.fingerprint() });
    }
    let signature = STANDARD.decode(&document.signature).map_err(|_| Problem::Tampered)?;
    let signature = Signature::from_slice(&signature).map_err(|_| Problem::Tampered)?;
    let key: &VerifyingKey = public_key.as_ref();
    key.verify_strict(&signed_bytes(&document.certificate)?, &signature).map_err(|_| Problem::Tampered)?;
    let certificate: Certificate =
        serde_json::from_value(document.certificate).map_err(|e| Problem::Malformed(e.to_string()))?;
    certificate.consistent()?;
    Ok(certificate)
}

/// Returns the key that a certificate says it was signed with. It proves nothing until it is compared with a published one.
pub fn embedded_key(text: &str) -> Result<PublicKey, Problem> {
    named_key(&read(text)?)
}

/// Returns the hash (hex) under which the ledger knows a certificate: of what it says, not of its signature.
pub fn digest(text: &str) -> Result<String, Problem> {
    Ok(hex::encode(Sha256::digest(signed_bytes(&read(text)?.certificate)?)))
}

fn read(text: &str) -> Result<Document, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::Malformed(format!("more than {MAX_BYTES} bytes")));
    }
    serde_json::from_str(text).map_err(|e| Problem::Malformed(e.to_string()))
}

fn named_key(document: &Document) -> Result<PublicKey, Problem> {
    let bytes = STANDARD.decode(&document.public_key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    key.map(PublicKey::from).ok_or_else(|| Problem::Malformed("public_key is no Ed25519 key".to_owned()))
}

impl Certificate {
    fn consistent(&self) -> Result<(), Problem> {
        let t = &self.times;
        if self.format != FORMAT {
            return Err(Problem::Contradiction("format"));
        }
        if !(t.effective <= t.sealed && t.sealed <= t.purged && t.purged <= t.verified && t.verified <= t.certified) {
            return Err(Problem::Contradiction("the times are out of order"));
        }
        if self.backups.expired > t.certified {
            return Err(Problem::Contradiction("certified before the copies had expired"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
