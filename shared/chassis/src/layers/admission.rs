//! Works on so many calls at once and refuses the rest at once: a queue would only make every answer late.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::{Call, answer, rejected};
use crate::config::Limits;
use crate::error::Error;
use crate::reason::Reason;

#[derive(Clone)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        let limit = limits.in_flight.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }
}

pub(crate) async fn layer(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Call>().is_some_and(|call| call.method.infrastructure) {
        return next.run(request).await;
    }
    let Ok(_place) = gate.places.try_acquire() else {
        rejected("overloaded");
        let delay = Duration::from_millis(rand::random_range(100..300));
        let error = Error::new(Reason::Overloaded, "the service works on as many calls as it can");
        return answer(error.with("limit", gate.limit).retry_after(delay));
    };
    // Held until the answer begins: a watcher that listens for hours takes no place.
    next.run(request).await
}
