//! Settings of the retention service.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use cwpp_access::Auth;
use cwpp_chassis::client::ClientConfig;
use cwpp_storage::Database;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deletion::state::Budget;

/// The service's own sections; those of the process stand beside them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How callers prove who they are.
    pub auth: Auth,
    /// The database.
    pub database: Database,
    /// Where the other services are.
    pub peers: Peers,
    /// How they are called. Without a `token_file` of its own it sends that of `auth`.
    pub client: ClientConfig,
    /// How the time of a deletion is divided.
    pub deletion: Deletion,
    /// How rows are deleted.
    pub purge: Purge,
    /// How what is left is counted.
    pub verify: Verify,
    /// Copies outside the tables.
    pub backup: Backup,
    /// What holds deletions back when something goes wrong on a large scale.
    pub brakes: Brakes,
    /// The key of certificates.
    pub signing: Signing,
    /// The ledger.
    pub ledger: Ledger,
    /// The background work.
    pub worker: Worker,
}

/// Where the other services are; each must answer before a deletion can end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// The configuration service, `http://HOST:PORT`.
    pub configuration: String,
    /// The inventory service.
    pub inventory: String,
    /// The incidents service.
    pub incidents: String,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            configuration: "http://127.0.0.1:50053".into(),
            inventory: "http://127.0.0.1:50051".into(),
            incidents: "http://127.0.0.1:50052".into(),
        }
    }
}

/// How the time of a deletion is divided. Grace, purge and the longest life of a copy may take 144 h together, counted
/// from the effective time of the termination; more stops the start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deletion {
    /// How long a deletion stays SCHEDULED and can be cancelled.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub grace: Duration,
    /// How long sealing may take; part of `purge`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub seal: Duration,
    /// How long sealing, purging and verifying may take together.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub purge: Duration,
}

impl Default for Deletion {
    fn default() -> Self {
        Self { grace: hours(24), seal: hours(1), purge: hours(24) }
    }
}

/// How rows are deleted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Purge {
    /// How long one call to a service may delete, 20 s at most.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub call: Duration,
    /// The pause between chunks of about 1,000 rows. It shrinks as the deadline of the purge nears.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub pause: Duration,
}

impl Default for Purge {
    fn default() -> Self {
        Self { call: Duration::from_secs(10), pause: Duration::ZERO }
    }
}

/// How what is left is counted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// The least time between two passes, by the databases' clocks; longer than the longest transaction (1 s).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub gap: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self { gap: Duration::from_secs(2) }
    }
}

/// Copies outside the tables. The longest of the three is waited for after the last deleted row.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// How long backups live.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retention: Duration,
    /// How long the databases keep binary logs.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub binlog: Duration,
    /// How long copies live that this deployment does not make itself (managed snapshots, point-in-time logs); `0s` where
    /// there are none. Mandatory unless authentication is `insecure`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub external_horizon: Option<Duration>,
}

impl Default for Backup {
    fn default() -> Self {
        Self { retention: hours(72), binlog: hours(72), external_horizon: None }
    }
}

impl Backup {
    /// Returns for how long after the last deleted row a copy of it may live.
    pub fn horizon(&self) -> Duration {
        self.retention.max(self.binlog).max(self.external_horizon.unwrap_or_default())
    }
}

/// What holds deletions back when something goes wrong on a large scale.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Brakes {
    /// Tenants sealed in an hour at most; 0 seals none.
    pub seals_per_hour: u32,
    /// Nothing is sealed and no row is deleted. Deadlines go on.
    pub paused: bool,
}

impl Default for Brakes {
    fn default() -> Self {
        Self { seals_per_hour: 20, paused: false }
    }
}

/// The key of certificates.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// The Ed25519 private key, PEM (PKCS #8). Mandatory unless authentication is `insecure`; then a missing file is made,
    /// and without one the key lives as long as the process.
    pub key_file: Option<PathBuf>,
    /// Public keys (PEM) of former signing keys, whose certificates still verify here.
    pub former_key_files: Vec<PathBuf>,
}

/// The ledger.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// The file that every entry is appended to as the ledger grows, one JSON object a line; keep it apart from the
    /// database. None: it is not exported.
    pub file: Option<PathBuf>,
}

/// The background work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// How long a worker that says nothing keeps its deletion, by the database's clock; another goes on then.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// How often it looks for work.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub poll: Duration,
    /// The first wait after a failed step; doubles up to `retry_max`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retry_min: Duration,
    /// The longest wait after a failed step.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retry_max: Duration,
    /// Deletions worked on at once.
    pub parallel: usize,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(500),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            parallel: 2,
        }
    }
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

impl Config {
    /// Returns how the time of a deletion is divided.
    pub fn budget(&self) -> Budget {
        let Deletion { grace, seal, purge } = self.deletion;
        Budget { grace, seal, purge, residue: self.backup.horizon() }
    }

    /// Returns how peers are called.
    pub fn client(&self) -> ClientConfig {
        let mut client = self.client.clone();
        client.token_file = client.token_file.or_else(|| self.auth.token_file.clone());
        client
    }

    /// Checks what a single value cannot show.
    pub fn check(&self) -> anyhow::Result<()> {
        let insecure = self.auth.is_insecure();
        ensure!(
            insecure || self.backup.external_horizon.is_some(),
            "backup.external_horizon is mandatory: how long copies live that this deployment does not make itself, `0s` for none"
        );
        ensure!(insecure || self.signing.key_file.is_some(), "signing.key_file is mandatory");
        self.budget().check()?;
        let second = Duration::from_secs(1);
        ensure!(self.verify.gap > second, "verify.gap must be longer than the longest transaction, 1 s");
        ensure!(self.verify.gap <= hours(1), "verify.gap must be at most 1 h");
        ensure!(!self.purge.call.is_zero() && self.purge.call <= 20 * second, "purge.call must be at most 20 s");
        let Worker { lease, poll, retry_min, retry_max, parallel } = self.worker;
        ensure!(lease >= self.purge.call + 5 * second, "worker.lease must be longer than purge.call by 5 s or more");
        ensure!(lease + poll <= 60 * second, "worker.lease and worker.poll together must be at most 60 s");
        ensure!(!poll.is_zero() && !retry_min.is_zero(), "worker.poll and worker.retry_min must not be zero");
        ensure!(retry_min <= retry_max, "worker.retry_min must not exceed worker.retry_max");
        ensure!(parallel > 0, "worker.parallel must be at least 1");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_admitted_where_anybody_is() {
        Config::default().check().unwrap();
    }

    #[test]
    fn a_budget_over_the_promise_stops_the_start() {
        assert!(refused(|c| c.backup.external_horizon = Some(hours(97))).contains("144 h"));
        assert!(refused(|c| c.deletion.grace = hours(72)).contains("144 h"));
        let mut config = Config::default();
        config.backup.external_horizon = Some(hours(96));
        config.check().unwrap();
    }

    #[test]
    fn copies_and_key_must_be_declared_outside_of_insecure() {
        let jwt = |config: &mut Config| config.auth.mode = cwpp_access::Mode::Jwt;
        assert!(refused(jwt).contains("backup.external_horizon"));
        let with_horizon = |config: &mut Config| {
            jwt(config);
            config.backup.external_horizon = Some(Duration::ZERO);
        };
        assert!(refused(with_horizon).contains("signing.key_file"));
    }

    #[test]
    fn another_worker_goes_on_within_a_minute() {
        assert!(refused(|c| c.worker.lease = Duration::from_secs(61)).contains("60 s"));
        assert!(refused(|c| c.purge.call = Duration::from_secs(21)).contains("20 s"));
        assert!(refused(|c| c.verify.gap = Duration::from_secs(1)).contains("longest transaction"));
    }
}
