//! An issuer of tokens, for services that want to know who calls.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cwpp_chassis::client::ClientConfig;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::services::Setting;

/// Whom the services believe.
pub const ISSUER: &str = "https://issuer.test";
/// For whom its tokens are.
pub const AUDIENCE: &str = "cwpp";

/// A key that tokens are signed with.
pub struct Issuer {
    key: SigningKey,
    kid: &'static str,
}

impl Issuer {
    /// Makes a key of this name.
    pub fn new(kid: &'static str, seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), kid }
    }

    /// Returns the key as PEM, the form of a signing key of certificates too.
    pub fn pem(&self) -> anyhow::Result<String> {
        Ok(self.key.to_pkcs8_pem(Default::default())?.to_string())
    }

    /// Signs claims.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        Ok(jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_pem(self.pem()?.as_bytes())?)?)
    }
}

/// Writes the keys that are believed, so that a reader sees the old file or the new one.
pub fn publish(file: &Path, issuers: &[&Issuer]) -> anyhow::Result<()> {
    let jwk = |issuer: &&Issuer| {
        let x = URL_SAFE_NO_PAD.encode(issuer.key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": issuer.kid, "x": x })
    };
    let keys: Vec<_> = issuers.iter().map(jwk).collect();
    replace(file, &json!({ "keys": keys }).to_string())
}

/// Replaces a file as a secret's volume does.
pub fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, file)?)
}

/// Claims of a caller of this kind with these rights, good for ten minutes.
pub fn claims(kind: &str, app_ids: Value, rights: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": format!("{kind}-1"), "exp": chrono::Utc::now().timestamp() + 600,
        "cwpp_kind": kind, "cwpp_app_ids": app_ids, "cwpp_rights": rights,
    })
}

/// Claims of a service, which may do anything for anybody.
pub fn service() -> Value {
    claims("service", json!("*"), &["*"])
}

/// Returns the settings of a client that shows this token; the file stays in `folder`.
pub fn client(folder: &Path, name: &str, token: &str) -> anyhow::Result<ClientConfig> {
    let file = folder.join(format!("{name}.token"));
    replace(&file, token)?;
    Ok(ClientConfig { token_file: Some(file), ..Default::default() })
}

/// What a service is set to that believes the keys of `jwks` and shows the token of `token`.
pub fn settings(service: &str, jwks: PathBuf, token: PathBuf, signing: PathBuf) -> Vec<Setting> {
    let mut settings = vec![
        ("auth.mode", "jwt".to_owned()),
        ("auth.jwt.issuer", ISSUER.to_owned()),
        ("auth.jwt.audience", AUDIENCE.to_owned()),
        ("auth.jwt.jwks_file", jwks.display().to_string()),
        ("auth.token_file", token.display().to_string()),
    ];
    if service == "retention" {
        settings.push(("backup.external_horizon", "0s".to_owned()));
        settings.push(("signing.key_file", signing.display().to_string()));
    }
    settings
}
