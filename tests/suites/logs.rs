//! What the services write into their logs and traces: each line whole, and nothing of what was sent about persons, or of who
//! sent it.

use anyhow::{Context, ensure};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind, Page, StringMatch, string_match::How};
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::configuration::v1::{
    CreatePolicyRequest, CreateTenantRequest, LoginWhitelist, Policy, UpdatePolicyRequest, policy,
};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::incidents::v1::{AuthEvent, AuthOutcome, ListIncidentsRequest, ReportAuthEventsRequest};
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::{DeletionState, TerminateSubscriptionRequest};
use cwpp_tests::host::{Host, account};
use cwpp_tests::issuer::{Issuer, claims};
use cwpp_tests::otlp::Receiver;
use cwpp_tests::services::{Plan, Services, Setting};
use cwpp_tests::world::{PATIENCE, SERVICES, mysql_server};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::tokens::{Guarded, ask};

/// Numbers that stand nowhere else.
const TENANT: u64 = 918_273_645_546;
const UIN: u64 = 817_263_544_536;

/// Stands in every text that is sent.
const MARK: &str = "zqperson";
/// A line that would be one of the log, if it were let into it.
const FORGED: &str = "zqperson\n{\"level\":\"ERROR\",\"message\":\"forged\"}\nzqperson\u{1b}[31m";
/// Addresses that are sent.
const ADDRESSES: [&str; 3] = ["203.0.113.217", "198.51.100.218", "2001:db8::da7a"];

fn mark(what: &str) -> String {
    format!("{MARK}-{what}")
}

fn events(machine_id: &str, first: u64, accounts: &[String]) -> ReportAuthEventsRequest {
    let event = |(account, address): (&String, &&str)| AuthEvent {
        event_time: Some(std::time::SystemTime::now().into()),
        account: account.clone(),
        source_address: (*address).to_owned(),
        service: "ssh".into(),
        outcome: AuthOutcome::Failed.into(),
        method: "password".into(),
        count: 20,
        ..Default::default()
    };
    ReportAuthEventsRequest {
        app_id: TENANT,
        machine_id: machine_id.to_owned(),
        spool_id: "0190a0a0-0000-7000-8000-00000000005b".into(),
        first_sequence: first,
        events: accounts.iter().zip(ADDRESSES.iter().cycle()).map(event).collect(),
    }
}

/// Sends personal values where they belong.
async fn right(services: &Services) -> anyhow::Result<Host> {
    let facts = MachineFacts {
        name: mark("host"),
        ip_addresses: ADDRESSES.map(str::to_owned).to_vec(),
        machine_type: MachineType::Other.into(),
        os_type: OsType::Linux.into(),
        ..Default::default()
    };
    let request =
        RegisterMachineRequest { app_id: TENANT, quuid: mark("quuid"), facts: Some(facts), ..Default::default() };
    let inventory = services.channel("inventory")?;
    let answer = MachineServiceClient::new(inventory.clone()).register_machine(request).await?.into_inner();
    let machine_id = answer.machine.context("a machine")?.machine_id;
    let mut host = Host { assets: AssetServiceClient::new(inventory), machine_id, app_id: TENANT };
    let items = [account(&mark("account"), "/bin/sh"), account(FORGED, FORGED)];
    let offer = |items: u32, digest: u8| ClassDigest {
        asset_class: AssetClass::Account.into(),
        digest: vec![digest; 32],
        items,
        found: 0,
    };
    let token = host.negotiate(vec![offer(2, 1)]).await?.report_token;
    host.send(host.messages(&token, vec![offer(2, 1)], &items, 2)).await?;
    // And the same account twice, which is refused by its natural key.
    let token = host.negotiate(vec![offer(2, 2)]).await?.report_token;
    let twice = [items[0].clone(), items[0].clone()];
    let refused = host.send(host.messages(&token, vec![offer(2, 2)], &twice, 2)).await.expect_err("twice");
    ensure!(status::reason(&refused) == Some(Reason::DuplicateItem), "{refused:?}");

    let mut incidents = IncidentServiceClient::new(services.channel("incidents")?);
    let accounts = [mark("root"), FORGED.to_owned(), mark("third")];
    let found = incidents.report_auth_events(events(&host.machine_id, 1, &accounts)).await?.into_inner();
    ensure!(!found.incident_ids.is_empty(), "attacks are found");
    Ok(host)
}

async fn policies(services: &Services) -> anyhow::Result<()> {
    let mut client = PolicyServiceClient::new(services.channel("configuration")?);
    let spec = LoginWhitelist {
        source_networks: ADDRESSES[..2].iter().map(|a| format!("{a}/32")).collect(),
        accounts: vec![mark("allowed")],
        ..Default::default()
    };
    let policy = Policy {
        name: mark("policy"),
        enabled: true,
        machines: Some(MachineScope { kind: MachineScopeKind::All.into(), ..Default::default() }),
        reason: mark("reason"),
        spec: Some(policy::Spec::LoginWhitelist(spec)),
        ..Default::default()
    };
    let request = |policy: &Policy| CreatePolicyRequest {
        app_id: TENANT,
        request_id: Uuid::new_v4().to_string(),
        policy: Some(policy.clone()),
    };
    let made = client.create_policy(request(&policy)).await?.into_inner().policy.context("a policy")?;
    // The name is there already: what the database says of it names the key.
    client.create_policy(request(&policy)).await.expect_err("twice");
    let stale = Policy { etag: mark("etag"), policy_id: made.policy_id, ..policy.clone() };
    let update = UpdatePolicyRequest { app_id: TENANT, policy: Some(stale), update_mask: None };
    client.update_policy(update).await.expect_err("a wrong etag");
    let wrong = LoginWhitelist {
        source_networks: vec![mark("network")],
        accounts: vec![mark(&"long".repeat(200))],
        time_zone: mark("zone"),
        ..Default::default()
    };
    let wrong = Policy { name: mark("other"), spec: Some(policy::Spec::LoginWhitelist(wrong)), ..policy };
    client.create_policy(request(&wrong)).await.expect_err("wrong fields");
    Ok(())
}

/// Sends personal values where they must not be.
async fn wrong(services: &Services, host: &Host) -> anyhow::Result<()> {
    let mut host = host.clone();
    host.machine_id = mark("id");
    host.negotiate(Vec::new()).await.expect_err("no id");
    let mut assets = host.assets.clone();
    let name = StringMatch { how: Some(How::Contains(mark("filter").repeat(100))) };
    let query = AccountQuery { driving: Some(account_query::Driving::Name(name)), ..Default::default() };
    let query = Some(AssetQuery { query: Some(asset_query::Query::Account(query)) });
    let page = Some(Page { page_size: 7, page_token: mark("token") });
    let list = ListAssetsRequest { app_id: TENANT, query, page: page.clone(), ..Default::default() };
    assets.list_assets(list).await.expect_err("no token");
    let mut incidents = IncidentServiceClient::new(services.channel("incidents")?);
    let list = ListIncidentsRequest { app_id: TENANT, page, ..Default::default() };
    incidents.list_incidents(list).await.expect_err("no token");
    let mut batch = events(&mark("id"), 1, &[mark(&"long".repeat(100))]);
    batch.events[0].source_address = mark("address");
    incidents.report_auth_events(batch).await.expect_err("wrong fields");
    let gap = events("0190a0a0-0000-7000-8000-000000000001", 77, &[mark("gap")]);
    incidents.report_auth_events(gap).await.expect_err("a gap");
    // Longer than any message may be.
    let huge = account(&mark(&"x".repeat(5 << 20)), "");
    let messages = host.messages("token", Vec::new(), &[huge], 1);
    host.send(messages).await.expect_err("too long");
    Ok(())
}

/// Opens a tenant and sends what there is to be sent.
async fn live(services: &Services) -> anyhow::Result<()> {
    let request = CreateTenantRequest {
        app_id: TENANT,
        request_id: Uuid::new_v4().to_string(),
        uin: UIN,
        region: "default".into(),
        agreement_version: "1".into(),
        agreement_accepted_time: Some(std::time::SystemTime::now().into()),
    };
    let mut tenants = TenantServiceClient::new(services.channel("configuration")?);
    tenants.create_tenant(request.clone()).await?;
    // A second one is refused by the database's own key.
    let again = CreateTenantRequest { request_id: Uuid::new_v4().to_string(), ..request };
    tenants.create_tenant(again).await.expect_err("it is there already");
    let start = std::time::Instant::now();
    while Host::enrol(services.channel("inventory")?, TENANT, &mark("first")).await.is_err() {
        ensure!(start.elapsed() < PATIENCE, "the tenant is not opened");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let host = right(services).await?;
    policies(services).await?;
    wrong(services, &host).await
}

/// Looks for what was sent.
fn says_nothing(place: &str, text: &str) -> anyhow::Result<()> {
    let (tenant, uin) = (TENANT.to_string(), UIN.to_string());
    for said in [MARK, tenant.as_str(), uin.as_str(), "forged"].into_iter().chain(ADDRESSES) {
        ensure!(!text.contains(said), "{place} says {said}: {text}");
    }
    Ok(())
}

/// Looks at every line of the four logs.
fn logs_say_nothing(services: &Services) -> anyhow::Result<()> {
    let logs = services.logs()?;
    ensure!(logs.len() == 4, "four logs");
    for (path, log) in &logs {
        ensure!(log.lines().count() > 5, "{} is empty", path.display());
        for line in log.lines() {
            let whole = serde_json::from_str::<serde_json::Value>(line).is_ok_and(|v| v.is_object());
            ensure!(whole, "{}: a line that is no object: {line}", path.display());
            says_nothing(&path.display().to_string(), line)?;
        }
    }
    Ok(())
}

/// What we say ourselves at the finest, and of the libraries what anybody would switch on.
fn finest() -> Setting {
    ("log.level", "info,cwpp=trace,sqlx=debug,sea_orm=debug,tonic=debug".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_hold_whole_lines_and_nothing_about_persons() -> anyhow::Result<()> {
    let settings = |_: &str| vec![finest()];
    let mut services = Services::start(Plan { settings: Box::new(settings), ..Plan::on(mysql_server()?) }).await?;
    live(&services).await?;
    let deletion = services.terminate(TENANT).await?;
    services.until(&deletion, DeletionState::ResidueWait, PATIENCE).await?;
    logs_say_nothing(&services)?;
    services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_traces_do_not_say_who_calls() -> anyhow::Result<()> {
    let receiver = Receiver::start().await?;
    let traces = [("trace.endpoint", format!("http://{}", receiver.address)), ("trace.ratio", "1.0".to_owned())];
    let by = |kind: &str, app_ids: Value, rights: &[&str]| {
        let mut claims = claims(kind, app_ids, rights);
        claims["sub"] = json!(mark(kind));
        claims
    };
    let more = std::iter::once(finest()).chain(traces).collect();
    let world = Guarded::start_as(&by("service", json!("*"), &["*"]), more).await?;
    live(&world.services).await?;
    // Callers of every kind, those that are let in and those that are not.
    let tenant = || json!([TENANT]);
    let mut agent = by("agent", tenant(), &["*"]);
    agent["cwpp_machine_id"] = json!(mark("machine"));
    let mut late = by("tenant_user", tenant(), &["*"]);
    late["exp"] = json!(chrono::Utc::now().timestamp() - 600);
    let callers = [
        by("tenant_user", tenant(), &["*"]),
        by("tenant_user", tenant(), &[&mark("right")]),
        by("tenant_user", json!([TENANT + 1]), &["*"]),
        by("operator", json!("*"), &["*"]),
        by("auditor", json!("*"), &["*"]),
        by(&mark("kind"), tenant(), &["*"]),
        agent,
        late,
    ];
    let mut shown = callers.iter().map(|claims| world.as_claims(claims)).collect::<anyhow::Result<Vec<_>>>()?;
    shown.push(world.caller(&mark("token"))?);
    shown.push(world.caller(&Issuer::new("first", 2).token(&callers[0])?)?);
    let mut let_in = Vec::new();
    for caller in &shown {
        let_in.push(ask(&world, caller, TENANT).await?.iter().filter(|answer| answer.is_ok()).count());
    }
    ensure!(let_in[0] > 0 && let_in[1] == 0, "let in were {let_in:?}");
    // Its fence goes through all services.
    let request = TerminateSubscriptionRequest { app_id: TENANT, confirm_app_id: TENANT, ..Default::default() };
    RetentionServiceClient::new(world.services.channel("retention")?).terminate_subscription(request).await?;
    let start = std::time::Instant::now();
    while Host::enrol(world.services.channel("inventory")?, TENANT, &mark("late")).await.is_ok() {
        ensure!(start.elapsed() < PATIENCE, "the fence does not come");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    logs_say_nothing(&world.services)?;
    // What was not exported yet is at the end.
    world.services.end().await?;
    let spans = receiver.spans();
    ensure!(spans.iter().any(|span| !span.events.is_empty()), "nothing is logged in a span");
    for service in SERVICES {
        let of: Vec<_> = spans.iter().filter(|span| span.service.contains(service)).collect();
        ensure!(of.len() > 5, "{service} exported {} spans", of.len());
        of.iter().try_for_each(|span| says_nothing(&format!("a span of {service}"), &format!("{span:?}")))?;
    }
    Ok(())
}
