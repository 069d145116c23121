//! The access log and the metrics of each call, written when its last byte is out or its caller is gone.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};
use tracing::Span;

use super::Call;
use crate::status;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let Some(call) = request.extensions().get::<Call>().cloned() else {
        return next.run(request).await;
    };
    let mut observation = Observation::start(call);
    let response = next.run(request).await;
    observation.see(response.headers());
    response.map(|inner| Body::new(ObservedBody { inner, observation }))
}

/// One call being watched. What is not finished when it is dropped was cancelled by its caller.
struct Observation {
    call: Call,
    span: Span,
    started: Instant,
    outcome: Option<(Code, Option<&'static str>)>,
}

impl Observation {
    fn start(call: Call) -> Self {
        if !call.method.infrastructure {
            metrics::gauge!("rpc_server_active_calls").increment(1.0);
        }
        Self { call, span: Span::current(), started: Instant::now(), outcome: None }
    }

    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.outcome = Some((status.code(), status::reason(&status).map(|reason| reason.as_str())));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let (code, reason) = self.outcome.unwrap_or((Code::Cancelled, None));
        let (code_name, method) = (status::code_name(code), self.call.method.name);
        let elapsed = self.started.elapsed();
        let duration_ms = elapsed.as_micros() as f64 / 1000.0;
        self.call.ids.sync_scope(|| {
            if self.call.method.infrastructure {
                tracing::debug!(target: "cwpp::access", method, code = code_name, duration_ms, "call");
                return;
            }
            metrics::gauge!("rpc_server_active_calls").decrement(1.0);
            metrics::histogram!("rpc_server_call_duration_seconds", "rpc_method" => method, "rpc_status_code" => code_name)
                .record(elapsed.as_secs_f64());
            self.span.record("rpc.response.status_code", code_name);
            if matches!(code, Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::Unavailable | Code::DataLoss) {
                self.span.record("otel.status_code", "ERROR");
            }
            tracing::info!(target: "cwpp::access", method, code = code_name, reason, duration_ms, "call");
        });
    }
}

struct ObservedBody {
    inner: Body,
    observation: Observation,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // The body's work belongs to the call's span as well.
        let polled = this.observation.span.in_scope(|| Pin::new(&mut this.inner).poll_frame(cx));
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            this.observation.see(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
