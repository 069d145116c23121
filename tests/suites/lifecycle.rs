//! A tenant's life, from its opening to the certificate of its deletion.

use anyhow::Context;
use chrono::Utc;
use cwpp_chassis::{Reason, status};
use cwpp_collector::authlog::Zone;
use cwpp_collector::command::{ServerArgs, UnregisterArgs};
use cwpp_collector::report::{Identity, Reporter};
use cwpp_collector::spool::Spool;
use cwpp_collector::{Root, collect};
use cwpp_contracts::incidents::v1::ListIncidentsRequest;
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::*;
use cwpp_retention::certificate::{PublicKey, verify};
use cwpp_tests::on_every_backend;
use cwpp_tests::world::{Backend, World};

on_every_backend![
    a_terminated_tenant_leaves_no_row_and_a_certificate,
    a_cancelled_termination_leaves_everything,
    tenants_do_not_see_each_other,
    an_agent_that_is_taken_away_is_uninstalled_until_it_comes_back,
];

const ATTACK: &str =
    "2026-11-20T03:00:00.000000+00:00 web sshd[1]: Failed password for root from 203.0.113.9 port 4000 ssh2\n";

/// Enrols this host for a tenant, reports it, and feeds a log with an attack in it.
async fn fill(world: &World, app_id: u64) -> anyhow::Result<Reporter> {
    let mut reporter = Reporter::new(app_id, Some(format!("host-{app_id}")), world.inventory()?, world.incidents()?);
    let snapshot = collect(&Root::new("/"), Utc::now());
    reporter.register(&snapshot).await?;
    let report = reporter.report(&snapshot).await?;
    anyhow::ensure!(report.written() > 0, "nothing was reported");
    let log = world.folder.path().join(format!("auth-{app_id}.log"));
    std::fs::write(&log, ATTACK.repeat(12))?;
    let mut spool = Spool::open(world.folder.path().join(format!("spool-{app_id}")), &log, Zone::Local)?;
    while spool.ingest(Utc::now())?.more {}
    let sent = reporter.send_events(&mut spool).await?;
    anyhow::ensure!(!sent.incident_ids.is_empty(), "the attack was not found");
    Ok(reporter)
}

fn counts(app_id: u64) -> ListAssetCountsRequest {
    ListAssetCountsRequest { app_id, ..Default::default() }
}

async fn terminate(world: &World, app_id: u64) -> anyhow::Result<Deletion> {
    let request = TerminateSubscriptionRequest { app_id, confirm_app_id: app_id, ..Default::default() };
    let answer = RetentionServiceClient::new(world.retention()?).terminate_subscription(request).await?;
    answer.into_inner().deletion.context("a deletion")
}

async fn a_terminated_tenant_leaves_no_row_and_a_certificate(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    let (tenant, neighbour) = (world.tenant(1).await?, world.tenant(2).await?);
    let mut reporter = fill(&world, 1).await?;
    fill(&world, 2).await?;
    let before = world.rows(&neighbour).await?;
    assert!(world.rows(&tenant).await?.len() >= 6, "rows in many tables");

    let deletion = terminate(&world, 1).await?;
    assert_eq!(deletion.state(), DeletionState::Scheduled);
    let snapshot = collect(&Root::new("/"), Utc::now());
    let refused = reporter.register(&snapshot).await.expect_err("writes are refused from now on");
    assert_eq!(refused.reason(), Some(Reason::TenantReadOnly));
    let mut assets = AssetServiceClient::new(world.inventory()?);
    let answer = assets.list_asset_counts(counts(1)).await?.into_inner();
    assert!(answer.counts.iter().any(|c| c.items > 0), "reads go on");

    world.until(&deletion, DeletionState::Certified).await?;
    assert_eq!(world.rows(&tenant).await?, [], "no row in any table of any service");
    let unknown = assets.list_asset_counts(counts(1)).await.expect_err("the tenant is gone");
    assert_eq!(status::reason(&unknown), Some(Reason::TenantUnknown));
    // Counts are folded and feeds relayed in the background, so only what people see must be the same.
    let names = |rows: Vec<(&'static str, cwpp_contracts::erasure::v1::TableCount)>| {
        rows.into_iter()
            .filter(|(_, t)| {
                ["asset_account", "asset_system_package", "asset_snapshot", "incident", "machine"]
                    .contains(&t.table.as_str())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(world.rows(&neighbour).await?), names(before), "the neighbour keeps its rows");

    let request = GetCertificateRequest { deletion_id: deletion.deletion_id.clone() };
    let answer = RetentionServiceClient::new(world.retention()?).get_certificate(request).await?.into_inner();
    let key = PublicKey::from_pem(&answer.public_key)?;
    let certificate = verify(&answer.certificate, &key)?;
    assert_eq!(certificate.incarnation.to_string(), tenant.incarnation);
    let inventory = certificate.services.iter().find(|s| s.name == "inventory").context("inventory")?;
    assert!(inventory.deleted.iter().map(|d| d.rows).sum::<u64>() > 0);
    let tampered = answer.certificate.replace("\"TERMINATION\"", "\"ACCOUNT_DELETION\"");
    assert_ne!(tampered, answer.certificate);
    verify(&tampered, &key).expect_err("a changed certificate does not hold");
    for personal in ["root", "203.0.113.9", "1000001"] {
        assert!(!answer.certificate.contains(&format!("\"{personal}\"")), "{personal} in the certificate");
    }
    world.end().await
}

async fn a_cancelled_termination_leaves_everything(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(1).await?;
    let mut reporter = fill(&world, 1).await?;
    // Processes come and go: what is there before is held against itself after.
    let snapshot = collect(&Root::new("/"), Utc::now());
    reporter.report(&snapshot).await?;
    let deletion = terminate(&world, 1).await?;
    let again = terminate(&world, 1).await?;
    assert_eq!(again.deletion_id, deletion.deletion_id, "a repeat answers the same deletion");
    let mut client = RetentionServiceClient::new(world.retention()?);
    let request = CancelTerminationRequest { app_id: 1, deletion_id: deletion.deletion_id.clone() };
    client.cancel_termination(request.clone()).await?;
    world.until(&deletion, DeletionState::Cancelled).await?;
    // Unfencing is retention's work after the answer.
    let start = std::time::Instant::now();
    while reporter.register(&snapshot).await.is_err() {
        anyhow::ensure!(start.elapsed() < cwpp_tests::world::PATIENCE, "writes are still refused");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(reporter.report(&snapshot).await?.written(), 0, "everything is still there");
    world.end().await
}

async fn tenants_do_not_see_each_other(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(1).await?;
    world.tenant(2).await?;
    let reporter = fill(&world, 1).await?;
    let machine_id = reporter.machine_id().context("an id")?.to_owned();
    let mut machines = machine_service_client::MachineServiceClient::new(world.inventory()?);
    let foreign = machines
        .get_machine(GetMachineRequest { app_id: 2, machine_id: machine_id.clone() })
        .await
        .expect_err("foreign");
    assert_eq!(status::reason(&foreign), Some(Reason::MachineUnknown));
    let mut assets = AssetServiceClient::new(world.inventory()?);
    let answer = assets.list_asset_counts(counts(2)).await?.into_inner();
    assert!(answer.counts.iter().all(|c| c.items == 0));
    let mut incidents = IncidentServiceClient::new(world.incidents()?);
    let list = |app_id| ListIncidentsRequest { app_id, ..Default::default() };
    assert!(incidents.list_incidents(list(2)).await?.into_inner().incidents.is_empty());
    assert!(!incidents.list_incidents(list(1)).await?.into_inner().incidents.is_empty());
    world.end().await
}

async fn an_agent_that_is_taken_away_is_uninstalled_until_it_comes_back(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(1).await?;
    let (state, host) = (world.folder.path().join("agent"), world.folder.path().join("host"));
    std::fs::create_dir_all(host.join("etc"))?;
    std::fs::write(host.join("etc/machine-id"), "0123456789abcdef0123456789abcdef")?;
    let snapshot = collect(&Root::new(host), Utc::now());
    let reporter = Reporter::new(1, None, world.inventory()?, world.incidents()?);
    let mut reporter = reporter.keeping(Identity::open(&state)?);
    let machine_id = reporter.register(&snapshot).await?.machine_id;
    let mut machines = machine_service_client::MachineServiceClient::new(world.inventory()?);
    let mut machine = async || {
        let request = GetMachineRequest { app_id: 1, machine_id: machine_id.clone() };
        machines.get_machine(request).await?.into_inner().machine.context("a machine")
    };
    let installed = machine().await?;
    assert_eq!(installed.agent_state(), AgentState::Online);
    assert!(installed.facts.context("facts")?.agent_install_time.is_some());

    let inventory = world.platform.inventory.target();
    let server = ServerArgs { app_id: 1, inventory, token_file: None, ca_file: None, cert_file: None, key_file: None };
    UnregisterArgs { server, state }.run().await?;
    assert_eq!(machine().await?.agent_state(), AgentState::Uninstalled);
    reporter.register(&snapshot).await?;
    assert_eq!(machine().await?.agent_state(), AgentState::Online);
    world.end().await
}
