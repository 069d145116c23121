//! Who calls. The rule itself belongs to the access layer, which hands in an [`Authenticator`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{Call, answer, rejected};
use crate::error::Error;

/// Establishes who calls and puts it into the request's extensions.
pub trait Authenticator: Send + Sync + 'static {
    /// Reads headers and connection (`TcpConnectInfo`, `TlsConnectInfo`), inserts the principal or refuses the call.
    fn authenticate(&self, head: &mut http::request::Parts) -> Result<(), Error>;
}

pub(crate) async fn layer(
    State(authenticator): State<Option<Arc<dyn Authenticator>>>,
    request: Request,
    next: Next,
) -> Response {
    let skip = request.extensions().get::<Call>().is_some_and(|call| call.method.infrastructure);
    let Some(authenticator) = authenticator.filter(|_| !skip) else {
        return next.run(request).await;
    };
    let (mut head, body) = request.into_parts();
    match authenticator.authenticate(&mut head) {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(error) => {
            rejected("authentication");
            answer(error)
        }
    }
}
