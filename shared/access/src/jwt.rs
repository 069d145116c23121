//! Signed tokens.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use cwpp_chassis::{Error, Reason, Result};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tonic::codegen::http::HeaderMap;
use uuid::Uuid;

use crate::config::Jwt;
use crate::principal::{Kind, Principal, Tenants};
use crate::scope::AppId;

/// How often the key file is looked at.
const RELOAD: Duration = Duration::from_secs(1);

/// Allowed difference of clocks.
const LEEWAY_SECONDS: u64 = 30;

/// Verifies tokens against the keys of one issuer.
pub(crate) struct Verifier {
    issuer: String,
    audience: String,
    file: PathBuf,
    keys: ArcSwap<JwkSet>,
    looked: Mutex<(Instant, Option<SystemTime>)>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    cwpp_kind: Kind,
    #[serde(default)]
    cwpp_app_ids: AppIds,
    #[serde(default)]
    cwpp_machine_id: Option<Uuid>,
    #[serde(default)]
    cwpp_rights: Vec<String>,
}

/// `"*"`, or a list of numbers, which may be written as texts: JSON numbers lose precision above 2^53.
#[derive(Deserialize)]
#[serde(untagged)]
enum AppIds {
    Word(String),
    List(Vec<Number>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Int(u64),
    Text(String),
}

impl Default for AppIds {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

fn refused(why: &'static str) -> Error {
    Error::new(Reason::Unauthenticated, why)
}

impl Verifier {
    pub(crate) fn new(settings: &Jwt) -> Result<Self> {
        if settings.issuer.is_empty() || settings.audience.is_empty() {
            return Err(Error::new(Reason::Internal, "auth.jwt.issuer and auth.jwt.audience are mandatory"));
        }
        let verifier = Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            file: settings.jwks_file.clone(),
            keys: ArcSwap::from_pointee(JwkSet { keys: Vec::new() }),
            looked: Mutex::new((Instant::now(), None)),
        };
        verifier.load()?;
        Ok(verifier)
    }

    fn load(&self) -> Result<()> {
        let problem = |e: &dyn std::fmt::Display| {
            Error::new(Reason::Internal, format!("auth.jwt.jwks_file {}: {e}", self.file.display()))
        };
        let bytes = std::fs::read(&self.file).map_err(|e| problem(&e))?;
        let keys: JwkSet = serde_json::from_slice(&bytes).map_err(|e| problem(&e))?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Reads the key file again if it changed; a file that cannot be read leaves the old keys.
    fn refresh(&self) {
        let Ok(mut looked) = self.looked.try_lock() else {
            return;
        };
        if looked.0.elapsed() < RELOAD {
            return;
        }
        let changed = std::fs::metadata(&self.file).and_then(|m| m.modified()).ok();
        if changed != looked.1 {
            match self.load() {
                Ok(()) => looked.1 = changed,
                Err(error) => tracing::warn!(%error, "keeping the old keys"),
            }
        }
        looked.0 = Instant::now();
    }

    pub(crate) fn verify(&self, headers: &HeaderMap) -> Result<Principal> {
        self.refresh();
        let token = headers
            .get("authorization")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer ").or_else(|| v.strip_prefix("bearer ")))
            .ok_or_else(|| refused("the call carries no bearer token"))?;
        let head = jsonwebtoken::decode_header(token).map_err(|_| refused("the token is malformed"))?;
        if !matches!(head.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(refused("the token's algorithm is not accepted"));
        }
        let keys = self.keys.load();
        let kid = head.kid.as_deref().ok_or_else(|| refused("the token names no key"))?;
        let jwk = keys.find(kid).ok_or_else(|| refused("the token's key is not known"))?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| refused("the token's key is not usable"))?;
        let mut validation = Validation::new(head.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|e| match e.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => refused("the token has expired"),
                _ => refused("the token is not valid"),
            })?
            .claims;
        claims.principal()
    }
}

impl Claims {
    fn principal(self) -> Result<Principal> {
        let tenants = match self.cwpp_app_ids {
            AppIds::Word(word) if word == "*" => Tenants::All,
            AppIds::Word(_) => return Err(refused("the token's cwpp_app_ids are not valid")),
            AppIds::List(list) => {
                let ids = list.into_iter().map(|n| match n {
                    Number::Int(n) => AppId::from_request(n).ok(),
                    Number::Text(t) => t.parse().ok().and_then(|n| AppId::from_request(n).ok()),
                });
                let ids: Option<_> = ids.collect();
                Tenants::Only(ids.ok_or_else(|| refused("the token's cwpp_app_ids are not valid"))?)
            }
        };
        let bound = matches!(self.cwpp_kind, Kind::Agent | Kind::TenantUser);
        if bound && tenants == Tenants::All {
            return Err(refused("a token of this kind names its tenants"));
        }
        if self.cwpp_kind == Kind::Agent && self.cwpp_machine_id.is_none() {
            return Err(refused("an agent's token names its machine"));
        }
        Ok(Principal {
            kind: self.cwpp_kind,
            subject: self.sub,
            tenants,
            machine: self.cwpp_machine_id,
            rights: self.cwpp_rights,
        })
    }
}
