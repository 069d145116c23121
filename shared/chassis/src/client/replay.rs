//! Request bodies that can be sent more than once.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tonic::body::Body;

/// A request's body, kept whole if that is possible.
pub(super) enum Replay {
    /// The whole body; it can be sent as often as needed.
    Kept(Bytes),
    /// A stream, or too large: it is sent once.
    Once(Option<Body>),
}

impl Replay {
    /// Takes what is there without waiting. A single message is there at once; a body that has to be waited for is a
    /// stream of its caller, which nobody may hold up.
    pub(super) fn read(mut body: Body, limit: usize) -> Self {
        let mut kept = BytesMut::new();
        loop {
            match body.frame().now_or_never() {
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        kept.extend_from_slice(&data);
                        if kept.len() > limit {
                            return Self::once(kept.freeze(), body);
                        }
                    }
                    // gRPC clients send no trailers.
                    Err(_) => return Self::Kept(kept.freeze()),
                },
                Some(None) => return Self::Kept(kept.freeze()),
                // An error goes the way it would have gone: to the connection, which ends the call.
                Some(Some(Err(status))) => {
                    let end = futures::stream::iter([Ok(Frame::data(kept.freeze())), Err(status)]);
                    return Self::Once(Some(Body::new(StreamBody::new(end))));
                }
                None => return Self::once(kept.freeze(), body),
            }
        }
    }

    /// What was taken, and then the rest as it comes.
    fn once(taken: Bytes, rest: Body) -> Self {
        if taken.is_empty() {
            return Self::Once(Some(rest));
        }
        let first = futures::stream::iter([Ok(Frame::data(taken))]);
        let rest = rest.into_stream();
        Self::Once(Some(Body::new(StreamBody::new(futures::StreamExt::chain(first, rest)))))
    }

    /// The body for the next attempt; none when it can be sent no more.
    pub(super) fn take(&mut self) -> Option<Body> {
        match self {
            Self::Kept(bytes) => Some(Body::new(Full::new(bytes.clone()))),
            Self::Once(body) => body.take(),
        }
    }

    /// Whether there can be a next attempt.
    pub(super) fn repeats(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(parts: &'static [&'static str], hang: bool) -> Body {
        let frames = futures::stream::iter(
            parts.iter().map(|part| Ok::<_, tonic::Status>(Frame::data(Bytes::from_static(part.as_bytes())))),
        );
        if hang {
            return Body::new(StreamBody::new(futures::StreamExt::chain(
                frames,
                futures::stream::once(async {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    Ok(Frame::data(Bytes::from_static(b"late")))
                }),
            )));
        }
        Body::new(StreamBody::new(frames))
    }

    async fn text(body: Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_message_is_kept_and_a_stream_goes_through_whole() {
        let mut kept = Replay::read(stream(&["ab", "cd"], false), 100);
        assert!(kept.repeats());
        assert_eq!(text(kept.take().unwrap()).await, "abcd");
        assert_eq!(text(kept.take().unwrap()).await, "abcd");

        let mut waiting = Replay::read(stream(&["ab"], true), 100);
        assert!(!waiting.repeats());
        assert_eq!(text(waiting.take().unwrap()).await, "ablate");
        assert!(waiting.take().is_none());

        let mut large = Replay::read(stream(&["ab", "cd", "ef"], false), 3);
        assert!(!large.repeats());
        assert_eq!(text(large.take().unwrap()).await, "abcdef");
    }
}
