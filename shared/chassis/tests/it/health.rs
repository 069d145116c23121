//! What probes and callers see.

use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::probe::{page, probe, wire};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn watchers_see_the_lame_duck_while_calls_are_still_answered() {
    let running = probe(|settings| settings.chassis.shutdown.lame_duck = Duration::from_millis(300)).await;
    let mut health = HealthClient::new(wire(&running).await);
    for service in ["", "test.v1.Probe"] {
        assert_eq!(health.check(of(service)).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let unknown = health.check(of("no.such.Service")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let mut watch = health.watch(of("test.v1.Probe")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let stopping = tokio::spawn(running.stop());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let check = health.check(of("")).await.expect("the lame duck still answers").into_inner();
    assert_eq!(check.status(), ServingStatus::NotServing);
    // The watcher does not hold up the drain.
    tokio::time::timeout(Duration::from_secs(2), stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_check_is_named_and_does_not_touch_liveness() {
    let running = probe(|settings| settings.service.probe.broken = true).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (code, text) = page(&running, "GET", "/readyz?verbose").await;
    assert_eq!(code, 503);
    assert!(text.contains("[-] database: no route to the database"), "{text}");
    assert_eq!(page(&running, "GET", "/livez").await, (200, "ok\n".to_owned()));
    let mut health = HealthClient::new(wire(&running).await);
    assert_eq!(health.check(of("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    running.stop().await;
}

#[tokio::test]
async fn the_pages_show_checks_version_and_configuration_without_secrets() {
    let running =
        probe(|settings| settings.service.probe.password = Some(cwpp_chassis::config::Secret::new("hunter2"))).await;
    let (code, text) = page(&running, "GET", "/readyz?verbose").await;
    assert_eq!((code, text.as_str()), (200, "[+] database: ok\n[+] shutdown: ok\nok\n"));
    let (_, version) = page(&running, "GET", "/version").await;
    assert!(version.contains(r#""service":"probe""#) && version.contains(cwpp_chassis::VERSION), "{version}");
    let (_, config) = page(&running, "GET", "/config").await;
    assert!(config.contains(r#""password":"***""#) && !config.contains("hunter2"), "{config}");
    let (_, metrics) = page(&running, "GET", "/metrics").await;
    for name in ["build_info", "process_resident_memory_bytes", "tokio_alive_tasks", "ready 1"] {
        assert!(metrics.contains(name), "{name} is missing: {metrics}");
    }
    running.stop().await;
}

#[tokio::test]
async fn both_reflections_list_the_services() {
    use tonic_reflection::pb::{v1, v1alpha};
    let running = probe(|_| {}).await;
    let channel = wire(&running).await;

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(futures::stream::iter([ask])).await.unwrap().into_inner();
    assert!(format!("{:?}", answers.message().await.unwrap()).contains("test.v1.Probe"));

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(futures::stream::iter([ask])).await.unwrap().into_inner();
    assert!(format!("{:?}", answers.message().await.unwrap()).contains("test.v1.Probe"));
    running.stop().await;
}
