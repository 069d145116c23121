//! A service, the worker or the database dies in the midst of a deletion, at a fault point: within a minute it goes on,
//! and the certificate says what was deleted, no row more and no row less.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cwpp_contracts::common::v1::{DataClass, MachineScope, MachineScopeKind};
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{CreatePolicyRequest, LoginWhitelist, Policy, Tenant, policy};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::incidents::v1::{AuthEvent, AuthOutcome, ReportAuthEventsRequest};
use cwpp_contracts::retention::v1::{Deletion, DeletionState};
use cwpp_tests::host::{Content, Host};
use cwpp_tests::mysqld::Mysqld;
use cwpp_tests::services::{Plan, Services};
use cwpp_tests::world::{PATIENCE, SERVICES, mysql_server};
use uuid::Uuid;

/// The promise: so long after the death the deletion goes on.
const MINUTE: Duration = Duration::from_secs(60);

/// The class of data that a service exists for; the numbers of its other rows move by themselves.
const CLASSES: [(&str, DataClass); 3] = [
    ("inventory", DataClass::Resource),
    ("incidents", DataClass::Incident),
    ("configuration", DataClass::Configuration),
];

async fn start(server: String) -> anyhow::Result<Services> {
    let settings = |name: &str| {
        let mut settings = vec![("admin.check_interval", "100ms".to_owned())];
        if name == "retention" {
            // As short as they may be, so that the matrix does not wait half a minute for each lost lease.
            let short =
                [("purge.call", "1s"), ("worker.lease", "6s"), ("worker.poll", "100ms"), ("verify.gap", "1100ms")];
            settings.extend(short.map(|(key, value)| (key, value.to_owned())));
        }
        settings
    };
    Services::start(Plan { settings: Box::new(settings), faults: true, ..Plan::on(server) }).await
}

/// Gives a tenant data in every service: 2,500 packages are three chunks of a purge.
async fn fill(services: &Services, app_id: u64) -> anyhow::Result<Tenant> {
    let tenant = services.tenant(app_id).await?;
    let mut host = Host::enrol(services.channel("inventory")?, app_id, "web-1").await?;
    host.report(&Content { accounts: 0..20, packages: 0..2500, version: "1.0" }).await?;
    let now = prost_types::Timestamp::from(std::time::SystemTime::now());
    let events = (0..60).map(|n| AuthEvent {
        event_time: Some(now),
        account: "root".into(),
        source_address: format!("203.0.113.{}", n % 5),
        service: "ssh".into(),
        outcome: AuthOutcome::Failed.into(),
        method: "password".into(),
        count: 1,
        ..Default::default()
    });
    let request = ReportAuthEventsRequest {
        app_id,
        machine_id: host.machine_id.clone(),
        spool_id: Uuid::new_v4().to_string(),
        first_sequence: 1,
        events: events.collect(),
    };
    let found = IncidentServiceClient::new(services.channel("incidents")?).report_auth_events(request).await?;
    ensure!(found.into_inner().incident_ids.len() == 5, "five attacks");
    let spec = LoginWhitelist { source_networks: vec!["10.0.0.0/8".into()], ..Default::default() };
    let policy = Policy {
        name: "offices".into(),
        enabled: true,
        machines: Some(MachineScope { kind: MachineScopeKind::All.into(), ..Default::default() }),
        reason: "known places".into(),
        spec: Some(policy::Spec::LoginWhitelist(spec)),
        ..Default::default()
    };
    let request = CreatePolicyRequest { app_id, request_id: Uuid::new_v4().to_string(), policy: Some(policy) };
    PolicyServiceClient::new(services.channel("configuration")?).create_policy(request).await?;
    Ok(tenant)
}

/// A tenant, and how many rows there are to delete of the class that each service exists for.
struct Doomed {
    tenant: Tenant,
    rows: Vec<u64>,
}

async fn doomed(services: &Services, app_id: u64) -> anyhow::Result<Doomed> {
    let tenant = fill(services, app_id).await?;
    // Changes of counts become rows of their own when they are folded: what is counted here shall not move any more.
    let begun = Instant::now();
    while services.rows("inventory", &tenant).await?.iter().any(|t| t.table == "asset_count_delta") {
        ensure!(begun.elapsed() < MINUTE, "changes of counts are pending for a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut rows = Vec::new();
    for (name, class) in CLASSES {
        let tables = services.rows(name, &tenant).await?;
        rows.push(tables.iter().filter(|t| t.data_class() == class).map(|t| t.rows).sum());
    }
    ensure!(rows.iter().all(|rows| *rows > 0), "there is nothing to delete: {rows:?}");
    Ok(Doomed { tenant, rows })
}

impl Doomed {
    /// Waits for the end of the purge, at most a minute after the death, and puts the clock behind the life of all copies.
    async fn purged(&self, services: &mut Services, deletion: &Deletion, died: Instant) -> anyhow::Result<()> {
        services.until(deletion, DeletionState::ResidueWait, MINUTE.saturating_sub(died.elapsed())).await?;
        services.advance(Duration::from_secs(80 * 3600)).await
    }

    /// Waits for the certificate, and holds it against what was there and what is left.
    async fn certified(&self, services: &Services, deletion: &Deletion, patience: Duration) -> anyhow::Result<()> {
        services.until(deletion, DeletionState::Certified, patience).await?;
        for name in SERVICES {
            assert_eq!(services.rows(name, &self.tenant).await?, [], "rows are left in {name}");
        }
        let certificate = services.certificate(deletion).await?;
        assert_eq!(certificate.incarnation.to_string(), self.tenant.incarnation);
        for ((name, class), rows) in CLASSES.into_iter().zip(&self.rows) {
            let service = certificate.services.iter().find(|s| s.name == name).context("the service")?;
            let word = class.as_str_name().trim_start_matches("DATA_CLASS_");
            let deleted = service.deleted.iter().find(|d| d.data_class.ends_with(word)).map(|d| d.rows);
            assert_eq!(deleted, Some(*rows), "rows of {name}, each counted once");
        }
        Ok(())
    }
}

/// A death: of which service, where, and how often it goes by there before.
type Death = (&'static str, &'static str, usize);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_any_point_of_its_purge_goes_on() -> anyhow::Result<()> {
    let mut services = start(mysql_server()?).await?;
    let deaths: [Death; 7] = [
        // The first move of the fence is to READ_ONLY, the second is the seal.
        ("inventory", "storage.fenced", 1),
        ("inventory", "storage.purge_before_commit", 1),
        ("inventory", "storage.purge_after_commit", 1),
        ("incidents", "storage.purge_before_commit", 0),
        ("incidents", "storage.purge_after_commit", 0),
        ("configuration", "storage.purge_before_commit", 0),
        ("configuration", "storage.purge_after_commit", 0),
    ];
    for (n, (name, point, passes)) in deaths.into_iter().enumerate() {
        let doomed = doomed(&services, 200 + n as u64).await?;
        let awaited = services.faults(name)?.hold_after(passes, point);
        let deletion = services.terminate(doomed.tenant.app_id).await?;
        let held = awaited.reached(PATIENCE).await?;
        let died = Instant::now();
        services.kill(name).await?;
        drop(held);
        doomed.purged(&mut services, &deletion, died).await.with_context(|| format!("{name} at {point}"))?;
        doomed.certified(&services, &deletion, PATIENCE).await.with_context(|| format!("{name} at {point}"))?;
    }
    services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_the_close_has_closed_or_closes_then() -> anyhow::Result<()> {
    let mut services = start(mysql_server()?).await?;
    let deaths: [Death; 3] = [
        ("inventory", "storage.before_commit", 0),
        ("incidents", "storage.fenced", 0),
        ("configuration", "storage.fenced", 0),
    ];
    for (n, (name, point, passes)) in deaths.into_iter().enumerate() {
        let doomed = doomed(&services, 220 + n as u64).await?;
        let deletion = services.terminate(doomed.tenant.app_id).await?;
        services.until(&deletion, DeletionState::ResidueWait, PATIENCE).await?;
        let awaited = services.faults(name)?.hold_after(passes, point);
        services.advance(Duration::from_secs(80 * 3600)).await?;
        let held = awaited.reached(PATIENCE).await?;
        services.kill(name).await?;
        drop(held);
        doomed.certified(&services, &deletion, MINUTE).await.with_context(|| format!("{name} at {point}"))?;
    }
    services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_before_it_notes_a_step_is_followed_by_one_that_goes_on() -> anyhow::Result<()> {
    let mut services = start(mysql_server()?).await?;
    for (n, state) in ["SEALING", "SEALED", "PURGING", "VERIFYING", "RESIDUE_WAIT", "CERTIFIED"].into_iter().enumerate()
    {
        let doomed = doomed(&services, 240 + n as u64).await?;
        let at = |state: &str| format!("deletion.{state}");
        let awaited = services.faults("retention")?.hold(&at(state));
        let deletion = services.terminate(doomed.tenant.app_id).await?;
        if state == "CERTIFIED" {
            doomed.purged(&mut services, &deletion, Instant::now()).await?;
        }
        let held = awaited.reached(PATIENCE).await?;
        let died = Instant::now();
        services.kill("retention").await?;
        drop(held);
        if state != "CERTIFIED" {
            doomed.purged(&mut services, &deletion, died).await.with_context(|| at(state))?;
        }
        doomed.certified(&services, &deletion, PATIENCE).await.with_context(|| at(state))?;
    }
    services.end().await
}

/// All services lose their databases at once, since these are on one server.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_in_the_midst_of_a_purge_delays_it_by_less_than_a_minute() -> anyhow::Result<()> {
    let server = Mysqld::start().await?;
    let mut services = start(server.url.clone()).await?;
    let deaths: [Death; 4] = [
        ("inventory", "storage.purge_before_commit", 1),
        ("inventory", "storage.purge_after_commit", 1),
        ("incidents", "storage.fenced", 1),
        ("retention", "deletion.PURGING", 1),
    ];
    for (n, (name, point, passes)) in deaths.into_iter().enumerate() {
        let doomed = doomed(&services, 260 + n as u64).await?;
        let awaited = services.faults(name)?.hold_after(passes, point);
        let deletion = services.terminate(doomed.tenant.app_id).await?;
        let held = awaited.reached(PATIENCE).await?;
        let died = Instant::now();
        server.kill().await?;
        drop(held);
        server.again().await?;
        for name in SERVICES {
            services.process(name)?.ready(MINUTE).await.with_context(|| format!("{name} is ready again by itself"))?;
        }
        doomed.purged(&mut services, &deletion, died).await.with_context(|| format!("{name} at {point}"))?;
        doomed.certified(&services, &deletion, PATIENCE).await.with_context(|| format!("{name} at {point}"))?;
    }
    services.end().await
}
