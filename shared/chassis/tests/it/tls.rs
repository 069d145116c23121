//! Transport security. The certificates in `tls/` are for tests only and expire in a hundred years.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::TlsMode;
use cwpp_chassis::{Reason, status};

use crate::probe::{ask, call, probe};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

fn client(authority: &str, certificate: Option<&str>) -> ClientConfig {
    ClientConfig {
        ca_file: Some(file(&format!("{authority}-ca.pem"))),
        cert_file: certificate.map(|name| file(&format!("{name}.pem"))),
        key_file: certificate.map(|name| file(&format!("{name}.key"))),
        max_attempts: 1,
        ..ClientConfig::default()
    }
}

#[tokio::test]
async fn both_sides_show_certificates_and_new_ones_are_taken_up_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let install = |set: &str| {
        std::fs::copy(file(&format!("{set}-server.key")), &key).unwrap();
        std::fs::copy(file(&format!("{set}-server.pem")), &certificate).unwrap();
    };
    install("a");
    let running = probe(|settings| {
        let tls = &mut settings.chassis.tls;
        tls.mode = TlsMode::Mutual;
        tls.cert_file = Some(certificate.clone());
        tls.key_file = Some(key.clone());
        tls.client_ca_file = Some(file("a-ca.pem"));
        tls.reload_interval = Some(Duration::from_millis(50));
    })
    .await;
    let target = format!("https://localhost:{}", running.grpc_addr.port());
    let shown = async |authority: &str, certificate: Option<&str>| {
        let channel = Channel::connect_lazy(&target, &client(authority, certificate)).unwrap();
        call(&channel, "Echo", ask("")).await.map_err(|status| status::reason(&status))
    };
    shown("a", Some("a-client")).await.unwrap();
    assert_eq!(shown("a", None).await.unwrap_err(), Some(Reason::PeerUnavailable), "a client without a certificate");
    assert_eq!(shown("b", Some("a-client")).await.unwrap_err(), Some(Reason::PeerUnavailable), "another authority");

    std::fs::write(&certificate, "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    shown("a", Some("a-client")).await.expect("a bad file keeps what was read before");

    install("b");
    tokio::time::sleep(Duration::from_millis(200)).await;
    shown("b", Some("a-client")).await.expect("the new certificate is shown");
    running.stop().await;
}

#[test]
fn a_secured_target_needs_an_authority() {
    let error = Channel::connect_lazy("https://localhost:1", &ClientConfig::default()).err().unwrap();
    assert!(error.to_string().contains("ca_file"), "{error}");
}
