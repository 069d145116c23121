//! Certificates: made of a deletion that is done, handed out, held against the ledger.

use std::collections::BTreeMap;

use cwpp_access::SystemScope;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::retention::v1::DeletionCause;
use uuid::Uuid;

use super::document::{
    Backups, Build, Certificate, Deleted, FORMAT, LedgerHead, Problem, Service, Times, digest, sign as sign_document,
    verify as verify_document,
};
use super::key::Signer;
use super::{entity, store};
use crate::deletion::ops::Deletions;
use crate::deletion::state::{Budget, State, later};
use crate::deletion::store::Run;
use crate::ledger;
use crate::ledger::entity::head;

/// A certificate that was just signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The text to hand out.
    pub text: String,
    /// The hash under which the ledger knows it (hex).
    pub digest: String,
    /// The key (PEM) that verifies it.
    pub public_key: String,
}

/// Signs what was done.
pub fn sign(run: &Run, budget: &Budget, head: &head::Model, signer: &Signer) -> Result<Signed> {
    let text = sign_document(&certificate(run, budget, head)?, signer).map_err(Error::internal)?;
    let digest = digest(&text).map_err(Error::internal)?;
    Ok(Signed { text, digest, public_key: signer.public().to_pem().map_err(Error::internal)? })
}

fn certificate(run: &Run, budget: &Budget, head: &head::Model) -> Result<Certificate> {
    let row = &run.deletion;
    let time = |time: Option<_>, name: &str| {
        time.ok_or_else(|| Error::internal(anyhow::anyhow!("a deletion is certified without its time `{name}`")))
    };
    let purged = time(row.purged_time, "purged")?;
    Ok(Certificate {
        format: FORMAT.to_owned(),
        deletion_id: row.id,
        incarnation: row.incarnation,
        cause: cause(row.cause).to_owned(),
        times: Times {
            effective: row.effective_time,
            sealed: time(row.sealed_time, "sealed")?,
            purged,
            verified: time(row.verified_time, "verified")?,
            certified: time(row.certified_time, "certified")?,
            deadline: budget.deadline(row.effective_time),
        },
        method: "rows deleted".to_owned(),
        services: run.services.iter().map(|service| service_of(run, service)).collect(),
        backups: Backups {
            horizon_seconds: budget.residue.as_secs(),
            assurance: "DECLARED".to_owned(),
            expired: later(purged, budget.residue),
        },
        build: Build { version: cwpp_chassis::VERSION.to_owned(), commit: cwpp_chassis::COMMIT.to_owned() },
        ledger: LedgerHead { seq: head.seq.unsigned_abs(), hash: head.hash.clone() },
    })
}

fn cause(number: i16) -> &'static str {
    match DeletionCause::try_from(i32::from(number)) {
        Ok(DeletionCause::Termination) => "TERMINATION",
        Ok(DeletionCause::AccountDeletion) => "ACCOUNT_DELETION",
        Ok(DeletionCause::Unspecified) | Err(_) => "UNSPECIFIED",
    }
}

fn service_of(run: &Run, service: &crate::deletion::entity::service::Model) -> Service {
    let mut classes: BTreeMap<i16, u64> = BTreeMap::new();
    for count in run.counts.iter().filter(|count| count.service == service.service) {
        *classes.entry(count.data_class).or_default() += count.row_count.unsigned_abs();
    }
    let deleted = classes.into_iter().map(|(class, rows)| {
        let class = DataClass::try_from(i32::from(class)).unwrap_or_default().as_str_name();
        Deleted { data_class: class.trim_start_matches("DATA_CLASS_").to_owned(), rows }
    });
    Service {
        name: service.service.clone(),
        deleted: deleted.collect(),
        tables_counted: service.tables_counted.unsigned_abs(),
        registry_hash: service.registry_hash.clone(),
    }
}

/// Hands out the certificate of a deletion.
pub async fn get(desk: &Deletions, scope: &SystemScope, id: Uuid) -> Result<entity::Model> {
    let run = desk.find(id).await?;
    let state = run.state()?;
    let found = desk.db.system_read(scope, |on| async move { store::get(&on, id).await }).await?;
    match (found, state) {
        (Some(found), State::Certified) => Ok(found),
        _ => Err(Error::new(Reason::CertificateNotReady, format!("the deletion is {state}, not yet CERTIFIED"))
            .with("state", state)),
    }
}

/// Verifies a certificate's signature with the keys that are known here, and its two places in the ledger: the entry
/// that names it, and the one that it names. What is wrong is the inner error.
pub async fn verify(desk: &Deletions, scope: &SystemScope, text: &str) -> Result<Result<(), String>> {
    let certificate = match signed_by_us(desk, text) {
        Ok(certificate) => certificate,
        Err(problem) => return Ok(Err(problem.to_string())),
    };
    let digest = digest(text).map_err(Error::internal)?;
    let (incarnation, place) = (certificate.incarnation, certificate.ledger);
    let seq = i64::try_from(place.seq).unwrap_or(i64::MAX);
    let (listed, before) = desk
        .db
        .system_read(scope, |on| {
            let digest = digest.clone();
            async move {
                let listed = ledger::store::has_certificate(&on, incarnation, &digest).await?;
                Ok((listed, ledger::store::get(&on, seq).await?))
            }
        })
        .await?;
    if !listed {
        return Ok(Err("the ledger has no entry of this certificate".to_owned()));
    }
    if before.is_none_or(|entry| entry.hash != place.hash) {
        return Ok(Err("the ledger does not have the entry that the certificate names".to_owned()));
    }
    Ok(Ok(()))
}

fn signed_by_us(desk: &Deletions, text: &str) -> Result<Certificate, Problem> {
    let mut verdict = Err(Problem::Malformed("no key is known".to_owned()));
    for key in desk.keys.iter() {
        verdict = verify_document(text, key);
        if !matches!(verdict, Err(Problem::WrongKey { .. })) {
            break;
        }
    }
    verdict
}
