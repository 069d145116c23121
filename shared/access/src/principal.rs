//! The one type of caller.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use uuid::Uuid;

use crate::scope::AppId;

/// What kind of caller it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Another service.
    Service,
    /// The agent of one machine.
    Agent,
    /// A user of a tenant.
    TenantUser,
    /// Somebody of the provider; sees personal fields only under a grant of the tenant.
    Operator,
    /// Somebody who looks at what operators did; never sees personal fields.
    Auditor,
}

/// The tenants that a principal may speak for.
#[derive(Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Any.
    All,
    /// These.
    Only(BTreeSet<AppId>),
}

/// A caller.
#[derive(Clone)]
pub struct Principal {
    /// Its kind.
    pub kind: Kind,
    /// Its name, out of the credential.
    pub subject: String,
    /// The tenants that it may speak for.
    pub tenants: Tenants,
    /// The machine, for agents.
    pub machine: Option<Uuid>,
    /// Its rights: `service.resource.verb`, where the tail may be `*`.
    pub rights: Vec<String>,
}

impl fmt::Debug for Principal {
    /// Names the kind only: the subject may name a person, the tenants are nobody's business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Principal {
    /// The principal of mode `insecure`, and of a service's own background work.
    pub fn service(subject: impl Into<String>) -> Self {
        Self {
            kind: Kind::Service,
            subject: subject.into(),
            tenants: Tenants::All,
            machine: None,
            rights: vec!["*".to_owned()],
        }
    }

    /// Says whether it has a right.
    pub fn may(&self, right: &str) -> bool {
        self.rights.iter().any(|have| match have.strip_suffix('*') {
            Some("") => true,
            Some(prefix) if prefix.ends_with('.') => right.starts_with(prefix),
            _ => have == right,
        })
    }

    /// Says whether it may speak for a tenant.
    pub fn speaks_for(&self, app_id: AppId) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::Only(set) => set.contains(&app_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rights: &[&str]) -> Principal {
        Principal { rights: rights.iter().map(|r| (*r).to_owned()).collect(), ..Principal::service("test") }
    }

    #[test]
    fn a_right_is_given_by_name_or_by_its_head() {
        assert!(with(&["*"]).may("inventory.assets.read"));
        assert!(with(&["inventory.*"]).may("inventory.assets.read"));
        assert!(with(&["inventory.assets.*"]).may("inventory.assets.read"));
        assert!(with(&["inventory.assets.read"]).may("inventory.assets.read"));
    }

    #[test]
    fn nothing_else_gives_a_right() {
        assert!(!with(&[]).may("inventory.assets.read"));
        assert!(!with(&["inventory.assets"]).may("inventory.assets.read"));
        assert!(!with(&["inv*"]).may("inventory.assets.read"));
        assert!(!with(&["incidents.*"]).may("inventory.assets.read"));
    }
}
