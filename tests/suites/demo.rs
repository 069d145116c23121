//! The command line as its user runs it.

use std::process::Command;

use anyhow::Context;
use cwpp_retention::certificate::{Signer, embedded_key};
use cwpp_tests::process::binary;
use serde_json::Value;

fn cwpp(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary("cwpp")?).args(arguments).output()?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    anyhow::ensure!(output.status.success(), "cwpp {arguments:?}: {err}\n{out}");
    assert_eq!(err, "", "no log noise");
    Ok(out)
}

#[test]
fn the_demonstration_tells_its_story_in_forty_lines_and_the_calls_at_its_end_are_answered() -> anyhow::Result<()> {
    let page = cwpp(&["demo"])?;
    assert!(page.lines().count() <= 40, "{page}");
    for words in [
        "opened in every service",
        "password cracking",
        "abnormal login",
        "CERTIFIED",
        "verified offline",
        "cwpp serve",
        "grpcurl",
    ] {
        assert!(page.contains(words), "{words}:\n{page}");
    }
    crate::commands::go_on(&page)
}

#[test]
fn the_demonstration_prints_one_object_for_programs() -> anyhow::Result<()> {
    let told: Value = serde_json::from_str(&cwpp(&["demo", "--json"])?)?;
    let accounts = told["classes"]["account"]["items"].as_u64().context("accounts")?;
    let getent = Command::new("getent").args(["-s", "files", "passwd"]).output()?;
    assert_eq!(accounts as usize, String::from_utf8(getent.stdout)?.lines().count());
    // Processes come and go meanwhile, on a host that does much.
    let all: u64 = told["classes"].as_object().context("classes")?.values().filter_map(|c| c["items"].as_u64()).sum();
    assert!(told["second_report"]["written"].as_u64().context("written")? < all / 2, "only the difference is written");
    assert!(told["machine"]["machine_id"].is_string());
    let incidents = told["incidents"].as_array().context("incidents")?;
    let of = |source: &str| incidents.iter().filter(|i| i["source_address"] == source).collect::<Vec<_>>();
    assert!(of("203.0.113.9").iter().any(|i| i["severity"] == "SEVERITY_CRITICAL"), "a cracked password is critical");
    assert!(!of("198.51.100.23").is_empty(), "spraying is found");
    assert!(!of("2001:db8::bad").is_empty(), "the true source of forged names is found");
    assert!(of("192.0.2.17").is_empty(), "nobody is blamed for a forged line");
    verified_from_the_command_line(&told["certificate"])
}

/// Verifies a certificate as whoever was given it: as it is, and after somebody changed it.
fn verified_from_the_command_line(certificate: &Value) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let file = folder.path().join(name);
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let given = file("given.json", &certificate.to_string())?;
    let key = file("key.pem", &embedded_key(&certificate.to_string())?.to_pem()?)?;
    assert_eq!(cwpp(&["certificate", "verify", &given, "--key", &key])?, "the certificate holds\n");

    let mut less = certificate.clone();
    let deleted = &mut less["certificate"]["services"][0]["deleted"][0]["rows"];
    *deleted = (deleted.as_u64().context("a number of rows")? + 1).into();
    let less = file("less.json", &less.to_string())?;
    let other = file("other.pem", &Signer::generate().public().to_pem()?)?;
    for (given, key, wrong) in [(&less, &key, "the certificate was changed"), (&given, &other, "key")] {
        let output = Command::new(binary("cwpp")?).args(["certificate", "verify", given, "--key", key]).output()?;
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{given} {key}");
        let said = String::from_utf8(output.stderr)?;
        assert!(said.contains(wrong), "{said}");
    }
    Ok(())
}

#[test]
fn the_catalogue_names_every_field() -> anyhow::Result<()> {
    let map: Value = serde_json::from_str(&cwpp(&["data-map", "--json"])?)?;
    let fields = map["fields"].as_array().context("fields")?;
    let name = fields.iter().find(|f| f["field"] == "cwpp.inventory.v1.Account.name").context("the field")?;
    assert_eq!(name["sensitivity"], "SENSITIVITY_PERSONAL");
    assert_eq!(name["data_class"], "DATA_CLASS_RESOURCE");
    assert!(fields.iter().all(|f| f["meaning"].as_str().is_some_and(|m| !m.is_empty())));
    assert!(cwpp(&["data-map"])?.starts_with("| field |"));
    Ok(())
}
