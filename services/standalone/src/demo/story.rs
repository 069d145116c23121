//! The steps of the demonstration, each over the contracts as any caller would take it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use cwpp_collector::authlog::Zone;
use cwpp_collector::report::Reporter;
use cwpp_collector::spool::Spool;
use cwpp_collector::{Root, Snapshot, collect};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind, TenantState};
use cwpp_contracts::configuration::v1::{
    CreatePolicyRequest, CreateTenantRequest, GetTenantRequest, LoginWhitelist, Policy, policy,
};
use cwpp_contracts::erasure::v1::CountRowsRequest;
use cwpp_contracts::incidents::v1::{Incident, IncidentKind, ListIncidentsRequest};
use cwpp_contracts::inventory::v1::{AssetClass, ListAssetCountsRequest};
use cwpp_contracts::retention::v1::{
    Deletion, DeletionState, GetCertificateRequest, GetDeletionRequest, TerminateSubscriptionRequest,
};
use cwpp_retention::certificate::{Certificate, PublicKey, verify};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::attack;
use super::page::{Page, describe};
use crate::clients::Clients;
use crate::platform::Platform;

/// The tenant of the demonstration.
const TENANT: u64 = 1_000_001;

/// How long any step may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far the clock is put forward at once while a deletion waits.
const STEP: Duration = Duration::from_secs(6 * 3600);

/// Takes all steps; returns the summary for programs.
pub(crate) async fn tell(platform: &Platform, folder: &Path, page: &mut Page<'_>) -> anyhow::Result<Value> {
    let mut clients = platform.clients()?;
    page.line(
        "cwpp",
        format!("{}: four services on SQLite in a folder that goes away at the end", env!("CARGO_PKG_VERSION")),
    )?;
    let incarnation = open(platform, &mut clients, page).await?;
    expect_logins(&mut clients, incarnation, page).await?;

    let (inventory, incidents) = (Platform::channel(&platform.inventory)?, Platform::channel(&platform.incidents)?);
    let snapshot = collect(&Root::new("/"), Utc::now());
    // A host without an id of its own (a container image, say) goes by a name that a cloud would have given it.
    let quuid = snapshot.machine.host_id_hash.is_none().then(|| "demo-host".to_owned());
    let mut reporter = Reporter::new(TENANT, quuid, inventory, incidents);
    let machine = enrol(&mut reporter, &snapshot, page).await?;
    let classes = report(&mut reporter, &mut clients, &snapshot, page).await?;
    let again = collect(&Root::new("/"), Utc::now());
    let second = reporter.report(&again).await?;
    let sent =
        second.classes.iter().filter(|(_, c)| matches!(c, cwpp_collector::report::ClassReport::Sent { .. })).count();
    page.line(
        "report 2",
        format!("{sent} of {} classes had to be sent, {} rows written", second.classes.len(), second.written()),
    )?;

    let found = attack_this_host(platform, &mut clients, &mut reporter, folder, page).await?;
    let certificate = terminate(platform, &mut clients, folder, page).await?;
    go_on(page)?;
    Ok(json!({
        "machine": machine,
        "classes": classes,
        "second_report": { "written": second.written() },
        "incidents": found.iter().map(summary).collect::<Vec<_>>(),
        "certificate": certificate,
    }))
}

/// Creates the tenant and waits until retention has opened it everywhere.
async fn open(platform: &Platform, clients: &mut Clients, page: &mut Page<'_>) -> anyhow::Result<String> {
    let start = Instant::now();
    let request = CreateTenantRequest {
        app_id: TENANT,
        request_id: Uuid::new_v4().to_string(),
        uin: 100_000_000_001,
        region: "default".into(),
        agreement_version: "2023-12-26".into(),
        agreement_accepted_time: Some(time(platform.clock.now())),
    };
    clients.tenants.create_tenant(request).await?;
    let incarnation = loop {
        let answer = clients.tenants.get_tenant(GetTenantRequest { app_id: TENANT }).await?.into_inner();
        if let Some(tenant) = answer.tenant.filter(|t| t.state() == TenantState::Active) {
            break tenant.incarnation;
        }
        ensure!(start.elapsed() < PATIENCE, "the tenant is not opened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    page.line("tenant", format!("{TENANT} opened in every service after {:.1} s", start.elapsed().as_secs_f64()))?;
    Ok(incarnation)
}

/// Says where logins are expected from.
async fn expect_logins(clients: &mut Clients, incarnation: String, page: &mut Page<'_>) -> anyhow::Result<()> {
    let whitelist = LoginWhitelist { source_networks: vec![attack::OFFICE.into()], ..Default::default() };
    let policy = Policy {
        name: "office".into(),
        enabled: true,
        machines: Some(MachineScope { kind: MachineScopeKind::All.into(), ..Default::default() }),
        spec: Some(policy::Spec::LoginWhitelist(whitelist)),
        ..Default::default()
    };
    let request = CreatePolicyRequest { app_id: TENANT, request_id: Uuid::new_v4().to_string(), policy: Some(policy) };
    clients.policies.create_policy(request).await?;
    // Incidents follows policies; a login that is judged before it knows this one would be judged without.
    let start = Instant::now();
    let count = CountRowsRequest { app_id: TENANT, incarnation };
    loop {
        let tables = clients.incidents_rows.count_rows(count.clone()).await?.into_inner().tables;
        if tables.iter().any(|t| t.table == "login_policy" && t.rows > 0) {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "incidents does not follow the policies");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    page.line("policy", format!("logins are expected from {} only", attack::OFFICE))
}

async fn enrol(reporter: &mut Reporter, snapshot: &Snapshot, page: &mut Page<'_>) -> anyhow::Result<Value> {
    let registered = reporter.register(snapshot).await?;
    let facts = &snapshot.machine;
    let name = facts.hostname.as_deref().unwrap_or("unnamed");
    page.line(
        "enrolment",
        format!("{name}, {}, {}", facts.os.name.as_deref().unwrap_or("unknown system"), facts.architecture),
    )?;
    Ok(json!({ "machine_id": registered.machine_id, "name": name, "os": facts.os.name, "kernel": facts.kernel }))
}

/// Reports the host and returns what the service counts afterwards.
async fn report(
    reporter: &mut Reporter,
    clients: &mut Clients,
    snapshot: &Snapshot,
    page: &mut Page<'_>,
) -> anyhow::Result<Map<String, Value>> {
    let start = Instant::now();
    let report = reporter.report(snapshot).await?;
    let took = start.elapsed();
    let counts = clients.assets.list_asset_counts(ListAssetCountsRequest { app_id: TENANT, machine_id: String::new() });
    let counts = counts.await?.into_inner().counts;
    let mut classes = Map::new();
    let mut words = Vec::new();
    for count in counts {
        let class =
            AssetClass::try_from(count.asset_class)?.as_str_name().trim_start_matches("ASSET_CLASS_").to_lowercase();
        words.push(format!("{} {}", count.items, class.replace('_', " ")));
        classes.insert(class, json!({ "items": count.items }));
    }
    page.line("report 1", format!("{} rows in {:.2} s: {}", report.written(), took.as_secs_f64(), words.join(", ")))?;
    for (class, outcome) in report.classes {
        if let cwpp_collector::report::ClassReport::NotRead { reason } = outcome {
            page.line("", format!("{} could not be read: {reason}", class.name()))?;
        }
    }
    Ok(classes)
}

/// Feeds the log with the attack and lists what was found in it.
async fn attack_this_host(
    platform: &Platform,
    clients: &mut Clients,
    reporter: &mut Reporter,
    folder: &Path,
    page: &mut Page<'_>,
) -> anyhow::Result<Vec<Incident>> {
    let log = folder.join("auth.log");
    let text = attack::log(platform.clock.now());
    std::fs::write(&log, &text)?;
    let mut spool = Spool::open(folder.join("spool"), &log, Zone::Local)?;
    while spool.ingest(platform.clock.now())?.more {}
    let sent = reporter.send_events(&mut spool).await?;
    page.line(
        "sshd log",
        format!("{} lines with an attack in them, {} events sent", text.lines().count(), sent.events),
    )?;
    let request = ListIncidentsRequest { app_id: TENANT, kind: IncidentKind::Unspecified.into(), ..Default::default() };
    let mut incidents = clients.incidents.list_incidents(request).await?.into_inner().incidents;
    incidents.sort_by_key(|i| std::cmp::Reverse(i.severity));
    page.line("incidents", format!("{}:", incidents.len()))?;
    page.incidents(&incidents)?;
    Ok(incidents)
}

/// Ends the subscription, lets six days pass, and verifies the certificate with nothing but itself and the key.
async fn terminate(
    platform: &Platform,
    clients: &mut Clients,
    folder: &Path,
    page: &mut Page<'_>,
) -> anyhow::Result<Value> {
    let start = platform.clock.now();
    let request = TerminateSubscriptionRequest { app_id: TENANT, confirm_app_id: TENANT, ..Default::default() };
    let deletion =
        clients.retention.terminate_subscription(request).await?.into_inner().deletion.context("a deletion")?;
    page.line("termination", format!("deletion {}; the clock is put forward from here on", deletion.deletion_id))?;
    let deletion = follow(platform, clients, deletion, page).await?;

    let request = GetCertificateRequest { deletion_id: deletion.deletion_id };
    let answer = clients.retention.get_certificate(request).await?.into_inner();
    // The key is taken from where the provider keeps it, not from beside the certificate.
    let text = std::fs::read_to_string(folder.join("signing.pem"))?;
    let key = cwpp_retention::certificate::Signer::from_pem(&text)?.public();
    ensure!(PublicKey::from_pem(&answer.public_key)?.fingerprint() == key.fingerprint(), "another key");
    let certificate = verify(&answer.certificate, &key)?;
    let days = (certificate.times.certified - start).num_minutes() as f64 / 1440.0;
    page.line(
        "certificate",
        format!("verified offline: all gone {days:.1} days after the termination, {}", rows(&certificate)),
    )?;
    Ok(serde_json::from_str(&answer.certificate)?)
}

/// Watches a deletion to its end, printing each state once.
async fn follow(
    platform: &Platform,
    clients: &mut Clients,
    mut deletion: Deletion,
    page: &mut Page<'_>,
) -> anyhow::Result<Deletion> {
    let mut shown = DeletionState::Unspecified;
    let mut changed = Instant::now();
    let begin = platform.clock.now();
    loop {
        let state = deletion.state();
        if state != shown {
            let hours = (platform.clock.now() - begin).num_hours();
            page.line("", format!("+{hours:>3} h  {}", state.as_str_name().trim_start_matches("DELETION_STATE_")))?;
            (shown, changed) = (state, Instant::now());
        }
        if state == DeletionState::Certified {
            return Ok(deletion);
        }
        ensure!(changed.elapsed() < PATIENCE, "the deletion does not go on: {}", deletion.blocker);
        // Only these two wait for time to pass; all others for work to be done.
        if matches!(state, DeletionState::Scheduled | DeletionState::ResidueWait) {
            platform.clock.advance(STEP);
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
        let request = GetDeletionRequest { deletion_id: deletion.deletion_id.clone() };
        deletion = clients.retention.get_deletion(request).await?.into_inner().deletion.context("a deletion")?;
    }
}

fn rows(certificate: &Certificate) -> String {
    let all: u64 = certificate.services.iter().flat_map(|s| &s.deleted).map(|d| d.rows).sum();
    format!("{all} rows in {} services", certificate.services.len())
}

fn summary(incident: &Incident) -> Value {
    let (kind, source, account, what) = describe(incident);
    json!({
        "incident_id": incident.incident_id,
        "kind": kind,
        "severity": incident.severity().as_str_name(),
        "source_address": source,
        "account": account,
        "what": what,
    })
}

fn go_on(page: &mut Page<'_>) -> anyhow::Result<()> {
    page.line("", "")?;
    page.line("go on", "cwpp serve")?;
    page.line("", "grpcurl -plaintext 127.0.0.1:50051 list")?;
    let create = format!(r#"'{{"app_id":7,"request_id":"{}","uin":7,"region":"default","#, Uuid::now_v7());
    page.line("", format!("grpcurl -plaintext -d {create}"))?;
    page.line("", "  \"agreement_version\":\"1\",\"agreement_accepted_time\":\"2026-01-01T00:00:00Z\"}' \\")?;
    page.line("", "  127.0.0.1:50053 cwpp.configuration.v1.TenantService/CreateTenant")?;
    page.line(
        "",
        "grpcurl -plaintext -d '{\"app_id\":7}' 127.0.0.1:50051 cwpp.inventory.v1.AssetService/ListAssetCounts",
    )
}

fn time(time: chrono::DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}
