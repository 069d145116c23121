//! One connection from its first frame to its end.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tower::ServiceExt;

use crate::config;

/// The preface of HTTP/2 and the head of the frame that must follow it: less than this is no beginning.
const FIRST_FRAME: usize = 24 + 9;

/// How long a server that stops waits for the beginning of a connection that it just took.
const BEGINNING: Duration = Duration::from_millis(100);

/// How long a closed connection is still read, so that what the peer sends meanwhile does not break it.
const LINGER: Duration = Duration::from_millis(500);

/// When a connection has to go.
pub(super) struct Lifecycle {
    handshake: Duration,
    /// Its age, jitter included; none when it may grow old.
    age: Option<Duration>,
    grace: Duration,
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Lifecycle {
    pub(super) fn new(config: &config::Grpc, stop: CancellationToken, kill: CancellationToken) -> Self {
        let jitter = config.connection_age_jitter.clamp(0.0, 1.0);
        let factor = if jitter > 0.0 { rand::random_range(1.0 - jitter..=1.0 + jitter) } else { 1.0 };
        let age = (!config.max_connection_age.is_zero()).then(|| config.max_connection_age.mul_f64(factor));
        Self { handshake: config.handshake_timeout, age, grace: config.connection_age_grace, stop, kill }
    }

    pub(super) fn handshake_timeout(&self) -> Duration {
        self.handshake
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Serves one connection to its end.
    pub(super) async fn run<IO>(self, io: IO, builder: &auto::Builder<TokioExecutor>, routes: Router)
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let spoke = CancellationToken::new();
        let info = io.connect_info();
        let routes = routes.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            request.map(axum::body::Body::new)
        });
        let io = TokioIo::new(Watched { io, read: 0, spoke: spoke.clone(), linger: None });
        let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(routes)));

        let mut mute = pin!(async {
            if tokio::time::timeout(self.handshake, spoke.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        });
        // Age ends no connection whose first call may be on its way.
        let mut aged = pin!(async {
            until(self.age).await;
            spoke.cancelled().await;
        });
        tokio::select! {
            ended = serving.as_mut() => return report(ended),
            () = mute.as_mut() => return tracing::debug!("a connection never spoke"),
            () = self.kill.cancelled() => return,
            () = self.stop.cancelled() => {}
            () = aged.as_mut() => {}
        }
        tokio::select! {
            ended = serving.as_mut() => return report(ended),
            began = tokio::time::timeout(BEGINNING, spoke.cancelled()) => if began.is_err() {
                // Nothing was asked, so nothing is waited for: hyper would wait for its first frame for ever.
                return;
            }
        }
        serving.as_mut().graceful_shutdown();
        // An aged connection has its grace; a server that stops has the drain, which ends in `kill`.
        let grace = async {
            if self.stop.is_cancelled() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            ended = serving.as_mut() => report(ended),
            () = self.kill.cancelled() => tracing::warn!("a connection was closed with calls open"),
            () = grace => tracing::info!("an aged connection was closed with calls open"),
        }
    }
}

async fn until(age: Option<Duration>) {
    match age {
        Some(age) => tokio::time::sleep(age).await,
        None => std::future::pending().await,
    }
}

fn report(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Tells when enough bytes came in, and closes without a reset.
///
/// A socket that is closed while its peer still sends is reset, and the peer's own writing then fails before it has read
/// the GOAWAY that tells which of its calls were never taken. So this one ends its own side and reads the other to its end.
struct Watched<IO> {
    io: IO,
    read: usize,
    spoke: CancellationToken,
    /// Until when it is still read, once its own side has ended.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if self.read < FIRST_FRAME {
            self.read += buf.filled().len() - before;
            if self.read >= FIRST_FRAME {
                self.spoke.cancel();
            }
        }
        polled
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut dropped = [0; 4096];
        loop {
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
