//! Settings of authentication, and the authenticator that they make.

use std::path::PathBuf;
use std::sync::Arc;

use cwpp_chassis::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::jwt::Verifier;
use crate::principal::Principal;

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do not: whoever reaches the port is one service with all rights. Only on loopback.
    #[default]
    Insecure,
    /// By a signed token in `authorization: Bearer`.
    Jwt,
}

/// Authentication.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// How callers prove who they are.
    pub mode: Mode,
    /// Tokens, for mode `jwt`.
    pub jwt: Jwt,
    /// File with the token that outgoing calls carry; read again when it changes. Empty means none.
    pub token_file: Option<PathBuf>,
}

/// Tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// The issuer (`iss`) that tokens must name; mandatory.
    pub issuer: String,
    /// The audience (`aud`) that tokens must name; mandatory.
    pub audience: String,
    /// File with the issuer's keys (JWKS); read again when it changes.
    pub jwks_file: PathBuf,
}

/// Finds the caller of a request.
#[derive(Clone)]
pub struct Authenticator {
    way: Arc<Way>,
}

enum Way {
    Insecure(Arc<Principal>),
    Jwt(Verifier),
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Auth {
    /// Says whether anybody who reaches the port may do anything.
    pub fn is_insecure(&self) -> bool {
        self.mode == Mode::Insecure
    }

    /// Makes the authenticator; wrong settings and unreadable keys stop the start.
    pub fn authenticator(&self) -> Result<Authenticator> {
        let way = match self.mode {
            Mode::Insecure => Way::Insecure(Arc::new(Principal::service("insecure"))),
            Mode::Jwt => Way::Jwt(Verifier::new(&self.jwt)?),
        };
        Ok(Authenticator { way: Arc::new(way) })
    }
}

impl Authenticator {
    /// Puts the principal of a request into its extensions.
    pub fn identify(&self, headers: &tonic::codegen::http::HeaderMap) -> Result<Arc<Principal>> {
        match &*self.way {
            Way::Insecure(principal) => Ok(principal.clone()),
            Way::Jwt(verifier) => verifier.verify(headers).map(Arc::new),
        }
    }
}

impl cwpp_chassis::Authenticator for Authenticator {
    fn authenticate(&self, head: &mut tonic::codegen::http::request::Parts) -> Result<()> {
        let principal = self.identify(&head.headers)?;
        head.extensions.insert(principal);
        Ok(())
    }
}
