//! What the layers do to a call.

use std::time::{Duration, Instant};

use cwpp_chassis::{Reason, status};
use http::uri::PathAndQuery;
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest as Ask, HealthCheckResponse as Answer};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::probe::{ask, call, channel, page, probe, wire};

/// A client without our own deadline and retries, which would answer first.
async fn bare(running: &cwpp_chassis::app::Running) -> tonic::client::Grpc<tonic::transport::Channel> {
    let channel = wire(running).await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    grpc
}

async fn bare_call(
    grpc: &mut tonic::client::Grpc<tonic::transport::Channel>,
    path: &'static str,
    ask: tonic::Request<Ask>,
) -> Result<tonic::Response<Answer>, tonic::Status> {
    grpc.ready().await.unwrap();
    grpc.unary(ask, PathAndQuery::from_static(path), ProstCodec::default()).await
}

#[tokio::test]
async fn a_deadline_is_answered_by_the_server_in_time() {
    let running = probe(|_| {}).await;
    let mut grpc = bare(&running).await;
    let mut request = ask("5000");
    request.set_timeout(Duration::from_millis(400));
    let started = Instant::now();
    let status = bare_call(&mut grpc, "/test.v1.Probe/Sleep", request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(status::reason(&status), Some(Reason::DeadlineExceeded), "answered by the client's timer");
    assert!(started.elapsed() < Duration::from_millis(400), "{:?}", started.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_the_default_and_one_too_long_the_cap() {
    let running = probe(|settings| {
        settings.chassis.deadline.default = Duration::from_secs(4);
        settings.chassis.deadline.max = Duration::from_secs(8);
    })
    .await;
    let mut grpc = bare(&running).await;
    let left = bare_call(&mut grpc, "/test.v1.Probe/Echo", ask("")).await.unwrap().into_inner().status;
    assert!((3500..=3950).contains(&left), "{left}");
    let mut long = ask("");
    long.set_timeout(Duration::from_secs(3600));
    let left = bare_call(&mut grpc, "/test.v1.Probe/Echo", long).await.unwrap().into_inner().status;
    assert!((7500..=7950).contains(&left), "{left}");
    running.stop().await;
}

#[tokio::test]
async fn a_stream_outlives_the_cap_but_not_its_own_deadline() {
    let running = probe(|settings| {
        settings.chassis.deadline.default = Duration::from_millis(50);
        settings.chassis.deadline.max = Duration::from_millis(50);
    })
    .await;
    let mut grpc = bare(&running).await;
    let path = PathAndQuery::from_static("/test.v1.Probe/Ticks");
    let codec = ProstCodec::<Ask, Answer>::default;
    let mut ticks = grpc.server_streaming(ask(""), path.clone(), codec()).await.unwrap().into_inner();
    for at in 0..8 {
        assert_eq!(ticks.message().await.unwrap().unwrap().status, at);
    }
    grpc.ready().await.unwrap();
    let mut bounded = ask("");
    bounded.set_timeout(Duration::from_millis(300));
    let mut ticks = grpc.server_streaming(bounded, path, codec()).await.unwrap().into_inner();
    let status = loop {
        match ticks.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status::reason(&status), Some(Reason::DeadlineExceeded), "{status:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_call_over_the_limit_is_refused_at_once_with_a_delay() {
    let running = probe(|settings| settings.chassis.limits.in_flight = 1).await;
    let mut slow = bare(&running).await;
    let slow = tokio::spawn(async move { bare_call(&mut slow, "/test.v1.Probe/Sleep", ask("400")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut grpc = bare(&running).await;
    let status = bare_call(&mut grpc, "/test.v1.Probe/Echo", ask("")).await.unwrap_err();
    assert_eq!((status.code(), status::reason(&status)), (Code::ResourceExhausted, Some(Reason::Overloaded)));
    assert!(status::retry_delay(&status).is_some());
    let mut health = HealthClient::new(wire(&running).await);
    health.check(ask("")).await.expect("health is answered when nothing else is");
    slow.await.unwrap().unwrap();
    bare_call(&mut grpc, "/test.v1.Probe/Echo", ask("")).await.expect("the place is free again");
    let (_, metrics) = page(&running, "GET", "/metrics").await;
    assert!(metrics.contains(r#"rpc_server_rejected_total{reason="overloaded"}"#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_internal_and_the_server_goes_on() {
    let running = probe(|_| {}).await;
    let channel = channel(&running);
    let status = call(&channel, "Panic", ask("hunter2")).await.unwrap_err();
    assert_eq!((status.code(), status::reason(&status)), (Code::Internal, Some(Reason::Internal)));
    assert!(!format!("{status:?}").contains("hunter2"));
    call(&channel, "Echo", ask("")).await.unwrap();

    let mut grpc = bare(&running).await;
    let path = PathAndQuery::from_static("/test.v1.Probe/Ticks");
    let mut ticks =
        grpc.server_streaming(ask("panic"), path, ProstCodec::<Ask, Answer>::default()).await.unwrap().into_inner();
    ticks.message().await.unwrap();
    ticks.message().await.unwrap();
    let status = ticks.message().await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::Internal), "{status:?}");
    running.stop().await;
}

#[tokio::test]
async fn the_request_id_comes_back_and_names_the_error() {
    let running = probe(|_| {}).await;
    let mut grpc = bare(&running).await;
    let mut named = ask("");
    named.metadata_mut().insert("x-request-id", "order-66".parse().unwrap());
    let response = bare_call(&mut grpc, "/test.v1.Probe/Echo", named).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "order-66");
    let made = bare_call(&mut grpc, "/test.v1.Probe/Echo", ask("")).await.unwrap();
    assert_eq!(made.metadata().get("x-request-id").unwrap().len(), 36);

    let mut named = ask("");
    named.metadata_mut().insert("x-request-id", "order-67".parse().unwrap());
    let status = bare_call(&mut grpc, "/test.v1.Probe/Panic", named).await.unwrap_err();
    assert_eq!(status.get_details_request_info().unwrap().request_id, "order-67");
    running.stop().await;
}

#[tokio::test]
async fn an_unknown_method_is_answered_with_details_and_makes_no_label() {
    let running = probe(|_| {}).await;
    let mut grpc = bare(&running).await;
    for path in ["/test.v1.Probe/Nothing", "/no.such.Service/Method"] {
        let status = bare_call(&mut grpc, path, ask("")).await.unwrap_err();
        assert_eq!(status::reason(&status), Some(Reason::Unimplemented), "{status:?}");
        assert!(status.get_details_request_info().is_some());
    }
    let (_, metrics) = page(&running, "GET", "/metrics").await;
    assert!(metrics.contains(r#"rpc_method="_OTHER",rpc_status_code="UNIMPLEMENTED""#), "{metrics}");
    assert!(!metrics.contains("no.such"));
    running.stop().await;
}

#[tokio::test]
async fn a_caller_without_a_token_is_refused_and_health_is_not() {
    let running = probe(|settings| settings.service.probe.closed = true).await;
    let mut grpc = bare(&running).await;
    let status = bare_call(&mut grpc, "/test.v1.Probe/Echo", ask("")).await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::Unauthenticated));
    let mut good = ask("");
    good.metadata_mut().insert("authorization", "Bearer good".parse().unwrap());
    bare_call(&mut grpc, "/test.v1.Probe/Echo", good).await.unwrap();
    bare_call(&mut grpc, "/grpc.health.v1.Health/Check", ask("test.v1.Probe")).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_header_that_is_no_timeout_is_refused() {
    let running = probe(|_| {}).await;
    let mut grpc = bare(&running).await;
    let mut odd = ask("");
    odd.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let status = bare_call(&mut grpc, "/test.v1.Probe/Echo", odd).await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::InvalidArgument), "{status:?}");
    running.stop().await;
}
