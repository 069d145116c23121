//! The service as a process of its own: its command line, its exit codes, its end on a signal.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use tonic_health::pb::{HealthCheckRequest as Ask, HealthCheckResponse as Answer};

use crate::probe::{Probe, ask};

/// Holds the arguments, one a line, where this binary is to be the service instead of its tests.
const ARGUMENTS: &str = "CHASSIS_PROBE_ARGUMENTS";

#[test]
fn the_service_itself_where_a_test_asked_for_it() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let code = cwpp_chassis::app::main_from::<Probe>(std::iter::once("probe").chain(arguments.lines()).map(Into::into));
    // An `ExitCode` cannot be read; these are the three that there are.
    let code = [0, 1, 2].into_iter().find(|known| code == ExitCode::from(*known));
    std::process::exit(code.unwrap_or(99).into());
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "process::the_service_itself_where_a_test_asked_for_it"])
        .env(ARGUMENTS, arguments.join("\n"))
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

struct Served {
    child: Child,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(sets: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--set", "grpc.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let mut child = command(&arguments).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    /// Reads the log up to a message.
    fn wait_for(&mut self, message: &str) -> serde_json::Value {
        self.wait_for_line(message, |line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            line["message"].as_str().is_some_and(|said| said.contains(message)).then_some(line)
        })
    }

    /// Reads the log up to a line of which something is wanted.
    fn wait_for_line<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let found = self.log.by_ref().find_map(|line| wanted(&line.unwrap()));
        found.unwrap_or_else(|| panic!("the log ended before `{what}`"))
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        (self.child.wait().unwrap().code(), started.elapsed())
    }
}

#[test]
fn sigterm_ends_it_in_order_and_its_log_shows_no_secret() {
    let mut served = Served::start(&["shutdown.lame_duck=200ms", "probe.password=hunter2"]);
    let config = served.wait_for("the configuration in effect");
    assert!(config["config"].as_str().unwrap().contains("***") && !config.to_string().contains("hunter2"), "{config}");
    let started = served.wait_for("started");
    assert!(started["grpc"].as_str().unwrap().starts_with("127.0.0.1:"), "{started}");
    served.signal("-TERM");
    served.wait_for("stopping");
    served.wait_for("stopped");
    let (code, took) = served.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Calls the service in a trace; the answer names it.
async fn call_in_trace(address: &str, trace: &str) {
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = ask("");
    request.metadata_mut().insert("traceparent", format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap());
    let path = http::uri::PathAndQuery::from_static("/test.v1.Probe/Echo");
    let codec = tonic_prost::ProstCodec::<Ask, Answer>::default();
    let answer = grpc.unary(request, path, codec).await.unwrap();
    assert_eq!(answer.metadata().get("x-trace-id").unwrap(), trace);
}

#[tokio::test]
async fn a_line_of_a_call_names_its_trace_in_either_form_of_the_log() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut served = Served::start(&["log.format=json"]);
    let started = served.wait_for("started");
    assert!(started.get("trace_id").is_none(), "outside a call: {started}");
    call_in_trace(started["grpc"].as_str().unwrap(), TRACE).await;
    assert_eq!(served.wait_for("call")["trace_id"], TRACE);
    drop(served);

    let mut served = Served::start(&["log.format=human"]);
    let address = served.wait_for_line("started", |line| {
        let words = line.contains(" started ").then(|| line.split_whitespace())?;
        assert!(!line.contains("trace_id"), "outside a call: {line}");
        words.filter_map(|word| word.strip_prefix("grpc=")).next().map(str::to_owned)
    });
    call_in_trace(&address, TRACE).await;
    let line = served.wait_for_line("call", |line| line.contains("cwpp::access").then(|| line.to_owned()));
    let (_, ids) = line.split_once(" request_id=").unwrap_or_else(|| panic!("{line}"));
    assert_eq!(ids.split_once(" trace_id=").map(|(_, trace)| trace), Some(TRACE), "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut served = Served::start(&["shutdown.lame_duck=25s", "shutdown.drain=1s"]);
    served.wait_for("started");
    served.signal("-TERM");
    served.wait_for("stopping");
    served.signal("-INT");
    let (_, took) = served.end();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn the_configuration_is_checked_and_printed_without_secrets() {
    let (code, text) = run(&["config", "print", "--set", "probe.password=hunter2"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("password = \"***\"") && text.contains("[grpc]") && !text.contains("hunter2"), "{text}");
    let (code, text) = run(&["config", "check", "--set", "probe.sizes=1"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("unknown field") && text.contains("sizes"), "{text}");
    let (code, text) = run(&["serve", "--config", "/no/such/file.toml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("/no/such/file.toml"), "{text}");
    assert_eq!(run(&["config", "check"]).0, Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, text) = run(&["serve", "--set", &format!("grpc.listen={address}")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("grpc.listen = {address}")), "{text}");
}

#[test]
fn the_other_commands_answer() {
    let (code, text) = run(&["version"]);
    assert!(code == Some(0) && text.contains(&format!("probe {}", cwpp_chassis::VERSION)), "{text}");
    let (code, text) = run(&["migrate", "status"]);
    assert!(code == Some(0) && text.contains("no schema"), "{text}");
    let (code, text) = run(&["config", "schema"]);
    assert!(code == Some(0) && text.contains("\"password_file\""), "{text}");
    assert_eq!(run(&["conjure"]).0, Some(2));
}
