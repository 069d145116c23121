//! The body of an answer: streams do most of their work here, after the layers' futures have ended.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::error::Error;
use crate::reason::Reason;
use crate::request_id::Ids;
use crate::{deadline, status};

/// Polls a body under the ids of its call, answers its panics, and ends it when the drain begins.
pub(super) struct CallBody {
    inner: Body,
    ids: Ids,
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    done: bool,
}

impl CallBody {
    pub(super) fn new(inner: Body, ids: Ids, stop: Option<CancellationToken>) -> Self {
        let stop = stop.map(|token| Box::pin(token.cancelled_owned()));
        Self { inner, ids, stop, done: false }
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        if this.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            this.done = true;
            let error = Error::new(Reason::ShuttingDown, "this instance is going away");
            return this.ids.sync_scope(|| trailers(error));
        }
        let (ids, inner) = (&this.ids, &mut this.inner);
        let polled = ids.sync_scope(|| {
            std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)))
                .map(|polled| polled.map(|frame| frame.map(|frame| frame.map(complete))))
                .map_err(super::catch::error)
        });
        polled.unwrap_or_else(|error| {
            this.done = true;
            this.ids.sync_scope(|| trailers(error))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn complete(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            status::complete(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Ends a stream with an error.
fn trailers(error: Error) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
    let mut trailers = HeaderMap::new();
    match tonic::Status::from(error).add_header(&mut trailers) {
        Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
        Err(status) => Poll::Ready(Some(Err(axum::Error::new(status)))),
    }
}

/// Holds a stream to the deadline that its caller named.
pub(super) struct DeadlineBody {
    inner: Body,
    at: Instant,
    timer: Pin<Box<Sleep>>,
    done: bool,
    timeout: Duration,
}

impl DeadlineBody {
    pub(super) fn new(inner: Body, at: Instant, timeout: Duration) -> Self {
        Self { inner, at, timer: Box::pin(tokio::time::sleep_until(at)), done: false, timeout }
    }
}

impl http_body::Body for DeadlineBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let inner = &mut this.inner;
        let polled = deadline::sync_scope(this.at, || Pin::new(inner).poll_frame(cx));
        if polled.is_pending() && this.timer.as_mut().poll(cx).is_ready() {
            this.done = true;
            return trailers(super::deadline::exceeded(this.timeout));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
