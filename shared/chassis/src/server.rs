//! The accept loop of the gRPC server.
//!
//! Our own, on hyper-util, because tonic's fails calls when a connection reaches its age, and hangs at the end on a
//! connection that never spoke. A connection lives through: accept → TLS handshake → first frame → serving → GOAWAY (by
//! age, with jitter, or because the server stops) → its open calls end, or its grace does.

mod connection;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;

/// A bound listener, not yet served.
pub(crate) struct Server {
    listener: TcpListener,
    config: config::Grpc,
    tls: Option<tls::Acceptors>,
}

impl Server {
    /// Binds the address; port 0 takes a free one.
    pub(crate) async fn bind(config: &config::Grpc, tls: &config::Tls) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("grpc.listen = {}", config.listen))?;
        Ok(Self { listener, config: config.clone(), tls: tls::Acceptors::load(tls)? })
    }

    /// The address that was bound.
    pub(crate) fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop`, then sends GOAWAY and waits for the open calls, until `kill`.
    pub(crate) async fn serve(self, routes: Router, stop: CancellationToken, kill: CancellationToken) {
        let Self { listener, config, tls } = self;
        if let Some(tls) = &tls {
            tokio::spawn(tls.clone().watch(stop.clone()));
        }
        let builder = Arc::new(http2(&config));
        let connections = TaskTracker::new();
        loop {
            let socket = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let socket = match socket {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: give the open connections time to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if connections.len() >= config.max_connections {
                metrics::counter!("rpc_server_rejected_total", "reason" => "connections").increment(1);
                continue;
            }
            let lifecycle = connection::Lifecycle::new(&config, stop.clone(), kill.clone());
            let (builder, routes, acceptor) =
                (builder.clone(), routes.clone(), tls.as_ref().map(tls::Acceptors::current));
            connections.spawn(async move {
                let open = metrics::gauge!("rpc_server_connections");
                open.increment(1.0);
                serve(socket, acceptor, &builder, routes, lifecycle).await;
                open.decrement(1.0);
            });
        }
        // Closed before the drain, so that new connections go to another instance at once.
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

async fn serve(
    socket: TcpStream,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    builder: &auto::Builder<TokioExecutor>,
    routes: Router,
    lifecycle: connection::Lifecycle,
) {
    // Answers are small and waited for: no delay in the hope of more to send.
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return lifecycle.run(socket, builder, routes).await;
    };
    let handshake = tokio::time::timeout(lifecycle.handshake_timeout(), acceptor.accept(socket));
    tokio::select! {
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => lifecycle.run(stream, builder, routes).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
        () = lifecycle.stopped() => {}
    }
}

/// Every limit of HTTP/2, set by us: the library's own differ between versions and some are unlimited.
fn http2(config: &config::Grpc) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(config.max_header_list_bytes)
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes)
        .adaptive_window(false)
        .max_frame_size(16 << 10)
        .max_send_buf_size(1 << 20)
        .max_pending_accept_reset_streams(config.pending_reset_streams)
        .max_local_error_reset_streams(config.local_error_reset_streams)
        .keep_alive_interval((!config.keepalive_interval.is_zero()).then_some(config.keepalive_interval))
        .keep_alive_timeout(config.keepalive_timeout);
    builder
}
