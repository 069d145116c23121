//! The error of every operation: a reason out of the catalogue, a message for people, details for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reason::Reason;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field, such as `items[3].name`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

/// A failed operation. Its message and details are sent to the caller, its source is only logged.
pub struct Error {
    // Boxed, so that a `Result` stays small on the way of success.
    inner: Box<Inner>,
}

struct Inner {
    reason: Reason,
    message: String,
    metadata: BTreeMap<&'static str, String>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    resource: Option<(&'static str, String)>,
    source: Option<anyhow::Error>,
}

impl Error {
    /// An error of this reason; `message` is read by people and holds nothing personal.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                reason,
                message: message.into(),
                metadata: BTreeMap::new(),
                violations: Vec::new(),
                retry_after: None,
                resource: None,
                source: None,
            }),
        }
    }

    /// A fault of the service: the caller gets the request id only, the log gets the cause.
    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        Self::new(Reason::Internal, "internal error").source(source)
    }

    /// Adds a value for programs (`ErrorInfo.metadata`).
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.inner.metadata.insert(key, value.to_string());
        self
    }

    /// Adds a wrong field (`BadRequest`).
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.inner.violations.push(FieldViolation { field: field.into(), description: description.into() });
        self
    }

    /// Tells the caller when to repeat (`RetryInfo`).
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.inner.retry_after = Some(delay);
        self
    }

    /// Names what it is about (`ResourceInfo`).
    #[must_use]
    pub fn resource(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        self.inner.resource = Some((kind, name.into()));
        self
    }

    /// Keeps the cause for the log. It is never sent.
    #[must_use]
    pub fn source(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Why it failed.
    pub fn reason(&self) -> Reason {
        self.inner.reason
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The values for programs.
    pub fn metadata(&self) -> &BTreeMap<&'static str, String> {
        &self.inner.metadata
    }

    /// The wrong fields.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.inner.violations
    }

    /// When to repeat, if that can help.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Kind and name of what it is about.
    pub fn resource_name(&self) -> Option<(&'static str, &str)> {
        self.inner.resource.as_ref().map(|(kind, name)| (*kind, name.as_str()))
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.inner.source.as_ref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.inner.reason, self.inner.message)?;
        for violation in &self.inner.violations {
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = &*self.inner;
        let mut out = f.debug_struct("Error");
        out.field("reason", &inner.reason.as_str()).field("message", &inner.message);
        if !inner.metadata.is_empty() {
            out.field("metadata", &inner.metadata);
        }
        if !inner.violations.is_empty() {
            out.field("violations", &inner.violations);
        }
        if let Some(source) = &inner.source {
            out.field("source", &format_args!("{source:#}"));
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| {
            let source: &(dyn std::error::Error + 'static) = source.as_ref();
            source
        })
    }
}
