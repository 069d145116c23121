//! Settings of the database connection.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the connection to MySQL is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Not at all: only where the network is trusted.
    Disabled,
    /// Encrypted if the server can, unverified.
    #[default]
    Preferred,
    /// Encrypted, unverified.
    Required,
    /// Encrypted, and the server's certificate is signed by `tls_ca_file`.
    VerifyCa,
    /// As `verify_ca`, and the certificate names the host.
    VerifyIdentity,
}

/// The database of a service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH` or `mysql://USER@HOST:PORT/NAME`; replaces host, port, name and user. A password may stand in it for
    /// development; elsewhere use `password_file`.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// Host of the MySQL server.
    pub host: String,
    /// Port of the MySQL server.
    pub port: u16,
    /// Name of the schema; empty means the service's name.
    pub name: String,
    /// User.
    pub user: String,
    /// File with the password; read again for each new pool.
    pub password_file: Option<PathBuf>,
    /// How the connection is encrypted.
    pub tls_mode: TlsMode,
    /// File with the certificates (PEM) that the server's must be signed by.
    pub tls_ca_file: Option<PathBuf>,
    /// Most connections for reads.
    pub max_connections: u32,
    /// Most write transactions at once. Two cores of MySQL saturate at 2 to 4.
    pub write_permits: u32,
    /// Longest wait for a connection or a write permit.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub acquire_timeout: Duration,
    /// Prepared statements kept per connection.
    pub statement_cache: usize,
    /// Files with 32 bytes each (raw, or hex) for page tokens and request hashes: the first makes, all verify; replicas share
    /// them. Without any, SQLite keeps one beside its file, and MySQL gets one that lasts as long as the process.
    pub key_files: Vec<PathBuf>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: String::new(),
            host: String::new(),
            port: 3306,
            name: String::new(),
            user: "cwpp".to_owned(),
            password_file: None,
            tls_mode: TlsMode::default(),
            tls_ca_file: None,
            max_connections: 16,
            write_permits: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_cache: 1024,
            key_files: Vec::new(),
        }
    }
}

impl Database {
    /// Names a database by its URL, the rest at the defaults.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// Writes a URL with its password hidden: settings are printed and logged.
fn without_password<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let hidden = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    });
    serializer.serialize_str(hidden.as_deref().unwrap_or(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let printed = |url: &str| serde_json::to_value(Database::at(url)).unwrap()["url"].as_str().unwrap().to_owned();
        assert_eq!(printed("mysql://cwpp:se:cr@et@db:3306/x"), "mysql://cwpp:***@db:3306/x");
        assert_eq!(printed("mysql://cwpp@db:3306/x"), "mysql://cwpp@db:3306/x");
        assert_eq!(printed("sqlite:/var/lib/cwpp/a.db"), "sqlite:/var/lib/cwpp/a.db");
    }
}
