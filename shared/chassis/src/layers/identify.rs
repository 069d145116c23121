//! Which call is this: its method, its request id; and the last look at its answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::body::CallBody;
use crate::methods::Methods;
use crate::request_id::{self, Ids};
use crate::status;

#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) methods: Arc<Methods>,
    pub(crate) drain: CancellationToken,
}

pub(crate) async fn layer(State(identity): State<Identity>, mut request: Request, next: Next) -> Response {
    let method = identity.methods.find(request.uri().path());
    let ids = Ids::new(request_id::accept(request.headers().get(request_id::HEADER)));
    request.extensions_mut().insert(Call { method, ids: ids.clone() });

    let mut response = ids.clone().scope(next.run(request)).await;
    ids.sync_scope(|| status::complete(response.headers_mut()));
    if let Ok(value) = HeaderValue::from_str(&ids.request) {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    if let Some(value) = ids.trace.get().and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(request_id::TRACE_HEADER, value);
    }
    let stop = (method.infrastructure && method.server_streaming).then_some(identity.drain);
    response.map(|body| axum::body::Body::new(CallBody::new(body, ids, stop)))
}
