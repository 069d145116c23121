//! The one catalogue of reasons: what `ErrorInfo.reason` can say, with which status code.
//!
//! To add a reason, add a line. Its documentation is printed in the error catalogue, so write what happened and what
//! the caller can do.

use tonic::Code;

macro_rules! reasons {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $text:literal, $code:ident; )+) => {
        /// Why a call failed. Stable: programs decide by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason { $( $(#[doc = $doc])+ $variant, )+ }

        impl Reason {
            /// Every reason, in the order of the catalogue.
            pub const ALL: &'static [Reason] = &[ $( Reason::$variant, )+ ];

            /// The text on the wire, in upper snake case.
            pub const fn as_str(self) -> &'static str {
                match self { $( Reason::$variant => $text, )+ }
            }

            /// The status code that goes with it.
            pub const fn code(self) -> Code {
                match self { $( Reason::$variant => Code::$code, )+ }
            }

            /// What it means and what to do, for the catalogue.
            pub const fn doc(self) -> &'static str {
                match self { $( Reason::$variant => concat!($($doc),+).trim_ascii(), )+ }
            }
        }
    };
}

reasons! {
    // The request itself.
    /// The request as a whole breaks a rule; the message names it.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument;
    /// One or more fields are wrong; `BadRequest` names every one of them.
    InvalidField = "INVALID_FIELD", InvalidArgument;
    /// The bytes are no message of this method (bad encoding, text that is no UTF-8).
    MalformedMessage = "MALFORMED_MESSAGE", InvalidArgument;
    /// A message is larger than the method admits. Send less at once.
    MessageTooLarge = "MESSAGE_TOO_LARGE", InvalidArgument;
    /// The page token was not made for this tenant, method, filter and order. Start at the first page.
    PageTokenInvalid = "PAGE_TOKEN_INVALID", InvalidArgument;
    /// The page token is too old. Start at the first page.
    PageTokenExpired = "PAGE_TOKEN_EXPIRED", InvalidArgument;
    /// Two items of one report or call have the same natural key.
    DuplicateItem = "DUPLICATE_ITEM", InvalidArgument;
    /// The number of items differs from the number that was declared.
    ItemCountMismatch = "ITEM_COUNT_MISMATCH", InvalidArgument;
    /// The stream ended before its end mark; nothing of it was applied.
    StreamIncomplete = "STREAM_INCOMPLETE", InvalidArgument;
    /// The report token was not made by this service for this machine. Negotiate again.
    ReportTokenInvalid = "REPORT_TOKEN_INVALID", InvalidArgument;
    /// A filter, order or mask names what the caller may not see without a grant.
    MaskedFilter = "MASKED_FILTER", PermissionDenied;
    /// The request id was used before with another content. Make a new one.
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument;

    // What it is about.
    /// No such tenant, or none that the caller may know of.
    TenantUnknown = "TENANT_UNKNOWN", NotFound;
    /// No such machine in this tenant.
    MachineUnknown = "MACHINE_UNKNOWN", NotFound;
    /// No such asset on this machine.
    AssetUnknown = "ASSET_UNKNOWN", NotFound;
    /// No such incident in this tenant.
    IncidentUnknown = "INCIDENT_UNKNOWN", NotFound;
    /// No such policy in this tenant.
    PolicyUnknown = "POLICY_UNKNOWN", NotFound;
    /// No such deletion.
    DeletionUnknown = "DELETION_UNKNOWN", NotFound;
    /// No such object.
    NotFound = "NOT_FOUND", NotFound;
    /// The tenant exists already.
    TenantExists = "TENANT_EXISTS", AlreadyExists;
    /// An object of this name or key exists already.
    AlreadyExists = "ALREADY_EXISTS", AlreadyExists;

    // The state it is in.
    /// The tenant is being opened. Repeat in a moment.
    TenantOpening = "TENANT_OPENING", FailedPrecondition;
    /// The tenant is sealed for its erasure; no write and no read is admitted any more.
    TenantFenced = "TENANT_FENCED", FailedPrecondition;
    /// The tenant's termination is scheduled: reads and exports only.
    TenantReadOnly = "TENANT_READ_ONLY", FailedPrecondition;
    /// The tenant's former life is still being erased. Open it again when that is certified.
    TenantClosing = "TENANT_CLOSING", FailedPrecondition;
    /// The report is older than one that was applied already. Negotiate again.
    ReportTokenStale = "REPORT_TOKEN_STALE", FailedPrecondition;
    /// The tenant switched a class of assets off. Do not send it, and negotiate again.
    CollectionDisabled = "COLLECTION_DISABLED", FailedPrecondition;
    /// The deletion is not certified yet.
    CertificateNotReady = "CERTIFICATE_NOT_READY", FailedPrecondition;
    /// The agent runs on a clone of the machine that it reports for. Register again: the answer gives an id of its own.
    MachineCloned = "MACHINE_CLONED", FailedPrecondition;
    /// Two agents speak for the machine, and it is not settled which of them keeps it. Repeat after the given delay.
    MachineContested = "MACHINE_CONTESTED", FailedPrecondition;
    /// The object's state does not admit this change.
    InvalidTransition = "INVALID_TRANSITION", FailedPrecondition;
    /// Events are missing before the first one sent; the metadata names the number to send from.
    SpoolGap = "SPOOL_GAP", FailedPrecondition;
    /// The feed's cursor lies outside what is kept. Read anew from the start.
    CursorExpired = "CURSOR_EXPIRED", OutOfRange;
    /// The tenant belongs to another service region than this deployment.
    RegionRefused = "REGION_REFUSED", FailedPrecondition;
    /// The fence stands at another epoch than the call names.
    EpochMismatch = "EPOCH_MISMATCH", FailedPrecondition;
    /// The deletion was taken over by another worker with a higher token.
    LeaseLost = "LEASE_LOST", FailedPrecondition;
    /// A limit of the tenant is reached; the metadata names limit and value.
    LimitReached = "LIMIT_REACHED", ResourceExhausted;
    /// The etag is not the current one. Read again, then change.
    EtagMismatch = "ETAG_MISMATCH", Aborted;
    /// Other writers were in the way until the retries were used up. Repeat.
    Conflict = "CONFLICT", Aborted;

    // Who asks.
    /// Who calls could not be established.
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated;
    /// The caller lacks the right that this method needs.
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied;

    // Capacity and time.
    /// The service works on as much as it can. Repeat after the given delay.
    Overloaded = "OVERLOADED", ResourceExhausted;
    /// The memory set aside for reports is in use. Repeat after the given delay.
    ReportBudget = "REPORT_BUDGET", ResourceExhausted;
    /// The deadline passed before the answer was there. A write may or may not have happened.
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded;
    /// The caller went away.
    Cancelled = "CANCELLED", Cancelled;

    // This deployment.
    /// The seal waits for transactions that began before it. Repeat.
    SealWait = "SEAL_WAIT", Unavailable;
    /// The database cannot be reached or refuses to work. Repeat after the given delay.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE", Unavailable;
    /// The database's schema is not the one this build needs yet.
    SchemaNotReady = "SCHEMA_NOT_READY", Unavailable;
    /// Another service that this call needs is away. Repeat after the given delay.
    PeerUnavailable = "PEER_UNAVAILABLE", Unavailable;
    /// This instance is going away. Repeat; another one will answer.
    ShuttingDown = "SHUTTING_DOWN", Unavailable;
    /// The method is not built.
    Unimplemented = "UNIMPLEMENTED", Unimplemented;
    /// A fault of the service. The log has the cause under the request id.
    Internal = "INTERNAL", Internal;
}

impl Reason {
    /// Finds a reason by its text on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_upper_snake_case_and_documented() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.as_str()), "{reason} is there twice");
            assert!(reason.as_str().chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{reason}");
            assert!(reason.doc().len() > 10 && !reason.doc().starts_with(' '), "{reason} is not documented");
            assert_ne!(reason.code(), Code::Ok);
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
    }
}
