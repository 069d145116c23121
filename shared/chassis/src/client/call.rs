//! One call, with all its attempts.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use opentelemetry::propagation::Injector;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{BoxError, Service, ServiceExt};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Shared;
use super::replay::Replay;
use super::retry::{self, Failure};
use crate::error::Error;
use crate::layers::deadline::{HEADER as TIMEOUT, format, parse};
use crate::methods::Method;
use crate::reason::Reason;
use crate::{deadline, request_id, status};

/// A call that was never processed is sent at once again, but not for ever.
const MAX_UNPROCESSED: u32 = 16;

pub(super) async fn run(
    channel: Channel,
    shared: Arc<Shared>,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let method = shared.methods.find(request.uri().path());
    let (service, name) = method.name.split_once('/').unwrap_or(("", method.name));
    let span = tracing::info_span!(
        "call",
        otel.name = method.name,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.service = service,
        rpc.method = name,
        rpc.response.status_code = tracing::field::Empty,
    );
    let started = Instant::now();
    let result = attempts(channel, &shared, method, request).instrument(span.clone()).await;
    let code = match &result {
        Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
        Err(_) => Code::Unavailable,
    };
    let code = status::code_name(code);
    span.record("rpc.response.status_code", code);
    if code != "OK" {
        span.record("otel.status_code", "ERROR");
    }
    metrics::histogram!("rpc_client_call_duration_seconds", "rpc_method" => method.name, "rpc_status_code" => code)
        .record(started.elapsed().as_secs_f64());
    result
}

async fn attempts(
    mut channel: Channel,
    shared: &Shared,
    method: Method,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let (mut head, body) = request.into_parts();
    let until = until(shared, method, &head.headers);
    if let Err(error) = prepare(shared, &mut head) {
        return Ok(answer(error));
    }
    let path = head.uri.path().to_owned();
    let idempotent = method.idempotent || shared.idempotent.as_ref().is_some_and(|idempotent| idempotent(&path));
    let mut body = Replay::read(body, shared.config.replay_bytes);
    let (mut attempt, mut unprocessed) = (1, 0);
    shared.budget.earn();
    loop {
        let Some(sent) = body.take() else {
            return Ok(answer(Error::new(
                Reason::PeerUnavailable,
                "the connection was lost before the stream was sent",
            )));
        };
        let Some(request) = attempt_request(&head, sent, until) else { return Ok(expired()) };
        let outcome = async {
            let ready = channel.ready().await?;
            ready.call(request).await
        };
        let outcome = match until {
            Some(until) => match tokio::time::timeout_at(until, outcome).await {
                Ok(outcome) => outcome,
                Err(_) => return Ok(expired()),
            },
            None => outcome.await,
        };
        // What to do next: an answer to give back if it is not sent again, how long to wait, and why.
        let (last, wait, why) = match outcome {
            Ok(response) => {
                let Some(status) = Status::from_header_map(response.headers()) else { return Ok(response) };
                if status.code() != Code::Unavailable || !idempotent {
                    return Ok(response);
                }
                (Ok(response), status::retry_delay(&status), "unavailable")
            }
            Err(error) => match retry::classify(&error) {
                Failure::NotProcessed if body.repeats() && unprocessed < MAX_UNPROCESSED => {
                    unprocessed += 1;
                    count(method, "not_processed");
                    continue;
                }
                Failure::TimedOut => return Ok(expired()),
                Failure::NotConnected => (Err(error), None, "not_connected"),
                Failure::Unknown if idempotent => (Err(error), None, "transport"),
                Failure::Unknown | Failure::NotProcessed => return Ok(lost(error)),
            },
        };
        let wait =
            retry::backoff(shared.config.backoff, shared.config.backoff_max, attempt).max(wait.unwrap_or_default());
        let in_time = until.is_none_or(|until| Instant::now() + wait < until);
        if attempt >= shared.config.max_attempts || !body.repeats() || !in_time || !shared.budget.spend() {
            return last.or_else(|error| Ok(lost(error)));
        }
        attempt += 1;
        count(method, why);
        tokio::time::sleep(wait).await;
    }
}

/// The moment at which the call is given up: the caller's own wish, or what is left of the call it is made for.
fn until(shared: &Shared, method: Method, headers: &HeaderMap) -> Option<Instant> {
    let asked = parse(headers).ok().flatten();
    let default = (!method.streams()).then_some(shared.config.timeout);
    let own = asked.or(default).and_then(|timeout| Instant::now().checked_add(timeout));
    match (own, deadline::current()) {
        (Some(own), Some(outer)) => Some(own.min(outer)),
        (own, outer) => own.or(outer),
    }
}

/// Adds what every attempt carries: request id, trace, token.
fn prepare(shared: &Shared, head: &mut Parts) -> Result<(), Error> {
    let headers = &mut head.headers;
    if !headers.contains_key(request_id::HEADER)
        && let Ok(id) = HeaderValue::from_str(&request_id::request_id())
    {
        headers.insert(request_id::HEADER, id);
    }
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Headers(headers));
    });
    if let Some(token) = &shared.token
        && !headers.contains_key(http::header::AUTHORIZATION)
    {
        headers.insert(http::header::AUTHORIZATION, token.header().map_err(Error::internal)?);
    }
    Ok(())
}

/// None when the time is up.
fn attempt_request(head: &Parts, body: Body, until: Option<Instant>) -> Option<Request<Body>> {
    let mut head = head.clone();
    if let Some(until) = until {
        let left = until.checked_duration_since(Instant::now()).filter(|left| *left > Duration::from_millis(1))?;
        head.headers.insert(TIMEOUT, HeaderValue::from_str(&format(left)).ok()?);
    }
    Some(Request::from_parts(head, body))
}

fn count(method: Method, reason: &'static str) {
    metrics::counter!("rpc_client_retries_total", "rpc_method" => method.name, "reason" => reason).increment(1);
}

fn answer(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

fn expired() -> Response<Body> {
    answer(Error::new(Reason::DeadlineExceeded, "the deadline passed before the answer was there"))
}

fn lost(error: tonic::transport::Error) -> Response<Body> {
    let error = anyhow::Error::from(error);
    tracing::debug!(error = format!("{error:#}"), "a call was lost");
    answer(
        Error::new(Reason::PeerUnavailable, "the service cannot be reached, or the connection was lost")
            .retry_after(Duration::from_secs(1)),
    )
}

/// Lets a propagator write headers.
struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}
