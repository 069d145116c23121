//! The layers around every service, outermost first, each with the reason for its place.
//!
//! | layer | why here |
//! |---|---|
//! | [`identify`](mod@identify) | outermost: everything below, a panic's answer included, speaks of the call by its ids; completes answers that carry no details |
//! | [`trace`](mod@trace) | the span covers all work and continues the caller's trace |
//! | [`observe`](mod@observe) | access log and metrics see every outcome below, also a panic, an admission refused and a caller gone |
//! | [`catch`](mod@catch) | a panic becomes INTERNAL where log, metrics and trace still see it |
//! | [`deadline`](mod@deadline) | outside admission and authentication, because they spend the caller's time too |
//! | [`admission`](mod@admission) | before anything costly; what is refused was never begun |
//! | [`authenticate`](mod@authenticate) | innermost: who calls, as a request extension for the generated adapter, which permits, masks and audits |
//!
//! Health and reflection skip authentication, limits and histograms: a probe must be answered when nothing else is.
//! They work on HTTP, so that they hold for every service and method, unknown ones included.
//! To add one: a file in `layers/` with an `async fn(State<…>, Request, Next) -> Response`, and a line in [`stack`].

pub(crate) mod admission;
pub(crate) mod authenticate;
mod body;
pub(crate) mod catch;
pub(crate) mod deadline;
pub(crate) mod identify;
pub(crate) mod observe;
pub(crate) mod trace;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio_util::sync::CancellationToken;

pub use authenticate::Authenticator;

use crate::config;
use crate::methods::{Method, Methods};
use crate::request_id::Ids;

/// What the layers need to know.
pub(crate) struct Settings {
    pub(crate) methods: Arc<Methods>,
    pub(crate) deadline: config::Deadline,
    pub(crate) limits: config::Limits,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    /// Ends health and reflection streams, which would hold up the drain.
    pub(crate) drain: CancellationToken,
}

/// One call, as an extension of its request: what the outermost layer found out and the others need.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) ids: Ids,
}

/// Puts every layer around the routes.
pub(crate) fn stack(routes: Router, settings: Settings) -> Router {
    let Settings { methods, deadline, limits, authenticator, drain } = settings;
    // `Router::layer` puts the new layer outside, so this reads from the inside out.
    routes
        .layer(from_fn_with_state(authenticator, authenticate::layer))
        .layer(from_fn_with_state(admission::Gate::new(&limits), admission::layer))
        .layer(from_fn_with_state(Arc::new(deadline), self::deadline::layer))
        .layer(axum::middleware::from_fn(catch::layer))
        .layer(axum::middleware::from_fn(observe::layer))
        .layer(axum::middleware::from_fn(trace::layer))
        .layer(from_fn_with_state(identify::Identity { methods, drain }, identify::layer))
}

/// Answers a call with an error instead of its handler.
fn answer(error: crate::error::Error) -> axum::response::Response {
    tonic::Status::from(error).into_http()
}

/// Counts a call that was turned away.
fn rejected(reason: &'static str) {
    metrics::counter!("rpc_server_rejected_total", "reason" => reason).increment(1);
}
