//! The settings of inventory, beside the chassis' own.

use std::num::NonZeroU16;
use std::time::Duration;

use cwpp_access::Auth;
use cwpp_chassis::client::ClientConfig;
use cwpp_storage::Database;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The sections of inventory.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How callers prove who they are.
    pub auth: Auth,
    /// The database. `database.key_files` also makes report tokens: replicas share them.
    pub database: Database,
    /// Where the other services are.
    pub peers: Peers,
    /// How they are called. Without a `token_file` of its own it sends that of `auth`.
    pub client: ClientConfig,
    /// How reports are received.
    pub report: Report,
    /// How signs of life are written.
    pub liveness: Liveness,
    /// How counts are folded.
    pub counts: Counts,
    /// What becomes of machines that are removed or silent.
    pub machines: Machines,
}

/// Where the other services are. This one starts and is ready without them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// The configuration service, `http://HOST:PORT`, whose policies are followed; empty follows none.
    pub configuration: String,
}

impl Default for Peers {
    fn default() -> Self {
        Self { configuration: "http://127.0.0.1:50053".into() }
    }
}

impl Config {
    /// Returns how peers are called.
    pub fn client(&self) -> ClientConfig {
        let mut client = self.client.clone();
        client.token_file = client.token_file.or_else(|| self.auth.token_file.clone());
        client
    }
}

/// How reports are received.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// How long a report token is good for, by the database's clock.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub token_life: Duration,
    /// Memory for reports being received, in bytes; reserved by what each declares.
    pub budget_bytes: u64,
    /// Longest wait for the next message of a report.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle_timeout: Duration,
}

impl Default for Report {
    fn default() -> Self {
        Self { token_life: Duration::from_secs(15 * 60), budget_bytes: 96 << 20, idle_timeout: Duration::from_secs(30) }
    }
}

/// How signs of life are written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Liveness {
    /// How long a sign of life waits for others of its tenant while fewer than 20 are there.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub linger: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { linger: Duration::from_millis(4) }
    }
}

/// How counts are folded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Counts {
    /// How often pending changes of counts are folded. Reads are exact in between.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub fold_interval: Duration,
}

impl Default for Counts {
    fn default() -> Self {
        Self { fold_interval: Duration::from_secs(2) }
    }
}

/// What becomes of machines that are removed or silent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Machines {
    /// Days after which a machine that was not heard of is removed with all that is known of it, whatever its tenant; absent
    /// only where a policy of the tenant says so. While no machine of a tenant is heard of, none of it is removed.
    pub remove_after_days_offline: Option<NonZeroU16>,
    /// How often such machines are looked for, and removals finished whose call ended before.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub sweep_interval: Duration,
}

impl Default for Machines {
    fn default() -> Self {
        Self { remove_after_days_offline: None, sweep_interval: Duration::from_secs(600) }
    }
}
