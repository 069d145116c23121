//! Which tokens are believed.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cwpp_access::config::{Auth, Authenticator, Jwt, Mode};
use cwpp_access::principal::Kind;
use cwpp_chassis::Reason;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use tonic::codegen::http::HeaderMap;

struct Issuer {
    key: SigningKey,
    kid: &'static str,
}

impl Issuer {
    fn new(kid: &'static str, seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), kid }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": self.kid, "x": x})
    }

    fn token(&self, claims: &Value) -> String {
        let head = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid});
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let signed = format!("{}.{}", part(&head), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }
}

fn write_keys(file: &Path, issuers: &[&Issuer]) {
    let keys: Vec<_> = issuers.iter().map(|i| i.jwk()).collect();
    std::fs::write(file, json!({"keys": keys}).to_string()).expect("written");
}

fn authenticator(file: &Path) -> Authenticator {
    let jwt = Jwt { issuer: "https://issuer".into(), audience: "cwpp".into(), jwks_file: file.to_owned() };
    Auth { mode: Mode::Jwt, jwt, token_file: None }.authenticator().expect("valid settings")
}

fn claims() -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "iss": "https://issuer", "aud": "cwpp", "sub": "alice", "exp": now + 600,
        "cwpp_kind": "tenant_user", "cwpp_app_ids": [42, "9007199254740993"], "cwpp_rights": ["inventory.*"],
    })
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    headers
}

#[test]
fn a_good_token_makes_a_principal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, issuer) = (folder.path().join("jwks.json"), Issuer::new("a", 1));
    write_keys(&file, &[&issuer]);
    let principal = authenticator(&file).identify(&headers(&issuer.token(&claims()))).expect("believed");
    assert_eq!(principal.kind, Kind::TenantUser);
    assert_eq!(principal.subject, "alice");
    assert!(principal.may("inventory.assets.read") && !principal.may("incidents.incidents.read"));
    let tenant = |n| cwpp_access::AppId::from_request(n).expect("in range");
    assert!(principal.speaks_for(tenant(42)) && principal.speaks_for(tenant(9_007_199_254_740_993)));
    assert!(!principal.speaks_for(tenant(43)));
}

#[test]
fn a_token_that_is_wrong_in_any_claim_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, issuer) = (folder.path().join("jwks.json"), Issuer::new("a", 1));
    write_keys(&file, &[&issuer]);
    let authenticator = authenticator(&file);
    let now = chrono::Utc::now().timestamp();
    for (claim, value) in [
        ("iss", json!("https://other")),
        ("aud", json!("another")),
        ("exp", json!(now - 600)),
        ("exp", Value::Null),
        ("nbf", json!(now + 600)),
        ("sub", Value::Null),
        ("cwpp_kind", json!("root")),
        ("cwpp_app_ids", json!("*")),
        ("cwpp_app_ids", json!([0])),
        ("cwpp_app_ids", json!(["x"])),
    ] {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(claim);
        } else {
            claims[claim] = value.clone();
        }
        let error = authenticator.identify(&headers(&issuer.token(&claims))).expect_err("refused");
        assert_eq!(error.reason(), Reason::Unauthenticated, "{claim} = {value}");
    }
}

#[test]
fn a_token_that_is_not_signed_by_a_known_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, issuer) = (folder.path().join("jwks.json"), Issuer::new("a", 1));
    write_keys(&file, &[&issuer]);
    let authenticator = authenticator(&file);
    let good = issuer.token(&claims());
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let unsigned_head = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": "a"}).to_string());
    let body = good.split('.').nth(1).expect("a body");
    for token in [
        Issuer::new("a", 2).token(&claims()),
        Issuer::new("b", 1).token(&claims()),
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{unsigned_head}.{body}."),
        "nonsense".into(),
        String::new(),
    ] {
        let error = authenticator.identify(&headers(&token)).expect_err("refused");
        assert_eq!(error.reason(), Reason::Unauthenticated);
    }
    assert_eq!(authenticator.identify(&HeaderMap::new()).expect_err("refused").reason(), Reason::Unauthenticated);
}

#[test]
fn an_agent_names_its_machine_and_a_service_may_speak_for_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, issuer) = (folder.path().join("jwks.json"), Issuer::new("a", 1));
    write_keys(&file, &[&issuer]);
    let authenticator = authenticator(&file);
    let mut claims = claims();
    claims["cwpp_kind"] = json!("agent");
    assert!(authenticator.identify(&headers(&issuer.token(&claims))).is_err());
    claims["cwpp_machine_id"] = json!("00000000-0000-0000-0000-000000000007");
    let agent = authenticator.identify(&headers(&issuer.token(&claims))).expect("believed");
    assert_eq!(agent.machine, Some(crate::world::MACHINE));
    claims["cwpp_kind"] = json!("service");
    claims["cwpp_app_ids"] = json!("*");
    assert!(authenticator.identify(&headers(&issuer.token(&claims))).is_ok());
}

#[test]
fn new_keys_are_believed_without_a_restart_and_old_ones_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, old, new) = (folder.path().join("jwks.json"), Issuer::new("a", 1), Issuer::new("b", 2));
    write_keys(&file, &[&old]);
    let authenticator = authenticator(&file);
    assert!(authenticator.identify(&headers(&new.token(&claims()))).is_err());
    write_keys(&file, &[&new]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(authenticator.identify(&headers(&new.token(&claims()))).is_ok());
    assert!(authenticator.identify(&headers(&old.token(&claims()))).is_err());
}

#[test]
fn settings_without_issuer_or_audience_or_keys_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    write_keys(&file, &[&Issuer::new("a", 1)]);
    for (issuer, audience, keys) in
        [("", "cwpp", &file), ("https://issuer", "", &file), ("https://issuer", "cwpp", &folder.path().join("none"))]
    {
        let jwt = Jwt { issuer: issuer.into(), audience: audience.into(), jwks_file: keys.clone() };
        assert!(Auth { mode: Mode::Jwt, jwt, token_file: None }.authenticator().is_err());
    }
}
