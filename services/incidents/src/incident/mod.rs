//! Incidents: what was found, and what people did about it.

pub(crate) mod abnormal_login;
pub mod entity;
pub(crate) mod ops;
pub(crate) mod password_cracking;
pub(crate) mod rpc;
pub mod status;
pub mod store;

use cwpp_chassis::Error;
use cwpp_contracts::incidents::v1::{IncidentKind, incident::Details};

/// Returns what an incident's kind says of it.
pub(crate) fn details(row: &entity::Model) -> Result<Details, Error> {
    match row.incident_kind()? {
        IncidentKind::AbnormalLogin => Ok(Details::AbnormalLogin(abnormal_login::details(row))),
        IncidentKind::PasswordCracking => Ok(Details::PasswordCracking(password_cracking::details(row))),
        IncidentKind::Unspecified => Err(Error::internal(anyhow::anyhow!("an incident without a kind is stored"))),
    }
}

/// Hashes the natural key of an incident, each part with its length before it.
pub(crate) fn subject_key(kind: IncidentKind, parts: &[&[u8]]) -> uuid::Uuid {
    let mut hash = blake3::Hasher::new_derive_key("cwpp incidents 2026 natural key");
    hash.update(&(kind as i32).to_be_bytes());
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 16];
    hash.finalize_xof().fill(&mut key);
    uuid::Uuid::from_bytes(key)
}
