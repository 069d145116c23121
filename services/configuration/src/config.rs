//! Settings of the configuration service.

use cwpp_access::Auth;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The service's own sections; those of the process stand beside them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The region that this deployment serves, 1 to 63 bytes; tenants of another one are refused.
    pub region: String,
    /// How callers prove who they are.
    pub auth: Auth,
    /// The database.
    pub database: cwpp_storage::Database,
}

impl Default for Config {
    fn default() -> Self {
        Self { region: "default".into(), auth: Auth::default(), database: cwpp_storage::Database::default() }
    }
}
