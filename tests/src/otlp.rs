//! A real OTLP receiver: what a service exports arrives here by gRPC.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::{Request, Response, Status};

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    /// `service.name` of the process that sent it.
    pub service: String,
    /// Name of the span.
    pub name: String,
    /// The trace that it belongs to.
    pub trace_id: Vec<u8>,
    /// Its own id.
    pub span_id: Vec<u8>,
    /// Id of the span above it; empty at the root.
    pub parent_span_id: Vec<u8>,
    /// Its attributes as text.
    pub attributes: Vec<(String, String)>,
    /// What was logged in it: names and attributes as text.
    pub events: Vec<(String, Vec<(String, String)>)>,
}

/// Receives spans until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<ReceivedSpan>>>,
    task: tokio::task::JoinHandle<()>,
}

struct Sink(Arc<Mutex<Vec<ReceivedSpan>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = Vec::new();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|r| r.attributes).unwrap_or_default();
            let service =
                texts(attributes).into_iter().find(|(k, _)| k == "service.name").map(|(_, v)| v).unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|s| s.spans) {
                received.push(ReceivedSpan {
                    service: service.clone(),
                    name: span.name,
                    trace_id: span.trace_id,
                    span_id: span.span_id,
                    parent_span_id: span.parent_span_id,
                    attributes: texts(span.attributes),
                    events: span.events.into_iter().map(|e| (e.name, texts(e.attributes))).collect(),
                });
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(received);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> Vec<(String, String)> {
    attributes
        .into_iter()
        .map(|a| (a.key, a.value.map(|v| format!("{:?}", v.value)).unwrap_or_default()))
        .map(|(k, v)| (k, v.trim_start_matches("Some(StringValue(\"").trim_end_matches("\"))").to_owned()))
        .collect()
}

impl Receiver {
    /// Starts on a free port of loopback.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let spans = Arc::new(Mutex::new(Vec::new()));
        let service = TraceServiceServer::new(Sink(spans.clone()));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let task = tokio::spawn(async move {
            // If it ends early, what is waited for does not arrive, and the test says so.
            let _ = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
        });
        Ok(Self { address, spans, task })
    }

    /// Returns what has arrived.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `wanted` holds for what has arrived, and returns it.
    pub async fn wait(
        &self,
        patience: Duration,
        wanted: impl Fn(&[ReceivedSpan]) -> bool,
    ) -> anyhow::Result<Vec<ReceivedSpan>> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let spans = self.spans();
            if wanted(&spans) {
                return Ok(spans);
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < until,
                "what was waited for did not arrive; {} spans did: {spans:#?}",
                spans.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
