//! Report tokens: they order the reports of a machine by the database's clock, whatever the hosts' clocks say.

use chrono::{DateTime, Utc};
use cwpp_access::AppId;
use cwpp_chassis::{Error, Reason, Result};
use uuid::Uuid;

/// Version, machine, time, and the code over them and the tenant.
const LENGTH: usize = 1 + 16 + 8 + 16;
const VERSION: u8 = 1;
pub(crate) const PURPOSE: &str = "cwpp 2026-11 report tokens";
const CONTEXT: &str = "cwpp inventory report token 2026-11";

/// Makes and verifies report tokens.
#[derive(Clone)]
pub struct Tokens {
    /// The first makes tokens, all verify.
    keys: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({} keys)", self.keys.len())
    }
}

impl Tokens {
    /// Takes keys, of which the first makes tokens; without any, one is drawn that lasts as long as the process.
    pub fn new(secrets: &[[u8; 32]]) -> Self {
        let mut keys: Vec<[u8; 32]> = secrets.iter().map(|s| blake3::derive_key(CONTEXT, s)).collect();
        if keys.is_empty() {
            keys.push(rand::random());
        }
        Self { keys }
    }

    /// Makes the token of a machine.
    pub fn make(&self, app_id: AppId, machine_id: Uuid, at: DateTime<Utc>) -> String {
        let mut token = Vec::with_capacity(LENGTH);
        token.push(VERSION);
        token.extend_from_slice(machine_id.as_bytes());
        token.extend_from_slice(&at.timestamp_micros().to_be_bytes());
        let code = code(&self.keys[0], app_id, &token);
        token.extend_from_slice(&code);
        hex(&token)
    }

    /// Returns the time of a token in microseconds, or `REPORT_TOKEN_INVALID`.
    pub fn verify(&self, app_id: AppId, machine_id: Uuid, token: &str) -> Result<i64> {
        let bytes = unhex(token).filter(|b| b.len() == LENGTH && b[0] == VERSION).ok_or_else(invalid)?;
        let (said, given) = bytes.split_at(LENGTH - 16);
        let made_here = self.keys.iter().any(|key| same(&code(key, app_id, said), given));
        if !made_here || &said[1..17] != machine_id.as_bytes() {
            return Err(invalid());
        }
        let mut micros = [0; 8];
        micros.copy_from_slice(&said[17..25]);
        Ok(i64::from_be_bytes(micros))
    }
}

fn code(key: &[u8; 32], app_id: AppId, said: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&app_id.get().to_be_bytes());
    hasher.update(said);
    let mut code = [0; 16];
    code.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    code
}

/// Compares without telling by time where two codes differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

fn invalid() -> Error {
    Error::new(Reason::ReportTokenInvalid, "the report token was not made for this machine: negotiate again")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>();
    let digits = digits.filter(|d| d.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|p| p[0] << 4 | p[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(n: u64) -> AppId {
        AppId::from_request(n).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_tenant_and_machine_only() {
        let (tokens, machine, at) = (Tokens::new(&[[7; 32]]), Uuid::now_v7(), Utc::now());
        let token = tokens.make(app(1), machine, at);
        assert_eq!(tokens.verify(app(1), machine, &token).unwrap(), at.timestamp_micros());
        for (tenant, machine, text) in [
            (app(2), machine, token.clone()),
            (app(1), Uuid::now_v7(), token.clone()),
            (app(1), machine, token[..20].to_owned()),
            (app(1), machine, format!("{token}00")),
            (app(1), machine, "ä".repeat(41)),
            (app(1), machine, String::new()),
        ] {
            assert_eq!(tokens.verify(tenant, machine, &text).unwrap_err().reason(), Reason::ReportTokenInvalid);
        }
    }

    #[test]
    fn replicas_with_one_key_share_tokens_and_a_new_key_keeps_the_old_ones() {
        let (machine, at) = (Uuid::now_v7(), Utc::now());
        let token = Tokens::new(&[[7; 32]]).make(app(1), machine, at);
        assert!(Tokens::new(&[[8; 32], [7; 32]]).verify(app(1), machine, &token).is_ok());
        assert!(Tokens::new(&[[8; 32]]).verify(app(1), machine, &token).is_err());
        assert!(Tokens::new(&[]).verify(app(1), machine, &token).is_err());
    }
}
