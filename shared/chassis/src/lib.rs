//! Everything a gRPC process needs and no business: configuration, telemetry, server, layers, errors, health, admin, client.

mod admin;
pub mod app;
pub mod client;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod error;
pub mod health;
pub mod layers;
pub mod methods;
pub mod reason;
pub mod request_id;
mod server;
pub mod status;
pub mod telemetry;
pub mod violations;

pub use clock::Clock;
pub use error::{Error, Result};
pub use health::Check;
pub use layers::Authenticator;
pub use reason::Reason;
pub use violations::Violations;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, where the build says so.
pub const COMMIT: &str = match option_env!("CWPP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
