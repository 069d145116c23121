//! Logs, traces and metrics of the process.
//!
//! Installed once per process; a second service of the same process shares what is there.

mod human;
mod json;
mod process;
mod trouble;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use trouble::Trouble;

use crate::config::{Log, LogFormat, Trace};

/// The upper bounds of every histogram of seconds: from a cached read to the cap of a deadline.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs log and traces. `name` is `service.name` of the spans. Does nothing if the process has a log already.
pub fn init(name: &'static str, log: &Log, trace: &Trace) -> anyhow::Result<()> {
    if PROVIDER.get().is_some() {
        return Ok(());
    }
    let filter = EnvFilter::try_new(&log.level).map_err(|error| anyhow::anyhow!("log.level: {error}"))?;
    let format: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .event_format(json::Json)
                .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
                .with_writer(std::io::stderr)
                .with_filter(filter),
        ),
        LogFormat::Human => Box::new(
            tracing_subscriber::fmt::layer()
                .event_format(human::Human)
                .with_writer(std::io::stderr)
                .with_filter(filter),
        ),
    };
    let provider = provider(name, trace)?;
    // Spans of every layer, also of the database's, from info on; the exporter's own calls would trace themselves.
    let spans = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("h2", LevelFilter::OFF)
        .with_target("hyper", LevelFilter::OFF)
        .with_target("tonic", LevelFilter::OFF)
        .with_target("opentelemetry", LevelFilter::OFF)
        .with_target("cwpp::access", LevelFilter::OFF);
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("cwpp"))
        .with_location(false)
        .with_threads(false)
        .with_filter(spans);
    if Registry::default().with(format).with(traces).try_init().is_ok() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(provider.clone());
        let _ = PROVIDER.set(provider);
    }
    Ok(())
}

/// Exports what is left. Call it before the process ends.
pub fn flush() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(3))
    {
        tracing::debug!(%error, "the last spans were not exported");
    }
}

fn provider(name: &'static str, trace: &Trace) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder()
        .with_service_name(std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| name.to_owned()))
        .with_attribute(KeyValue::new("service.version", crate::VERSION))
        .build();
    let mut builder = SdkTracerProvider::builder().with_resource(resource);
    if std::env::var_os("OTEL_TRACES_SAMPLER").is_none() {
        builder = builder.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(trace.ratio))));
    }
    let from_environment = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .iter()
        .any(|key| std::env::var_os(key).is_some_and(|value| !value.is_empty()));
    if from_environment || trace.endpoint.is_some() {
        // The exporter's connection lives on a runtime of its own: it outlives the runtime of any one service, and the
        // flush at the end cannot wait for itself.
        let _runtime = runtime().enter();
        let mut exporter = SpanExporter::builder().with_tonic();
        if let (false, Some(endpoint)) = (from_environment, &trace.endpoint) {
            exporter = exporter.with_endpoint(endpoint.clone());
        }
        builder = builder.with_batch_exporter(exporter.build()?);
    }
    Ok(builder.build())
}

/// A small runtime that lives as long as the process.
fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: OnceLock<Option<tokio::runtime::Runtime>> = OnceLock::new();
    static FALLBACK: OnceLock<tokio::runtime::Handle> = OnceLock::new();
    let own = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("telemetry").enable_all().build().ok()
    });
    match own {
        Some(runtime) => runtime.handle(),
        None => FALLBACK.get_or_init(tokio::runtime::Handle::current),
    }
}

/// Installs the metrics recorder, once, and gives what renders it.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // A test may have installed its own; then ours stays empty.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        let upkeep = handle.clone();
        runtime().spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
        handle
    })
}

/// Every metric of the process in Prometheus' text format.
pub fn render() -> String {
    let mut text = metrics().render();
    process::render(&mut text);
    text
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("rpc_server_call_duration_seconds", Unit::Seconds, "time from a call's head to its last byte");
    describe_gauge!("rpc_server_active_calls", "calls being worked on, streams included");
    describe_counter!("rpc_server_rejected_total", "calls turned away before their handler, by reason");
    describe_histogram!(
        "rpc_client_call_duration_seconds",
        Unit::Seconds,
        "time to the head of an answer, retries included"
    );
    describe_counter!("rpc_client_retries_total", "calls sent again, by reason");
    describe_gauge!("rpc_server_connections", "connections open");
    describe_gauge!("ready", "1 while every readiness check passes");
    describe_counter!("job_restarts_total", "background jobs started again after a panic");
    describe_gauge!("build_info", "1, with the version as a label");
    metrics::gauge!("build_info", "version" => crate::VERSION, "commit" => crate::COMMIT).set(1.0);
}
