//! The layers of the configuration.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use cwpp_chassis::config::{Settings, Sources, schema};

use crate::probe::ProbeConfig;

fn load(file: &str, environment: &[(&str, &str)], sets: &[&str]) -> anyhow::Result<Settings<ProbeConfig>> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let sources = Sources {
        files: vec![toml.path().to_owned()],
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        environment: Some(environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
    };
    Settings::load("probe", &sources, |config: &ProbeConfig| config.probe.insecure)
}

fn message(result: anyhow::Result<Settings<ProbeConfig>>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[test]
fn without_any_source_the_defaults_hold() {
    let settings = load("", &[], &[]).unwrap();
    assert_eq!(settings.chassis.deadline.default, Duration::from_secs(10));
    assert_eq!(settings.chassis.limits.in_flight, 512);
    assert_eq!(settings.chassis.grpc.listen.ip().to_string(), "0.0.0.0");
    let sources = Sources { environment: Some(HashMap::new()), ..Sources::default() };
    let inventory = Settings::<ProbeConfig>::load("inventory", &sources, |_| false).unwrap();
    assert_eq!((inventory.chassis.grpc.listen.port(), inventory.chassis.admin.listen.port()), (50051, 9091));
}

#[test]
fn flags_win_over_environment_and_environment_over_files() {
    let file = "[grpc]\nmax_concurrent_streams = 1\n[deadline]\ndefault = \"1s\"\n[probe]\nsize = 1";
    let environment = [("CWPP__PROBE__DEADLINE__DEFAULT", "2s"), ("CWPP__PROBE__PROBE__SIZE", "2")];
    let settings = load(file, &environment, &["probe.size=3"]).unwrap();
    assert_eq!(settings.chassis.grpc.max_concurrent_streams, 1);
    assert_eq!(settings.chassis.deadline.default, Duration::from_secs(2));
    assert_eq!(settings.service.probe.size, 3);
}

#[test]
fn an_unknown_key_stops_the_start_wherever_it_stands() {
    let section = message(load("[grcp]\nlisten = \"127.0.0.1:1\"", &[], &[]));
    assert!(section.contains("unknown section `grcp`") && section.contains("grpc"), "{section}");
    let key = message(load("[grpc]\nlisten_addr = \"127.0.0.1:1\"", &[], &[]));
    assert!(key.contains("listen_addr") && key.contains("grpc"), "{key}");
    let own = message(load("", &[("CWPP__PROBE__PROBE__SIZES", "1")], &[]));
    assert!(own.contains("sizes") && own.contains("probe"), "{own}");
    let flag = message(load("", &[], &["probe.sizes=1"]));
    assert!(flag.contains("sizes"), "{flag}");
}

#[test]
fn a_service_link_of_kubernetes_is_no_setting() {
    load("", &[("PROBE_PORT", "tcp://10.0.0.1:1"), ("CWPP_PROBE_PORT", "tcp://10.0.0.1:1")], &[]).unwrap();
}

#[test]
fn a_secret_is_taken_as_it_is_and_never_shown() {
    let settings = load("", &[("CWPP__PROBE__PROBE__PASSWORD", "00123")], &[]).unwrap();
    assert_eq!(settings.service.probe.password.as_ref().unwrap().expose().unwrap(), "00123");
    let shown = settings.redacted().to_string();
    assert!(shown.contains("***") && !shown.contains("00123"), "{shown}");
    assert!(!format!("{settings:?}").contains("00123"));
}

#[test]
fn a_secret_may_come_from_a_file_and_is_read_anew() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = load("", &[("CWPP__PROBE__PROBE__PASSWORD_FILE", path)], &[]).unwrap();
    let password = settings.service.probe.password.unwrap();
    assert_eq!(password.expose().unwrap(), "first");
    std::fs::write(file.path(), "second\n").unwrap();
    assert_eq!(password.expose().unwrap(), "second");

    let missing = message(load("", &[], &["probe.password_file=/no/such/file"]));
    assert!(missing.contains("probe.password_file = /no/such/file"), "{missing}");
    let both = message(load("", &[], &["probe.password=x", &format!("probe.password_file={path}")]));
    assert!(both.contains("both set"), "{both}");
}

#[test]
fn insecure_defaults_to_loopback_and_refuses_anything_else() {
    let settings = load("[probe]\ninsecure = true", &[], &[]).unwrap();
    assert!(settings.chassis.grpc.listen.ip().is_loopback() && settings.chassis.admin.listen.ip().is_loopback());
    let refused = message(load("[probe]\ninsecure = true\n[grpc]\nlisten = \"0.0.0.0:1\"", &[], &[]));
    assert!(refused.contains("grpc.listen = 0.0.0.0:1") && refused.contains("loopback"), "{refused}");
}

#[test]
fn values_that_do_not_fit_together_are_named() {
    let hard = message(load("[shutdown]\nhard = \"1s\"", &[], &[]));
    assert!(hard.contains("shutdown.hard"), "{hard}");
    let ratio = message(load("", &[], &["trace.ratio=2"]));
    assert!(ratio.contains("trace.ratio"), "{ratio}");
}

#[test]
fn the_schema_knows_every_section_and_documents_every_field() {
    fn undocumented(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undocumented(property, &path, found);
        }
    }
    let schema = schema::<ProbeConfig>();
    for key in ["grpc", "admin", "deadline", "limits", "shutdown", "tls", "log", "trace", "probe"] {
        assert!(schema["properties"].get(key).is_some(), "{key} is missing");
    }
    assert!(schema["properties"]["probe"]["properties"].get("password_file").is_some());
    assert_eq!(schema["additionalProperties"], false);
    let mut found = Vec::new();
    undocumented(&schema, "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}
