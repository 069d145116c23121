//! One connection from its first frame to its end.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tower::ServiceExt;

use crate::config;

/// The preface of HTTP/2 and the head of the frame that must follow it: less than this is no beginning.
const FIRST_FRAME: usize = 24 + 9;

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
        let read = Arc::new(AtomicUsize::new(0));
        let spoke = || read.load(Ordering::Relaxed) >= FIRST_FRAME;
        let info = io.connect_info();
        let routes = routes.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            request.map(axum::body::Body::new)
        });
        let io = TokioIo::new(Counted { io, read: read.clone() });
        let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(routes)));

        let handshake = self.handshake;
        let mut mute = pin!(async {
            tokio::time::sleep(handshake).await;
            if spoke() {
                std::future::pending::<()>().await;
            }
        });
        let mut aged = pin!(until(self.age));
        tokio::select! {
            ended = serving.as_mut() => return report(ended),
            () = mute.as_mut() => return tracing::debug!("a connection never spoke"),
            () = self.kill.cancelled() => return,
            () = self.stop.cancelled() => {}
            () = aged.as_mut() => {}
        }
        if !spoke() {
            // Nothing was asked, so nothing is waited for: hyper would wait for its first frame for ever.
            return;
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

/// Counts the bytes that came in.
struct Counted<IO> {
    io: IO,
    read: Arc<AtomicUsize>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.read.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
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
