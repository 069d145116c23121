//! Holds each call to its deadline, and answers DEADLINE_EXCEEDED itself, in time to be read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tokio::time::Instant;

use super::body::DeadlineBody;
use super::{Call, answer};
use crate::config::Deadline;
use crate::deadline;
use crate::error::Error;
use crate::reason::Reason;

/// The header that carries what is left of the caller's deadline.
pub(crate) const HEADER: &str = "grpc-timeout";

pub(crate) async fn layer(State(config): State<Arc<Deadline>>, request: Request, next: Next) -> Response {
    let Some(method) = request.extensions().get::<Call>().map(|call| call.method) else {
        return next.run(request).await;
    };
    let asked = match parse(request.headers()) {
        Ok(asked) => asked,
        Err(error) => return answer(error),
    };
    let timeout = match (method.streams(), asked) {
        (true, None) => return next.run(request).await,
        (true, Some(asked)) => asked,
        (false, asked) => asked.unwrap_or(config.default).min(config.max),
    };
    let at = Instant::now() + (timeout - config.reserve.min(timeout / 4));
    match tokio::time::timeout_at(at, deadline::scope(at, next.run(request))).await {
        Ok(response) if method.server_streaming => response.map(|body| Body::new(DeadlineBody::new(body, at, timeout))),
        Ok(response) => response,
        Err(_) => answer(exceeded(timeout)),
    }
}

pub(super) fn exceeded(timeout: Duration) -> Error {
    Error::new(Reason::DeadlineExceeded, "the deadline passed before the answer was there")
        .with("timeout_ms", timeout.as_millis())
}

/// Reads `grpc-timeout`: at most eight digits and a unit.
pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let unit = text.char_indices().next_back()?;
        let (digits, unit) = (&text[..unit.0], unit.1);
        if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let amount: u64 = digits.parse().ok()?;
        Some(match unit {
            'H' => Duration::from_secs(amount * 3600),
            'M' => Duration::from_secs(amount * 60),
            'S' => Duration::from_secs(amount),
            'm' => Duration::from_millis(amount),
            'u' => Duration::from_micros(amount),
            'n' => Duration::from_nanos(amount),
            _ => return None,
        })
    });
    parsed.map(Some).ok_or_else(|| {
        Error::new(Reason::InvalidArgument, "grpc-timeout must be up to eight digits and one of H, M, S, m, u, n")
    })
}

/// Writes a duration as `grpc-timeout`, rounded down to what eight digits hold.
pub(crate) fn format(left: Duration) -> String {
    let micros = left.as_micros();
    if micros < 100_000_000 {
        return format!("{micros}u");
    }
    let millis = left.as_millis();
    if millis < 100_000_000 {
        return format!("{millis}m");
    }
    format!("{}S", left.as_secs().min(99_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, text.parse().unwrap());
            parse(&headers).ok().flatten()
        };
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for bad in ["", "5", "S", "123456789S", "-1S", "1.5S", "5d"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(parse(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for left in [Duration::from_micros(1), Duration::from_secs(10), Duration::from_secs(86_400), Duration::MAX] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, format(left).parse().unwrap());
            assert!(parse(&headers).unwrap().unwrap() <= left);
        }
    }
}
