//! Settings of the incidents service.

use std::time::Duration;

use anyhow::ensure;
use cwpp_access::Auth;
use cwpp_chassis::client::ClientConfig;
use cwpp_storage::Database;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// When failed logins are an incident.
    pub detection: Detection,
}

/// Where the other services are. This one starts and is ready without them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Peers {
    /// The configuration service, `http://HOST:PORT`, whose login whitelists are followed; empty follows none.
    pub configuration: String,
    /// The inventory service, `http://HOST:PORT`, whose machines' tags are followed; empty follows none, and
    /// whitelists by tag go by those that were followed before.
    pub inventory: String,
}

impl Default for Peers {
    fn default() -> Self {
        Self { configuration: "http://127.0.0.1:50053".into(), inventory: "http://127.0.0.1:50051".into() }
    }
}

/// When failed logins are an incident. The rules of a list are alternatives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detection {
    /// Rules for failures of one source at one account of one service. Default: 10 in 5 minutes, 20 in an hour, 40 in a day.
    pub account_rules: Vec<Rule>,
    /// Rules for failures of one source at one service across accounts. Default: 10 in 5 minutes at 3 accounts, 15 in an
    /// hour at 4, 25 in a day at 5.
    pub spraying_rules: Vec<Rule>,
}

/// So many failures, at so many accounts, in so much time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The length of the window, 1 minute to 24 hours.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub window: Duration,
    /// Failed attempts in it from which on it is an incident, at least 2.
    pub failures: u64,
    /// Accounts at which they failed, at least; 1 where one account is looked at.
    #[serde(default = "one")]
    pub accounts: u32,
}

fn one() -> u32 {
    1
}

impl Rule {
    fn new(minutes: u64, failures: u64, accounts: u32) -> Self {
        Self { window: Duration::from_secs(minutes * 60), failures, accounts }
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            account_rules: vec![Rule::new(5, 10, 1), Rule::new(60, 20, 1), Rule::new(24 * 60, 40, 1)],
            spraying_rules: vec![Rule::new(5, 10, 3), Rule::new(60, 15, 4), Rule::new(24 * 60, 25, 5)],
        }
    }
}

impl Config {
    /// Checks what a single value cannot show.
    pub fn check(&self) -> anyhow::Result<()> {
        for (list, rules, least) in [
            ("detection.account_rules", &self.detection.account_rules, 1),
            ("detection.spraying_rules", &self.detection.spraying_rules, 2),
        ] {
            for rule in rules {
                let minutes = rule.window.as_secs_f64() / 60.0;
                ensure!((1.0..=1440.0).contains(&minutes), "{list}: window must be 1 minute to 24 hours");
                ensure!(rule.failures >= 2, "{list}: failures must be at least 2");
                ensure!(rule.accounts >= least, "{list}: accounts must be at least {least}");
                ensure!(least > 1 || rule.accounts == 1, "{list}: accounts must be 1");
            }
        }
        Ok(())
    }

    /// Returns how peers are called.
    pub fn client(&self) -> ClientConfig {
        let mut client = self.client.clone();
        client.token_file = client.token_file.or_else(|| self.auth.token_file.clone());
        client
    }
}
