//! The command line as its user runs it.

use std::process::Command;

use anyhow::Context;
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
fn the_demonstration_tells_its_story_in_forty_lines() -> anyhow::Result<()> {
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
    Ok(())
}

#[test]
fn the_demonstration_prints_one_object_for_programs() -> anyhow::Result<()> {
    let told: Value = serde_json::from_str(&cwpp(&["demo", "--json"])?)?;
    let accounts = told["classes"]["account"]["items"].as_u64().context("accounts")?;
    let getent = Command::new("getent").args(["-s", "files", "passwd"]).output()?;
    assert_eq!(accounts as usize, String::from_utf8(getent.stdout)?.lines().count());
    assert!(told["second_report"]["written"].as_u64().context("written")? < accounts, "only the difference is written");
    assert!(told["machine"]["machine_id"].is_string());
    let incidents = told["incidents"].as_array().context("incidents")?;
    let of = |source: &str| incidents.iter().filter(|i| i["source_address"] == source).collect::<Vec<_>>();
    assert!(of("203.0.113.9").iter().any(|i| i["severity"] == "SEVERITY_CRITICAL"), "a cracked password is critical");
    assert!(!of("198.51.100.23").is_empty(), "spraying is found");
    assert!(!of("2001:db8::bad").is_empty(), "the true source of forged names is found");
    assert!(of("192.0.2.17").is_empty(), "nobody is blamed for a forged line");
    assert!(told["certificate"].is_object());
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
