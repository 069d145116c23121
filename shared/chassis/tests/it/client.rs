//! The client between two services.

use std::time::{Duration, Instant};

use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::{Reason, deadline, request_id, status};

use crate::probe::{ask, call, channel, probe};

#[tokio::test]
async fn a_call_takes_over_deadline_and_request_id_of_the_call_it_is_made_for() {
    let running = probe(|_| {}).await;
    let channel = channel(&running);
    let until = deadline::Instant::now() + Duration::from_secs(2);
    let response =
        request_id::scope("outer-1".into(), deadline::scope(until, call(&channel, "Echo", ask("")))).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "outer-1");
    assert!(response.into_inner().status <= 1950);

    let until = deadline::Instant::now() + Duration::from_millis(200);
    let started = Instant::now();
    let status = deadline::scope(until, call(&channel, "Sleep", ask("3000"))).await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::DeadlineExceeded), "{status:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_is_away_is_waited_for_within_the_attempts() {
    let running = probe(|_| {}).await;
    let (target, address) = (running.target(), running.grpc_addr);
    running.stop().await;
    let config = ClientConfig { max_attempts: 8, backoff: Duration::from_millis(200), ..ClientConfig::default() };
    let channel = Channel::connect_lazy(&target, &config).unwrap();
    let back = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        probe(|settings| settings.chassis.grpc.listen = address).await
    });
    call(&channel, "Sleep", ask("0")).await.expect("nothing was sent, so any method may be sent again");
    back.await.unwrap().stop().await;

    let config = ClientConfig { max_attempts: 2, ..ClientConfig::default() };
    let channel = Channel::connect_lazy(&target, &config).unwrap();
    let status = call(&channel, "Echo", ask("")).await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::PeerUnavailable), "{status:?}");
    assert!(status::retry_delay(&status).is_some());
}

#[tokio::test]
async fn a_token_is_read_again_from_its_file() {
    let running = probe(|settings| settings.service.probe.closed = true).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    let config = ClientConfig { token_file: Some(file.path().to_owned()), ..ClientConfig::default() };
    let channel = Channel::connect_lazy(&running.target(), &config).unwrap();
    let status = call(&channel, "Echo", ask("")).await.unwrap_err();
    assert_eq!(status::reason(&status), Some(Reason::Unauthenticated));
    std::fs::write(file.path(), "good\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    call(&channel, "Echo", ask("")).await.unwrap();
    running.stop().await;
}
