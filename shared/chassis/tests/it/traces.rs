//! One trace over caller and service, in a receiver that speaks OTLP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cwpp_chassis::config::{Log, Trace};
use cwpp_chassis::telemetry;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::probe::{ask, call, channel, probe};

#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

// The only test that installs the log and the exporter: there is one of each in a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_reaches_from_the_caller_through_the_service() {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let serving = tonic::transport::Server::builder().add_service(TraceServiceServer::new(receiver.clone()));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    let log = Log { level: "off".to_owned(), ..Log::default() };
    telemetry::init("probe", &log, &Trace { endpoint, ratio: 1.0 }).unwrap();

    let running = probe(|_| {}).await;
    let channel = channel(&running);
    let work = tracing::info_span!("work");
    let response = call(&channel, "Echo", ask("")).instrument(work).await.unwrap();
    let trace = response.metadata().get("x-trace-id").expect("the answer names the trace").to_str().unwrap().to_owned();
    running.stop().await;
    tokio::task::spawn_blocking(telemetry::flush).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;

    let spans = receiver.0.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of_trace: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == trace).collect();
    let named = |name: &str, kind: i32| of_trace.iter().find(|span| span.name == name && span.kind == kind);
    let work = named("work", 1).expect("the caller's own span");
    let server = named("test.v1.Probe/Echo", 2).expect("the server's span");
    // The client has no descriptor here, so its label is the one of an unknown method.
    let client = named("_OTHER", 3).expect("the client's span");
    assert_eq!(client.parent_span_id, work.span_id);
    assert_eq!(server.parent_span_id, client.span_id);
}
