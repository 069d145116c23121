//! Continues the caller's trace (W3C `traceparent`) in a span around the call.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceContextExt;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Call;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let Some(call) = request.extensions().get::<Call>().filter(|call| !call.method.infrastructure).cloned() else {
        return next.run(request).await;
    };
    let (service, method) = call.method.name.split_once('/').unwrap_or(("", call.method.name));
    let span = tracing::info_span!(
        "call",
        otel.name = call.method.name,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        request_id = %call.ids.request,
    );
    let parent =
        opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Headers(request.headers())));
    // Before the span is entered, or it has a trace of its own already.
    let _ = span.set_parent(parent);
    let id = span.context().span().span_context().trace_id();
    if id != opentelemetry::TraceId::INVALID {
        let _ = call.ids.trace.set(id.to_string());
    }
    next.run(request).instrument(span).await
}

/// Gives a request's headers to a propagator.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
