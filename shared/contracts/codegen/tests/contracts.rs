//! A contract without its options does not build.

use std::fs;
use std::path::Path;

/// Copies our contracts, lets `edit` change the text of one file, and compiles the copy.
fn compile_edited(file: &str, edit: impl Fn(String) -> String) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    copy(Path::new("../../../proto"), folder.path());
    let path = folder.path().join(file);
    let before = fs::read_to_string(&path).expect("the file");
    let after = edit(before.clone());
    assert_ne!(before, after, "the edit changes nothing");
    fs::write(&path, after).expect("written");
    cwpp_codegen::compile(folder.path()).map(|_| ()).map_err(|e| format!("{e:#}"))
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

const LABEL: &str = " [(cwpp.common.v1.privacy) = {data_class: DATA_CLASS_RESOURCE, sensitivity: SENSITIVITY_PERSONAL, purpose: PURPOSE_PROVIDE}]";
const ACCOUNT: &str = "cwpp/inventory/v1/account.proto";
const ASSET: &str = "cwpp/inventory/v1/asset.proto";

#[test]
fn the_contracts_compile_and_keep_their_options() {
    let contract = cwpp_codegen::compile(Path::new("../../../proto")).expect("complete");
    assert!(contract.methods().len() > 30);
    assert!(contract.messages().count() > 80);
}

/// Masking is the permit's, so an adapter of any kind that hands its reply to it masks it.
#[test]
fn no_adapter_of_any_kind_answers_but_through_the_permit() {
    let contract = cwpp_codegen::compile(Path::new("../../../proto")).expect("complete");
    let folder = tempfile::tempdir().expect("a folder");
    cwpp_codegen::operations(&contract, folder.path()).expect("written");
    let code = fs::read_to_string(folder.path().join("operations.rs")).expect("the file");
    let adapters =
        code.split("    async fn ").filter_map(|text| text.split_once("\n    }\n")).map(|(adapter, _)| adapter);
    let adapters: Vec<&str> = adapters.filter(|text| text.contains("request: ::tonic::Request<")).collect();
    assert_eq!(adapters.len(), contract.methods().len());
    for adapter in &adapters {
        let reply = if adapter.contains("Response<Self::") { "stream(reply)" } else { "reply(reply).await?" };
        assert!(adapter.contains(&format!("Ok(::tonic::Response::new(permitted.permit.{reply}))")), "{adapter}");
        assert_eq!(adapter.matches("Response::new(").count(), 1, "{adapter}");
    }
    assert!(adapters.iter().any(|text| text.contains("Request<::tonic::Streaming<")), "one of them takes a stream");
}

#[test]
fn a_method_that_takes_a_stream_writes_and_nobody_without_a_grant_gets_its_reply() {
    let contract = cwpp_codegen::compile(Path::new("../../../proto")).expect("complete");
    for method in contract.methods() {
        assert!(!method.descriptor().is_client_streaming() || method.action != "Read", "{}", method.path());
    }
}

#[test]
fn a_field_without_a_label_stops_the_build() {
    let error = compile_edited(ACCOUNT, |text| text.replacen(LABEL, "", 1)).expect_err("incomplete");
    assert!(
        error.contains("cwpp.inventory.v1.AuthorizedKey.fingerprint: the option cwpp.common.v1.privacy is missing"),
        "{error}"
    );
}

#[test]
fn an_order_by_a_personal_field_that_does_not_say_so_stops_the_build() {
    let error = compile_edited("cwpp/inventory/v1/process.proto", |text| {
        text.replace(" [(cwpp.common.v1.orders_by) = SENSITIVITY_PERSONAL]", "")
    });
    assert!(error.expect_err("refused").contains("PROCESS_ORDER_USER"));
}

#[test]
fn a_label_without_its_purpose_stops_the_build() {
    let error =
        compile_edited(ACCOUNT, |text| text.replacen(", purpose: PURPOSE_PROVIDE", "", 1)).expect_err("incomplete");
    assert!(error.contains("its privacy label is incomplete"), "{error}");
}

#[test]
fn a_method_without_a_rule_stops_the_build() {
    let error = compile_edited(ASSET, |text| {
        let from = text.find("    option (cwpp.common.v1.access)").expect("a rule");
        let to = from + text[from..].find('\n').expect("a line") + 1;
        format!("{}{}", &text[..from], &text[to..])
    })
    .expect_err("incomplete");
    assert!(error.contains("AssetService.NegotiateReport: the option cwpp.common.v1.access is missing"), "{error}");
}

#[test]
fn a_rule_without_its_right_or_with_a_wrong_path_stops_the_build() {
    let error =
        compile_edited(ASSET, |t| t.replacen("right: \"inventory.assets.report\", ", "", 1)).expect_err("no right");
    assert!(error.contains("access.right must read service.resource.verb"), "{error}");
    let error = compile_edited(ASSET, |t| t.replacen("machine_path: \"machine_id\"", "machine_path: \"host\"", 1))
        .expect_err("no field");
    assert!(error.contains("access.machine_path names no field host"), "{error}");
}

#[test]
fn a_request_of_a_tenant_that_does_not_name_it_stops_the_build() {
    let error = compile_edited(ASSET, |t| {
        t.replacen(
            "message NegotiateReportRequest {\n  // The tenant.\n  uint64 app_id = 1",
            "message NegotiateReportRequest {\n  // The tenant.\n  uint64 tenant = 1",
            1,
        )
    })
    .expect_err("no tenant");
    assert!(error.contains("starts with `uint64 app_id = 1`"), "{error}");
}
