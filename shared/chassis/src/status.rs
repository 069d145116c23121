//! The one mapping between our errors and gRPC's status.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::Error;
use crate::reason::Reason;
use crate::request_id;

/// The domain of every `ErrorInfo` of ours.
pub const DOMAIN: &str = "cwpp";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let id = request_id::request_id();
        let reason = error.reason();
        if reason == Reason::Internal {
            tracing::error!(request_id = %id, message = error.message(), cause = error.cause().map(|c| format!("{c:#}")), "internal error");
            let details = details(Reason::Internal, HashMap::from([("error_id".to_owned(), id.clone())]), &id);
            return Status::with_error_details(Code::Internal, format!("internal error {id}"), details);
        }
        if let Some(cause) = error.cause() {
            tracing::warn!(request_id = %id, reason = %reason, message = error.message(), cause = format!("{cause:#}"), "call failed");
        }
        let metadata = error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let mut details = details(reason, metadata, &id);
        for violation in error.violations() {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        if let Some(delay) = error.retry_delay() {
            details.set_retry_info(Some(delay));
        }
        let resource = error.resource_name();
        if reason.code() == Code::FailedPrecondition {
            let subject = resource.map_or(String::new(), |(kind, name)| format!("{kind}/{name}"));
            details.add_precondition_failure_violation(reason.as_str(), subject, error.message());
        }
        if let Some((kind, name)) = resource {
            details.set_resource_info(kind, name, "", error.message());
        }
        Status::with_error_details(reason.code(), error.message(), details)
    }
}

fn details(reason: Reason, metadata: HashMap<String, String>, id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, metadata).set_request_info(id, "");
    details
}

/// The reason that a status of ours carries; none when it is not ours.
pub fn reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then(|| Reason::parse(&info.reason)).flatten()
}

/// The values for programs that a status of ours carries.
pub fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

/// Every wrong field that a status names, as (field, description).
pub fn violations(status: &Status) -> Vec<(String, String)> {
    let named = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    named.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

/// The delay that a status asks for before the call is repeated.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// The answer to bytes that are no message of the method.
pub fn malformed(message: impl Into<String>) -> Status {
    Error::new(Reason::MalformedMessage, message).into()
}

/// Translates what another service answered into an error of ours.
///
/// A reason of ours is kept where it speaks of the tenant or of time and capacity; everything else that a peer answers
/// to a request that we made is our own fault, and INTERNAL.
pub fn from_peer(peer: &'static str, status: &Status) -> Error {
    let code = status.code();
    let known = reason(status);
    let error = match (known, code) {
        (
            Some(reason),
            Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted | Code::OutOfRange,
        ) => Error::new(reason, status.message()),
        (_, Code::DeadlineExceeded) => Error::new(Reason::DeadlineExceeded, format!("{peer} did not answer in time")),
        (_, Code::Cancelled) => Error::new(Reason::Cancelled, "the call was cancelled"),
        (_, Code::Unavailable | Code::ResourceExhausted | Code::Unknown) => {
            Error::new(Reason::PeerUnavailable, format!("{peer} is not available"))
                .retry_after(retry_delay(status).unwrap_or(Duration::from_secs(1)))
        }
        _ => Error::internal(anyhow::anyhow!("{peer} answered {code:?}: {}", status.message())),
    };
    error.with("peer", peer)
}

/// Adds what every status must carry to one that came from the gRPC library itself: an unknown method, a message over
/// the limit, a header it cannot read.
pub(crate) fn complete(headers: &mut HeaderMap) {
    let failed = headers.get(Status::GRPC_STATUS).is_some_and(|code| code != "0");
    if !failed || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return;
    }
    let Some(status) = Status::from_header_map(headers) else { return };
    let reason = match status.code() {
        // The only thing that it answers so is a message larger than the decoder admits.
        Code::OutOfRange => Reason::MessageTooLarge,
        Code::Unimplemented => Reason::Unimplemented,
        Code::InvalidArgument => Reason::InvalidArgument,
        Code::NotFound => Reason::NotFound,
        Code::Cancelled => Reason::Cancelled,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::Unauthenticated => Reason::Unauthenticated,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::ResourceExhausted => Reason::Overloaded,
        Code::Unavailable => Reason::ShuttingDown,
        _ => Reason::Internal,
    };
    let message = match (status.message(), reason) {
        ("", Reason::Unimplemented) => "no such method",
        (message, _) => message,
    };
    let mut error = Error::new(reason, message);
    if reason == Reason::Internal {
        error = error.source(anyhow::anyhow!("{:?}: {message}", status.code()));
    }
    let mut completed = HeaderMap::new();
    if Status::from(error).add_header(&mut completed).is_ok() {
        headers.extend(completed);
    }
}

/// The name of a code as metrics and logs show it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detail_reaches_the_caller() {
        let status: Status = Error::new(Reason::TenantFenced, "the tenant is sealed")
            .with("epoch", 4)
            .violation("app_id", "is sealed")
            .retry_after(Duration::from_secs(2))
            .resource("tenant", "7")
            .into();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), Some(Reason::TenantFenced));
        assert_eq!(metadata(&status)["epoch"], "4");
        assert_eq!(violations(&status), [("app_id".to_owned(), "is sealed".to_owned())]);
        assert_eq!(retry_delay(&status), Some(Duration::from_secs(2)));
        let details = status.get_error_details();
        assert_eq!(details.precondition_failure().unwrap().violations[0].r#type, "TENANT_FENCED");
        assert_eq!(details.resource_info().unwrap().resource_name, "7");
        assert!(!details.request_info().unwrap().request_id.is_empty());
    }

    #[test]
    fn a_peer_that_no_longer_keeps_a_cursor_is_understood() {
        let status: Status = Error::new(Reason::CursorExpired, "begin anew").into();
        assert_eq!(from_peer("configuration", &status).reason(), Reason::CursorExpired);
    }

    #[test]
    fn an_internal_error_sends_its_id_only() {
        let status: Status = Error::internal(anyhow::anyhow!("password=hunter2")).with("secret", "x").into();
        assert_eq!(status.code(), Code::Internal);
        let id = &metadata(&status)["error_id"];
        assert_eq!(status.message(), format!("internal error {id}"));
        assert!(!format!("{status:?}").contains("hunter2"));
        assert_eq!(metadata(&status).len(), 1);
    }

    #[test]
    fn a_peers_answer_keeps_its_reason_only_where_it_is_the_callers() {
        let fenced: Status = Error::new(Reason::TenantFenced, "sealed").into();
        assert_eq!(from_peer("configuration", &fenced).reason(), Reason::TenantFenced);
        assert_eq!(from_peer("configuration", &malformed("bad")).reason(), Reason::Internal);
        assert_eq!(from_peer("configuration", &Status::unavailable("")).reason(), Reason::PeerUnavailable);
    }
}
