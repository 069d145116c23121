//! How connections and the process end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cwpp_chassis::Clock;
use cwpp_chassis::app::start;
use cwpp_chassis::client::Channel;
use cwpp_chassis::config::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{COUNTED, JOB_RUNS, Probe, ProbeConfig, ask, call, channel, handled, page, probe};

/// Calls from `tasks` tasks; gives the failures.
async fn load(channel: &Channel, tasks: usize, calls: usize) -> Vec<tonic::Status> {
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let channel = channel.clone();
        set.spawn(async move {
            let mut failed = Vec::new();
            for _ in 0..calls {
                failed.extend(call(&channel, "Sleep", ask(COUNTED)).await.err());
            }
            failed
        });
    }
    set.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_connections_age_and_none_is_made_twice() {
    let running = probe(|settings| settings.chassis.grpc.max_connection_age = Duration::from_millis(300)).await;
    let channel = channel(&running);
    let before = handled();
    let failed = load(&channel, 16, 250).await;
    assert!(failed.is_empty(), "{} failed, such as {:?}", failed.len(), failed.first());
    assert_eq!(handled() - before, 4_000);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_open_calls_end() {
    let running = probe(|_| {}).await;
    let channel = channel(&running);
    let open: Vec<_> = (0..20)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { call(&channel, "Sleep", ask("400")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    running.stop().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    for call in open {
        call.await.unwrap().expect("it was open when the stop began");
    }
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_off_after_the_drain() {
    let running = probe(|settings| settings.chassis.shutdown.drain = Duration::from_millis(300)).await;
    let channel = channel(&running);
    let open = tokio::spawn(async move { call(&channel, "Sleep", ask("9000")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    running.stop().await;
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    open.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_mute_connection_is_closed_and_does_not_hold_up_the_stop() {
    let running = probe(|settings| settings.chassis.grpc.handshake_timeout = Duration::from_millis(300)).await;
    let mut first = tokio::net::TcpStream::connect(running.grpc_addr).await.unwrap();
    // The server's own first frame, and then the end.
    let mut sent = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(2), first.read_to_end(&mut sent)).await;
    closed.expect("closed after the handshake timeout").unwrap();

    let _second = tokio::net::TcpStream::connect(running.grpc_addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let started = Instant::now();
    running.stop().await;
    assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
}

/// What an HTTP/2 client begins with: the preface and an empty SETTINGS frame.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The answer to the server's PING before it goes: the payload is that of h2.
const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54";
/// The type of the frame that says that the server goes, and up to which call it took them.
const GOAWAY: u8 = 7;
/// A PING of the client's own.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// How often a server said that it goes.
fn goaways(said: &[u8]) -> usize {
    let (mut found, mut rest) = (0, said);
    while let Some((&[a, b, c, kind, ..], frame)) = rest.split_at_checked(9) {
        found += usize::from(kind == GOAWAY);
        rest = &frame[u32::from_be_bytes([0, a, b, c]) as usize..];
    }
    found
}

#[tokio::test]
async fn a_client_that_still_sends_can_read_why_the_server_goes() {
    let running = probe(|settings| settings.chassis.grpc.max_connection_age = Duration::from_millis(100)).await;
    let mut client = tokio::net::TcpStream::connect(running.grpc_addr).await.unwrap();
    client.write_all(BEGINNING).await.unwrap();
    client.write_all(PONG).await.unwrap();
    // It is sent on after the server has said all: each of these would be answered by a reset if the socket was closed.
    let until = Instant::now() + Duration::from_millis(350);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.write_all(PONG).await.unwrap();
        client.write_all(PING).await.expect("the server still reads");
    }
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.expect("no reset");
    assert_eq!(goaways(&said), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_speaks_late_is_not_ended_by_its_age() {
    let running = probe(|settings| settings.chassis.grpc.max_connection_age = Duration::from_millis(50)).await;
    let mut client = tokio::net::TcpStream::connect(running.grpc_addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.write_all(BEGINNING).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(PONG).await.expect("it is served");
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.expect("no reset");
    assert_eq!(goaways(&said), 2, "it is told to go, not cut off");
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_panics_is_started_again() {
    let running = probe(|settings| settings.service.probe.panicking_job = true).await;
    tokio::time::timeout(Duration::from_secs(3), async {
        while JOB_RUNS.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the second run");
    running.stop().await;
}

#[tokio::test]
async fn the_clock_can_be_put_forward_only_where_anybody_is_let_in() {
    let running = probe(|_| {}).await;
    assert_eq!(page(&running, "POST", "/clock/advance?seconds=60").await.0, 404);
    running.stop().await;

    let running = probe(|settings| settings.service.probe.insecure = true).await;
    let before = running.clock.now();
    let (code, text) = page(&running, "POST", "/clock/advance?seconds=604800").await;
    assert_eq!(code, 200, "{text}");
    assert!(running.clock.now() - before >= chrono::TimeDelta::days(7));
    running.stop().await;
}

#[tokio::test]
async fn insecure_listens_on_loopback_only() {
    let mut settings = Settings::local(ProbeConfig::default());
    settings.service.probe.insecure = true;
    settings.chassis.grpc.listen = "0.0.0.0:0".parse().unwrap();
    let Err(error) = start::<Probe>(settings, Clock::system()).await else { panic!("it started") };
    assert!(error.to_string().contains("loopback"), "{error}");
}
