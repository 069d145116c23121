//! The rule of a method, as its option in the contract says.

/// What a call speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    /// One tenant.
    Tenant,
    /// No tenant, or all of them.
    System,
    /// Whoever knows the id in the request.
    Capability,
}

/// The kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Looks.
    Read,
    /// Creates or changes.
    Write,
    /// Deletes.
    Delete,
    /// Takes data out in bulk.
    Export,
}

/// The rule of a method.
#[derive(Debug)]
pub struct Rule {
    /// The path, `/package.Service/Method`.
    pub path: &'static str,
    /// What it speaks about.
    pub scope: ScopeKind,
    /// The right that it needs, `service.resource.verb`.
    pub right: &'static str,
    /// The kind of access.
    pub action: Action,
    /// Weight against the limit of calls in flight.
    pub cost: u32,
    /// Whether agents may call it.
    pub agent: bool,
}
