//! What a guard lets through, masks and refuses.

use std::sync::Arc;

use cwpp_access::Gate;
use cwpp_access::principal::Kind;
use cwpp_access::rule::{Action, Rule, ScopeKind};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::common::v1::{StringMatch, string_match};
use cwpp_contracts::inventory::v1::*;
use tonic::Status;

use crate::world::{MACHINE, TENANT, client, principal};

fn list(app_id: u64) -> ListAssetsRequest {
    ListAssetsRequest { app_id, ..Default::default() }
}

fn by_name() -> AssetQuery {
    let name = StringMatch { how: Some(string_match::How::Prefix("al".into())) };
    let query = AccountQuery { driving: Some(account_query::Driving::Name(name)), ..Default::default() };
    AssetQuery { query: Some(asset_query::Query::Account(query)) }
}

fn report(app_id: u64, machine_id: &str) -> ReportAssetsRequest {
    let header = ReportHeader { machine_id: machine_id.to_owned(), ..Default::default() };
    ReportAssetsRequest { app_id, part: Some(report_assets_request::Part::Header(header)) }
}

fn account(asset: &Asset) -> &Account {
    match asset.item.as_ref().and_then(|i| i.item.as_ref()) {
        Some(asset_item::Item::Account(account)) => account,
        other => panic!("not an account: {other:?}"),
    }
}

fn reason(status: Status) -> Reason {
    status::reason(&status).unwrap_or_else(|| panic!("no reason in {status:?}"))
}

fn looks_masked(asset: &Asset) {
    assert_eq!(account(asset).name, "***");
    assert_eq!(account(asset).home, "***");
    assert_eq!(account(asset).shell, "", "nothing stays nothing");
    assert_eq!(account(asset).uid, 1000, "what is not personal stays");
    let host = asset.host.as_ref().expect("host columns");
    assert_eq!(host.name, "***");
    assert!(host.ip_addresses.is_empty());
    assert_eq!(host.machine_id, MACHINE.to_string());
}

#[tokio::test]
async fn a_user_of_the_tenant_sees_everything() {
    let mut client = client(Some(principal(Kind::TenantUser, &["inventory.*"]))).await;
    let reply = client.list_assets(list(TENANT)).await.expect("permitted").into_inner();
    assert_eq!(account(&reply.assets[0]).name, "alice");
    assert_eq!(reply.assets[0].host.as_ref().expect("host").ip_addresses, ["10.0.0.7"]);
}

#[tokio::test]
async fn an_operator_without_a_grant_sees_masked_fields_in_a_unary_reply() {
    let mut client = client(Some(principal(Kind::Operator, &["*"]))).await;
    let reply = client.list_assets(list(TENANT)).await.expect("permitted").into_inner();
    looks_masked(&reply.assets[0]);
}

#[tokio::test]
async fn an_operator_without_a_grant_sees_masked_fields_in_every_message_of_a_stream() {
    let mut client = client(Some(principal(Kind::Operator, &["*"]))).await;
    let mut replies = client.watch_machines(WatchMachinesRequest::default()).await.expect("permitted").into_inner();
    let mut seen = 0;
    while let Some(reply) = replies.message().await.expect("goes on") {
        let facts = reply.machine.and_then(|machine| machine.facts).expect("facts");
        assert_ne!(facts.name, "web-1");
        assert_eq!(facts.architecture, "x86_64");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn an_operator_without_a_grant_may_not_export_and_a_tenants_user_may() {
    let request = ExportAssetsRequest { app_id: TENANT, ..Default::default() };
    let mut operator = client(Some(principal(Kind::Operator, &["*"]))).await;
    let status = operator.export_assets(request.clone()).await.expect_err("refused");
    assert_eq!(reason(status), Reason::PermissionDenied);
    let mut user = client(Some(principal(Kind::TenantUser, &["inventory.*"]))).await;
    let mut replies = user.export_assets(request).await.expect("permitted").into_inner();
    let part = replies.message().await.expect("goes on").expect("a part");
    assert_eq!(account(&part.assets[0]).name, "alice");
}

#[tokio::test]
async fn an_operator_without_a_grant_may_not_send_a_stream_that_writes() {
    let mut client = client(Some(principal(Kind::Operator, &["*"]))).await;
    let requests = futures::stream::iter([report(TENANT, &MACHINE.to_string())]);
    assert_eq!(reason(client.report_assets(requests).await.expect_err("refused")), Reason::PermissionDenied);
}

/// No call shows this kind of reply masked: each method of the contracts that takes a stream writes, which an operator without
/// a grant may not. So the reply is taken through the permit as the adapter takes it, under a rule that only reads.
#[tokio::test]
async fn an_operator_without_a_grant_would_see_masked_fields_in_the_reply_to_a_stream() {
    static READS: Rule = Rule {
        path: "/cwpp.inventory.v1.AssetService/ReportAssets",
        scope: ScopeKind::Tenant,
        right: "inventory.assets.report",
        action: Action::Read,
        cost: 1,
        agent: false,
    };
    for (kind, name) in [(Kind::Operator, "***"), (Kind::Auditor, "***"), (Kind::TenantUser, "web-1")] {
        let (caller, first) = (Arc::new(principal(kind, &["*"])), report(TENANT, "any"));
        let permitted = Gate::default().tenant(&READS, caller, TENANT, Vec::new, &first).await.expect("permitted");
        let reply = ReportAssetsResponse { machine_name: "web-1".into(), ..Default::default() };
        let reply = permitted.permit.reply(reply).await.expect("no trail is kept");
        assert_eq!(reply.machine_name, name, "{kind:?}");
    }
}

#[tokio::test]
async fn an_operator_without_a_grant_may_not_choose_rows_by_a_personal_field() {
    let mut client = client(Some(principal(Kind::Operator, &["*"]))).await;
    let request = ListAssetsRequest { query: Some(by_name()), ..list(TENANT) };
    let status = client.list_assets(request).await.expect_err("refused");
    assert_eq!(status::metadata(&status)["field"], "cwpp.inventory.v1.AccountQuery.name");
    assert_eq!(reason(status), Reason::MaskedFilter);
}

#[tokio::test]
async fn an_operator_without_a_grant_may_not_order_rows_by_a_personal_field() {
    let mut client = client(Some(principal(Kind::Operator, &["*"]))).await;
    for (order, is_refused) in [
        (AccountOrder::LastLoginTime, true),
        (AccountOrder::Name, true),
        (AccountOrder::Uid, false),
        (AccountOrder::Unspecified, false),
    ] {
        let query = asset_query::Query::Account(AccountQuery { order: order.into(), ..Default::default() });
        let request = ListAssetsRequest { query: Some(AssetQuery { query: Some(query) }), ..list(TENANT) };
        match client.list_assets(request).await {
            Ok(_) => assert!(!is_refused, "{order:?}"),
            Err(status) => {
                assert!(is_refused, "{order:?}: {status}");
                assert_eq!(status::metadata(&status)["field"], "cwpp.inventory.v1.AccountQuery.order");
                assert_eq!(reason(status), Reason::MaskedFilter);
            }
        }
    }
}

#[tokio::test]
async fn a_service_sends_a_stream_and_gets_its_reply() {
    let mut client = client(Some(principal(Kind::Service, &["*"]))).await;
    let requests = futures::stream::iter([report(TENANT, "any"), report(TENANT, "any")]);
    let reply = client.report_assets(requests).await.expect("permitted").into_inner();
    assert_eq!(reply.machine_name, "web-1");
}

#[tokio::test]
async fn a_message_of_a_stream_that_names_another_tenant_is_refused() {
    let mut client = client(Some(principal(Kind::Service, &["*"]))).await;
    let requests = futures::stream::iter([report(TENANT, "any"), report(TENANT + 1, "any")]);
    assert_eq!(reason(client.report_assets(requests).await.expect_err("refused")), Reason::TenantUnknown);
}

#[tokio::test]
async fn an_empty_stream_is_incomplete() {
    let mut client = client(Some(principal(Kind::Service, &["*"]))).await;
    let requests = futures::stream::iter(Vec::<ReportAssetsRequest>::new());
    assert_eq!(reason(client.report_assets(requests).await.expect_err("refused")), Reason::StreamIncomplete);
}

#[tokio::test]
async fn an_agent_reports_for_its_own_machine_only() {
    let mut client = client(Some(principal(Kind::Agent, &["inventory.*"]))).await;
    let own = futures::stream::iter([report(TENANT, &MACHINE.to_string())]);
    client.report_assets(own).await.expect("its own machine");
    let other = futures::stream::iter([report(TENANT, "00000000-0000-0000-0000-000000000008")]);
    assert_eq!(reason(client.report_assets(other).await.expect_err("refused")), Reason::PermissionDenied);
    let request = NegotiateReportRequest { app_id: TENANT, machine_id: "no uuid".into(), ..Default::default() };
    assert_eq!(reason(client.negotiate_report(request).await.expect_err("refused")), Reason::PermissionDenied);
}

#[tokio::test]
async fn an_agent_calls_nothing_that_is_not_for_agents() {
    let mut client = client(Some(principal(Kind::Agent, &["*"]))).await;
    assert_eq!(reason(client.list_assets(list(TENANT)).await.expect_err("refused")), Reason::PermissionDenied);
}

#[tokio::test]
async fn a_foreign_tenant_and_one_that_nobody_knows_get_the_same_answer() {
    let mut client = client(Some(principal(Kind::TenantUser, &["*"]))).await;
    let status = client.list_assets(list(TENANT + 1)).await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(reason(status), Reason::TenantUnknown);
}

#[tokio::test]
async fn a_number_that_is_no_tenant_is_a_violation() {
    let mut client = client(Some(principal(Kind::Service, &["*"]))).await;
    for app_id in [0, u64::MAX] {
        let status = client.list_assets(list(app_id)).await.expect_err("refused");
        assert_eq!(status::violations(&status)[0].0, "app_id");
        assert_eq!(reason(status), Reason::InvalidField);
    }
}

#[tokio::test]
async fn without_the_right_nothing_is_permitted() {
    let mut client = client(Some(principal(Kind::TenantUser, &["inventory.machines.read"]))).await;
    let status = client.list_assets(list(TENANT)).await.expect_err("refused");
    assert_eq!(status::metadata(&status)["right"], "inventory.assets.read");
    assert_eq!(reason(status), Reason::PermissionDenied);
}

#[tokio::test]
async fn without_a_credential_nothing_is_permitted() {
    let mut client = client(None).await;
    assert_eq!(reason(client.list_assets(list(TENANT)).await.expect_err("refused")), Reason::Unauthenticated);
}
