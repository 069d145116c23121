//! Streams of messages between tonic and the operations.

use std::pin::Pin;

use cwpp_chassis::{Error, Reason, Result};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tonic::{Code, Status};

/// Replies on their way to tonic.
pub type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Replies of an operation.
pub type Outgoing<T> = BoxStream<'static, Result<T>>;

/// Messages of one caller, each checked to name the same tenant.
pub struct Incoming<T> {
    first: Option<T>,
    rest: BoxStream<'static, Result<T, Status>>,
    app_id_of: fn(&T) -> u64,
    app_id: u64,
}

impl<T> std::fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

impl<T: Send + 'static> Incoming<T> {
    /// Takes the first message, whose tenant holds for all.
    pub(crate) async fn open(
        stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
        app_id_of: fn(&T) -> u64,
    ) -> Result<(T, Self)>
    where
        T: Clone,
    {
        let mut rest = stream.boxed();
        let first = match rest.next().await {
            Some(message) => message.map_err(|s| broken(&s))?,
            None => return Err(Error::new(Reason::StreamIncomplete, "the stream is empty")),
        };
        let app_id = app_id_of(&first);
        Ok((first.clone(), Self { first: Some(first), rest, app_id_of, app_id }))
    }

    /// Returns the next message, or nothing after the caller's last.
    /// A stream that breaks is `STREAM_INCOMPLETE`, a message for another tenant `TENANT_UNKNOWN`.
    pub async fn next(&mut self) -> Result<Option<T>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(message) = self.rest.next().await else {
            return Ok(None);
        };
        let message = message.map_err(|s| broken(&s))?;
        if (self.app_id_of)(&message) != self.app_id {
            return Err(crate::scope::tenant_unknown());
        }
        Ok(Some(message))
    }
}

/// Translates what tonic says of a stream that does not go on.
fn broken(status: &Status) -> Error {
    let reason = match cwpp_chassis::status::reason(status) {
        Some(reason) => reason,
        None if status.code() == Code::OutOfRange => Reason::MessageTooLarge,
        None => Reason::StreamIncomplete,
    };
    Error::new(reason, status.message().to_owned())
}
