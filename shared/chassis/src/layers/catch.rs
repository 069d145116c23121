//! A panic answers INTERNAL and ends its own call only.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;

use super::answer;
use crate::error::Error;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => answer(error(panic)),
    }
}

/// The error that a panic is answered with.
pub(super) fn error(panic: Box<dyn Any + Send>) -> Error {
    metrics::counter!("rpc_server_panics_total").increment(1);
    Error::internal(anyhow::anyhow!("panic: {}", message(&*panic)))
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
