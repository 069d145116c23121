//! The name of a call in logs, errors and at its caller.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

/// The header that carries it, in both directions.
pub const HEADER: &str = "x-request-id";
/// The header that carries the trace id back to the caller.
pub const TRACE_HEADER: &str = "x-trace-id";
/// The longest id that is taken from a caller; a longer one is replaced.
const MAX_LENGTH: usize = 128;

/// The names of one call.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) request: Arc<str>,
    /// Set once the trace layer knows it.
    pub(crate) trace: Arc<OnceLock<String>>,
}

tokio::task_local! {
    static IDS: Ids;
}

/// The id of the call that this task works on, if it works on one.
pub fn current() -> Option<Arc<str>> {
    IDS.try_with(|ids| ids.request.clone()).ok()
}

/// The id of the trace that this task's call belongs to, in 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    IDS.try_with(|ids| ids.trace.get().cloned()).ok().flatten()
}

/// The id of the call that this task works on; a new one outside a call.
pub fn request_id() -> String {
    current().map_or_else(|| generate().to_string(), |id| id.to_string())
}

/// A new id.
pub fn generate() -> Arc<str> {
    Uuid::now_v7().to_string().into()
}

/// Takes a caller's id if it is short and made of letters, digits, `-`, `_`, `.` and `:`, so that no id can forge a log line.
pub fn accept(value: Option<&http::HeaderValue>) -> Arc<str> {
    value
        .and_then(|value| value.to_str().ok())
        .filter(|text| (1..=MAX_LENGTH).contains(&text.len()))
        .filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':')))
        .map_or_else(generate, Into::into)
}

/// Runs a future under a request id: a background job that calls other services, for example.
pub async fn scope<F: Future>(id: Arc<str>, future: F) -> F::Output {
    Ids::new(id).scope(future).await
}

impl Ids {
    pub(crate) fn new(request: Arc<str>) -> Self {
        Self { request, trace: Arc::default() }
    }

    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        IDS.scope(self, future).await
    }

    /// For bodies that are polled outside the call's future.
    pub(crate) fn sync_scope<R>(&self, run: impl FnOnce() -> R) -> R {
        IDS.sync_scope(self.clone(), run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        let good = http::HeaderValue::from_static("job-7.a:b");
        assert_eq!(&*accept(Some(&good)), "job-7.a:b");
        for bad in ["", "a b", "a\tlevel=error", &"x".repeat(129)] {
            let value = http::HeaderValue::from_str(bad).unwrap();
            assert_ne!(&*accept(Some(&value)), bad);
        }
        assert_eq!(accept(None).len(), 36);
    }
}
