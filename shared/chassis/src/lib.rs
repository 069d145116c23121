//! Everything a gRPC process needs and no business: configuration, telemetry, server, layers, errors, health, admin, client.

pub mod clock;
pub mod deadline;
pub mod error;
pub mod reason;
pub mod request_id;
pub mod status;
pub mod violations;

pub use clock::Clock;
pub use error::{Error, Result};
pub use reason::Reason;
pub use violations::Violations;
