//! The HTTP server for probes, metrics and operators. Plain HTTP on its own port, never exposed to tenants.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::health::Health;
use crate::telemetry;

/// What the pages show.
pub(crate) struct Admin {
    pub(crate) service: &'static str,
    pub(crate) health: Health,
    /// The configuration, secrets hidden.
    pub(crate) config: Value,
    /// The clock that may be put forward; only where anybody is let in anyway.
    pub(crate) clock: Option<Clock>,
}

impl Admin {
    pub(crate) fn router(self) -> Router {
        let clock = self.clock.is_some();
        let mut router = Router::new()
            // Never looks at the database: a restart would not bring it back.
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/version", get(version))
            .route("/config", get(async |State(admin): State<Arc<Admin>>| Json(admin.config.clone())));
        if clock {
            router = router.route("/clock", get(show_clock)).route("/clock/advance", post(advance));
        }
        router.with_state(Arc::new(self))
    }
}

#[derive(Deserialize)]
struct Verbosity {
    verbose: Option<String>,
}

async fn readyz(State(admin): State<Arc<Admin>>, Query(query): Query<Verbosity>) -> Response {
    let ready = admin.health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    if query.verbose.is_some() || !ready {
        for (name, result) in admin.health.report() {
            let _ = match result {
                Ok(()) => writeln!(text, "[+] {name}: ok"),
                Err(reason) => writeln!(text, "[-] {name}: {reason}"),
            };
        }
    }
    text.push_str(if ready { "ok\n" } else { "not ready\n" });
    (status, text).into_response()
}

async fn metrics() -> Response {
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], telemetry::render()).into_response()
}

async fn version(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(json!({ "service": admin.service, "version": crate::VERSION, "commit": crate::COMMIT }))
}

#[derive(Deserialize)]
struct Advance {
    seconds: f64,
}

async fn show_clock(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(json!({ "now": admin.clock.as_ref().map(Clock::now) }))
}

async fn advance(State(admin): State<Arc<Admin>>, Query(by): Query<Advance>) -> Response {
    match (&admin.clock, Duration::try_from_secs_f64(by.seconds)) {
        (Some(clock), Ok(by)) => {
            clock.advance(by);
            tracing::warn!(seconds = by.as_secs_f64(), now = %clock.now(), "the test clock was put forward");
            Json(json!({ "now": clock.now() })).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "seconds must be a number that is not negative\n").into_response(),
    }
}
