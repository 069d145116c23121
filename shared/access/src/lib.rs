//! Who calls, for which tenant, with which rights.
//!
//! A call goes through here once: the authenticator of the configured mode puts a [`Principal`] into the request, the
//! generated `XGuarded` holds it against the method's rule and makes the scope, calls the operation of `XOps` with it,
//! and masks the reply. A scope can be made nowhere else, and the storage layer takes nothing else.

pub mod audit;
pub mod config;
pub mod gate;
mod jwt;
pub mod mask;
pub mod principal;
pub mod rule;
pub mod scope;
pub mod stream;

pub use audit::{AuditEntry, AuditSink};
pub use config::{Auth, Mode};
pub use gate::Gate;
pub use principal::{Kind, Principal};
pub use scope::{AppId, CapabilityScope, Job, SystemScope, TenantScope};
pub use stream::{Incoming, Outgoing};

/// Operation traits, guards and masks, generated from the contracts.
pub mod ops {
    #![allow(clippy::all, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/operations.rs"));
}
