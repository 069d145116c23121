//! A service with one method for each way in which a call can go.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cwpp_chassis::app::{Context, Parts, Running, Service, start};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::{Secret, Settings};
use cwpp_chassis::{Authenticator, Check, Clock, Error, Reason};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, MethodOptions, ServiceDescriptorProto,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::body::Body;
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest as Ask, HealthCheckResponse as Answer};
use tonic_prost::ProstCodec;

/// The settings of the probe.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProbeConfig {
    /// What it is about.
    pub(crate) probe: Section,
}

/// What it is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Section {
    /// A secret.
    pub(crate) password: Option<Secret>,
    /// A number.
    pub(crate) size: u32,
    /// Everybody is let in.
    pub(crate) insecure: bool,
    /// The readiness check fails.
    pub(crate) broken: bool,
    /// Callers need a token.
    pub(crate) closed: bool,
    /// A job panics at its first run.
    pub(crate) panicking_job: bool,
}

/// The service.
pub(crate) struct Probe;

/// The request whose calls are counted; one test uses it.
pub(crate) const COUNTED: &str = "5";
static HANDLED: AtomicU64 = AtomicU64::new(0);
pub(crate) static JOB_RUNS: AtomicU64 = AtomicU64::new(0);

/// How often a handler was given that request, in this process.
pub(crate) fn handled() -> u64 {
    HANDLED.load(Ordering::SeqCst)
}

struct Bearer;

impl Authenticator for Bearer {
    fn authenticate(&self, head: &mut http::request::Parts) -> Result<(), Error> {
        match head.headers.get("authorization").map(|value| value.as_bytes()) {
            Some(b"Bearer good") => Ok(()),
            _ => Err(Error::new(Reason::Unauthenticated, "a token is needed")),
        }
    }
}

#[async_trait]
impl Service for Probe {
    const NAME: &'static str = "probe";
    type Config = ProbeConfig;

    fn insecure(config: &ProbeConfig) -> bool {
        config.probe.insecure
    }

    async fn build(context: Context<ProbeConfig>) -> anyhow::Result<Parts> {
        let section = context.config.probe;
        let mut parts = Parts::new(descriptor()).service(Routes).check(Check::new("database", move || async move {
            anyhow::ensure!(!section.broken, "no route to the database");
            Ok(())
        }));
        if section.closed {
            parts = parts.authenticator(Bearer);
        }
        if section.panicking_job {
            parts = parts.job("sweep", || async {
                assert!(JOB_RUNS.fetch_add(1, Ordering::SeqCst) > 0, "the first run fails");
            });
        }
        Ok(parts)
    }
}

/// Starts the probe after `change`d its settings.
pub(crate) async fn probe(change: impl FnOnce(&mut Settings<ProbeConfig>)) -> Running {
    let mut settings = Settings::local(ProbeConfig::default());
    change(&mut settings);
    let wait = !settings.service.probe.broken;
    let running = start::<Probe>(settings, Clock::system()).await.unwrap();
    if wait {
        running.ready(Duration::from_secs(5)).await.unwrap();
    }
    running
}

pub(crate) fn channel(running: &Running) -> Channel {
    Channel::connect_lazy(&running.target(), &ClientConfig::default()).unwrap()
}

/// A connection of the library's own, without our retries and deadlines.
pub(crate) async fn wire(running: &Running) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(running.target()).unwrap().connect().await.unwrap()
}

/// Calls a method of the probe.
pub(crate) async fn call(channel: &Channel, method: &str, ask: Request<Ask>) -> Result<Response<Answer>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/test.v1.Probe/{method}")).unwrap();
    grpc.unary(ask, path, ProstCodec::<Ask, Answer>::default()).await
}

pub(crate) fn ask(text: &str) -> Request<Ask> {
    Request::new(Ask { service: text.to_owned() })
}

pub(crate) fn descriptor() -> &'static [u8] {
    let method = |name: &str, server_streaming, idempotent: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".test.v1.Nothing".to_owned()),
        output_type: Some(".test.v1.Nothing".to_owned()),
        server_streaming: Some(server_streaming),
        options: idempotent.then(|| MethodOptions {
            idempotency_level: Some(IdempotencyLevel::Idempotent.into()),
            ..MethodOptions::default()
        }),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Probe".to_owned()),
        method: vec![
            method("Echo", false, true),
            method("Sleep", false, false),
            method("Panic", false, false),
            method("Ticks", true, false),
        ],
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("test/v1/probe.proto".to_owned()),
        package: Some("test.v1".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![prost_types::DescriptorProto { name: Some("Nothing".to_owned()), ..Default::default() }],
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec().leak()
}

#[derive(Clone)]
struct Routes;

impl NamedService for Routes {
    const NAME: &'static str = "test.v1.Probe";
}

impl tower::Service<http::Request<Body>> for Routes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method: Arc<str> = request.uri().path().rsplit('/').next().unwrap_or_default().into();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Answer, Ask>::default());
            Ok(match &*method {
                "Echo" | "Sleep" | "Panic" => grpc.unary(Handler(method), request).await,
                "Ticks" => grpc.server_streaming(Handler(method), request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

struct Handler(Arc<str>);

impl UnaryService<Ask> for Handler {
    type Response = Answer;
    type Future = BoxFuture<'static, Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let method = self.0.clone();
        Box::pin(async move {
            let text = request.into_inner().service;
            if text == COUNTED {
                HANDLED.fetch_add(1, Ordering::SeqCst);
            }
            match &*method {
                "Sleep" => tokio::time::sleep(Duration::from_millis(text.parse().unwrap_or(0))).await,
                "Panic" => panic!("the secret is {text}"),
                _ => {}
            }
            let left = cwpp_chassis::deadline::remaining().map_or(0, |left| left.as_millis());
            Ok(Response::new(Answer { status: i32::try_from(left).unwrap_or(i32::MAX) }))
        })
    }
}

impl ServerStreamingService<Ask> for Handler {
    type Response = Answer;
    type ResponseStream = BoxStream<'static, Result<Answer, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let panics = request.into_inner().service == "panic";
        Box::pin(async move {
            let ticks = futures::stream::unfold(0, move |at| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(!(panics && at == 2), "the third tick panics");
                Some((Ok(Answer { status: at }), at + 1))
            });
            let stream: Self::ResponseStream = Box::pin(ticks);
            Ok(Response::new(stream))
        })
    }
}

/// Reads one admin page: its status and text.
pub(crate) async fn page(running: &Running, method: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(running.admin_addr).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let status = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}
