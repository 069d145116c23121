//! Inventory or its database dies in the midst of a report, at a fault point: the old snapshot or the new one, whole.
//! Nor does it matter where a removal of a machine or a fold of the counts is cut: the counts are those of the rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cwpp_chassis::client::ClientConfig;
use cwpp_contracts::configuration::v1::Tenant;
use cwpp_contracts::erasure::v1::OpenTenantRequest;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::{AssetClass, ClassResult, DeleteMachinesRequest};
use cwpp_tests::host::{Content, Host};
use cwpp_tests::mysqld::Mysqld;
use cwpp_tests::process::Process;
use cwpp_tests::services::{Plan, Services};
use cwpp_tests::world::{PATIENCE, mysql_server};
use uuid::Uuid;

const OLD: Content = Content { accounts: 0..6, packages: 0..40, version: "1.0" };
const NEW: Content = Content { accounts: 2..9, packages: 10..65, version: "2.0" };

/// Where the report is held: a point that only reports come to, then the next that its transaction comes to; and whether
/// the new snapshot is there afterwards.
const POINTS: [(&[&str], bool); 5] = [
    (&["report.received"], false),
    (&["report.received", "storage.fence_locked"], false),
    (&["report.written"], false),
    (&["report.written", "storage.before_commit"], false),
    (&["report.written", "storage.after_commit"], true),
];

/// A report on its way.
type Report = tokio::task::JoinHandle<Result<Vec<ClassResult>, tonic::Status>>;

/// What dies.
enum Victim {
    Service,
    Database(Mysqld),
}

pub(crate) async fn inventory(server: String) -> anyhow::Result<Services> {
    inventory_that_does(server, &[]).await
}

/// Starts inventory with these of its jobs due at any moment.
async fn inventory_that_does(server: String, jobs: &'static [&'static str]) -> anyhow::Result<Services> {
    let settings = move |_: &str| {
        let often = jobs.iter().map(|interval| (*interval, "200ms".to_owned()));
        often.chain([("admin.check_interval", "100ms".to_owned())]).collect()
    };
    Services::start_inventory(Plan { settings: Box::new(settings), faults: true, ..Plan::on(server) }).await
}

pub(crate) async fn open(services: &Services, app_id: u64) -> anyhow::Result<Tenant> {
    let incarnation = Uuid::now_v7().to_string();
    let request = OpenTenantRequest { app_id, incarnation: incarnation.clone() };
    ErasureServiceClient::new(services.channel("inventory")?).open_tenant(request).await?;
    Ok(Tenant { app_id, incarnation, ..Default::default() })
}

/// Recounts all rows: items and machines, of classes, days, values and the machine itself.
pub(crate) async fn counts_are_right(host: &mut Host) -> anyhow::Result<()> {
    let found = host.differences().await?;
    ensure!(found.is_empty(), "counts are not those of the rows: {found:?}");
    Ok(())
}

/// Says which of the two snapshots is there; rows, counts and digest must agree.
async fn whole(host: &mut Host) -> anyhow::Result<bool> {
    let is_new = host.has(&NEW).await?;
    ensure!(host.has(&OLD).await? != is_new, "the digests are those of neither snapshot, or of both");
    let there = if is_new { NEW } else { OLD };
    let stored = host.stored().await?;
    ensure!(stored == there.listed(), "the digest says {there:?}, the rows are {stored:?}");
    let counts = BTreeMap::from([
        (AssetClass::Account as i32, there.accounts.len() as u64),
        (AssetClass::SystemPackage as i32, there.packages.len() as u64),
    ]);
    ensure!(host.counted().await? == [counts.clone(), counts], "the counts of the machine and of the tenant");
    counts_are_right(host).await?;
    Ok(is_new)
}

/// Reports by a client that does not repeat what failed: what it left behind is to be seen.
fn report_once(services: &Services, host: &Host, content: Content) -> anyhow::Result<Report> {
    let client = ClientConfig { max_attempts: 1, ..Default::default() };
    let mut host = host.at(services.channel_as("inventory", &client)?);
    Ok(tokio::spawn(async move { host.report(&content).await }))
}

/// Waits until a service says that it is not ready.
async fn not_ready(process: &Process) -> anyhow::Result<()> {
    let start = Instant::now();
    while matches!(process.get("/readyz").await, Ok((200, _))) {
        ensure!(start.elapsed() < PATIENCE, "it is ready without its database");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn dies_at_every_point(mut services: Services, victim: Victim) -> anyhow::Result<()> {
    for (n, (points, is_new)) in POINTS.into_iter().enumerate() {
        let app_id = 100 + n as u64;
        open(&services, app_id).await?;
        let channel = services.channel("inventory")?;
        let mut host = Host::enrol(channel.clone(), app_id, "web-1").await?;
        host.report(&OLD).await?;
        ensure!(!whole(&mut host).await?, "the old snapshot");

        let faults = services.faults("inventory")?;
        let mut next = faults.hold(points[0]);
        let call = report_once(&services, &host, NEW)?;
        for point in &points[1..] {
            // Told of the next before it goes on from here, so that nothing else is held there.
            let reached = next.reached(PATIENCE).await?;
            next = faults.hold(point);
            drop(reached);
        }
        let reached = next.reached(PATIENCE).await?;
        match &victim {
            Victim::Service => {
                services.kill("inventory").await?;
                drop(reached);
                ensure!(call.await?.is_err(), "{points:?}: a process that is dead has answered");
            }
            Victim::Database(server) => {
                server.kill().await?;
                drop(reached);
                let told = call.await?;
                // One whose report is there may still be told that the database went away behind it.
                ensure!(told.is_err() || is_new, "{points:?}: the caller is told {told:?}");
                not_ready(services.process("inventory")?).await?;
                server.again().await?;
                services.process("inventory")?.ready(PATIENCE).await?;
            }
        }
        ensure!(whole(&mut host).await? == is_new, "{points:?}: the wrong one of the two snapshots");
        host.report(&NEW).await?;
        ensure!(whole(&mut host).await?, "{points:?}: the report is repeated");
    }
    services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_any_point_of_a_report_leaves_one_snapshot_whole() -> anyhow::Result<()> {
    dies_at_every_point(inventory(mysql_server()?).await?, Victim::Service).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_at_any_point_of_a_report_leaves_one_snapshot_whole() -> anyhow::Result<()> {
    let server = Mysqld::start().await?;
    let services = inventory(server.url.clone()).await?;
    dies_at_every_point(services, Victim::Database(server)).await
}

/// A class that changes more rows than one transaction may write goes in slices; between them it is neither the old nor
/// the new one, and must not be taken for either.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_killed_between_its_slices_is_taken_for_neither_and_comes_right() -> anyhow::Result<()> {
    const SMALL: Content = Content { accounts: 0..3, packages: 0..10, version: "1.0" };
    const LARGE: Content = Content { accounts: 0..3, packages: 0..6000, version: "2.0" };
    let mut services = inventory(mysql_server()?).await?;
    open(&services, 7).await?;
    let mut host = Host::enrol(services.channel("inventory")?, 7, "web-1").await?;
    host.report(&SMALL).await?;
    let between = services.faults("inventory")?.hold("report.committed");
    let call = report_once(&services, &host, LARGE)?;
    let held = between.reached(PATIENCE).await?;
    services.kill("inventory").await?;
    drop(held);
    ensure!(call.await?.is_err(), "a process that is dead has answered");
    ensure!(!host.has(&SMALL).await? && !host.has(&LARGE).await?, "it is taken for whole");
    let stored = host.stored().await?;
    let counted = host.counted().await?;
    for counts in counted {
        assert_eq!(counts.values().sum::<u64>(), stored.len() as u64, "the counts agree with the rows all the same");
    }
    counts_are_right(&mut host).await?;
    host.report(&LARGE).await?;
    ensure!(host.has(&LARGE).await? && host.stored().await? == LARGE.listed(), "the report is repeated");
    services.end().await
}

/// Where a removal of 2,500 packages is held, behind so many passes; a chunk is 1,000 rows.
const REMOVALS: [(usize, &str); 6] = [
    (0, "removal.taken"),
    (0, "removal.written"),
    (1, "removal.written"),
    (2, "removal.written"),
    (0, "removal.committed"),
    (1, "removal.committed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_any_point_of_a_removal_goes_on_with_it_and_counts_right() -> anyhow::Result<()> {
    const LARGE: Content = Content { accounts: 0..30, packages: 0..2500, version: "1.0" };
    let mut services = inventory_that_does(mysql_server()?, &["machines.sweep_interval"]).await?;
    for (n, (passes, point)) in REMOVALS.into_iter().enumerate() {
        let tenant = open(&services, 200 + n as u64).await?;
        let channel = services.channel("inventory")?;
        // One that goes, and one that stays and has some of the same.
        let mut removed = Host::enrol(channel.clone(), tenant.app_id, "web-1").await?;
        let mut stays = Host::enrol(channel.clone(), tenant.app_id, "web-2").await?;
        removed.report(&LARGE).await?;
        stays.report(&NEW).await?;
        let client = ClientConfig { max_attempts: 1, ..Default::default() };
        let mut machines = MachineServiceClient::new(services.channel_as("inventory", &client)?);
        let machine_ids = vec![removed.machine_id.clone()];
        let request = DeleteMachinesRequest { app_id: tenant.app_id, machine_ids, ..Default::default() };
        let there = services.faults("inventory")?.hold_after(passes, point);
        let call = tokio::spawn(async move { machines.delete_machines(request).await });
        let held = there.reached(PATIENCE).await?;
        services.kill("inventory").await?;
        drop(held);
        ensure!(call.await?.is_err(), "{passes} {point}: a process that is dead has answered");
        counts_are_right(&mut stays).await.with_context(|| format!("{passes} {point}"))?;

        let start = Instant::now();
        while services.rows("inventory", &tenant).await?.iter().any(|t| t.table == "machine_removal") {
            counts_are_right(&mut stays).await.with_context(|| format!("{passes} {point}"))?;
            ensure!(start.elapsed() < PATIENCE, "{passes} {point}: the removal does not go on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rows = services.rows("inventory", &tenant).await?;
        let of = |table: &str| rows.iter().find(|t| t.table == table).map_or(0, |t| t.rows);
        let left = ["asset_account", "asset_system_package", "asset_snapshot", "machine"].map(of);
        let those = [NEW.accounts.len() as u64, NEW.packages.len() as u64, 2, 1];
        ensure!(left == those, "{passes} {point}: left are {left:?}, of the other machine are {those:?}");
        ensure!(whole(&mut stays).await?, "{passes} {point}: the other machine");
    }
    services.end().await
}

/// What a fold merges is neither lost nor counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_in_a_fold_counts_right() -> anyhow::Result<()> {
    let mut services = inventory_that_does(mysql_server()?, &["counts.fold_interval"]).await?;
    // Of the first class, of the second, and between the two.
    for (n, (passes, point)) in
        [(0, "counts.folded"), (1, "counts.folded"), (0, "counts.committed")].into_iter().enumerate()
    {
        let tenant = open(&services, 300 + n as u64).await?;
        let mut host = Host::enrol(services.channel("inventory")?, tenant.app_id, "web-1").await?;
        let there = services.faults("inventory")?.hold_after(passes, point);
        host.report(&OLD).await?;
        let held = there.reached(PATIENCE).await?;
        services.kill("inventory").await?;
        drop(held);
        ensure!(!whole(&mut host).await?, "{passes} {point}: what was reported before");
        host.report(&NEW).await?;
        ensure!(whole(&mut host).await?, "{passes} {point}: what is reported next");
        let start = Instant::now();
        while services.rows("inventory", &tenant).await?.iter().any(|t| t.table == "asset_count_delta") {
            ensure!(start.elapsed() < PATIENCE, "{passes} {point}: the fold does not go on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ensure!(whole(&mut host).await?, "{passes} {point}: all is folded");
    }
    services.end().await
}
