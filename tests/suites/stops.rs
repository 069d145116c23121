//! A replica is asked to end (SIGTERM) while reports and lists run: the other one takes over, and no caller notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::erasure::v1::OpenTenantRequest;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_tests::balancer::Balancer;
use cwpp_tests::host::{Content, Host};
use cwpp_tests::services::{Plan, Services};
use cwpp_tests::world::{PATIENCE, mysql_server};
use tonic::Status;
use uuid::Uuid;

const TENANT: u64 = 31;
/// Machines that report, each with a caller of its own; half as many others only list.
const REPORTING: usize = 16;
const LISTING: usize = 8;
/// Rounds of every caller before the replica is stopped, and again after it.
const ROUNDS: usize = 3;

/// What a machine has in a round: half of it is that of the round before.
fn content(round: usize) -> Content {
    let first = 20 * round as u32;
    let version = if round.is_multiple_of(2) { "1.0" } else { "2.0" };
    Content { accounts: 0..5, packages: first..first + 40, version }
}

/// How far the callers are, and whether they go on.
#[derive(Default)]
struct Course {
    rounds: Vec<AtomicUsize>,
    over: AtomicBool,
}

impl Course {
    /// Waits until every caller has made so many more rounds, or one has failed.
    async fn further(&self, rounds: usize) -> anyhow::Result<()> {
        let wanted: Vec<_> = self.rounds.iter().map(|r| r.load(Ordering::SeqCst) + rounds).collect();
        let start = Instant::now();
        while self.rounds.iter().zip(&wanted).any(|(now, wanted)| now.load(Ordering::SeqCst) < *wanted) {
            if self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            ensure!(start.elapsed() < 4 * PATIENCE, "the callers do not go on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Repeats a round until it is over or fails; a failure ends the course of all.
    async fn run<F: Future<Output = anyhow::Result<()>>>(
        &self,
        caller: usize,
        mut round: impl FnMut(usize) -> F,
    ) -> anyhow::Result<usize> {
        let mut made = 0;
        while !self.over.load(Ordering::SeqCst) {
            if let Err(e) = round(made).await {
                self.over.store(true, Ordering::SeqCst);
                return Err(e.context(format!("round {made} of caller {caller}")));
            }
            made += 1;
            self.rounds[caller].fetch_add(1, Ordering::SeqCst);
        }
        Ok(made)
    }
}

/// Reports as an agent does: a service that says that it is too busy is asked again. What a stop could look like to a
/// caller (a lost connection, a service that is away) is not repeated.
async fn report(host: &mut Host, content: &Content) -> Result<Vec<ClassResult>, Status> {
    let start = Instant::now();
    loop {
        match host.report(content).await {
            Err(refused) if is_busy(&refused) && start.elapsed() < PATIENCE => {}
            other => return other,
        }
    }
}

fn is_busy(refused: &Status) -> bool {
    let busy = [Reason::DeadlineExceeded, Reason::Conflict, Reason::Overloaded, Reason::ReportBudget];
    status::reason(refused).is_some_and(|reason| busy.contains(&reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_stopped_under_load_fails_no_call_and_leaves_nothing_half_written() -> anyhow::Result<()> {
    let settings = |_: &str| vec![("shutdown.lame_duck", "200ms".to_owned())];
    let plan = Plan { settings: Box::new(settings), ..Plan::on(mysql_server()?) };
    let mut services = Services::start_inventory(plan).await?;
    let mut second = services.another("inventory").await?;
    let balancer = Balancer::start(vec![services.process("inventory")?.grpc, second.grpc]).await?;
    let channel = || {
        Channel::connect_lazy(&format!("http://{}", balancer.address), &ClientConfig::default())?
            .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)
    };
    let request = OpenTenantRequest { app_id: TENANT, incarnation: Uuid::now_v7().to_string() };
    ErasureServiceClient::new(channel()?).open_tenant(request).await?;

    let rounds = (0..REPORTING + LISTING).map(|_| AtomicUsize::new(0)).collect();
    let course = Arc::new(Course { rounds, over: AtomicBool::new(false) });
    let mut reporting = Vec::new();
    for n in 0..REPORTING {
        let host = Host::enrol(channel()?, TENANT, &format!("web-{n}")).await?;
        let course = course.clone();
        reporting.push(tokio::spawn(async move {
            let made = course.run(n, |round| {
                let mut host = host.clone();
                async move {
                    let results = report(&mut host, &content(round)).await.context("a report")?;
                    ensure!(results.len() == 2, "the report of both classes is answered");
                    Ok(())
                }
            });
            let made = made.await?;
            anyhow::Ok((host, made))
        }));
    }
    let mut listing = Vec::new();
    for n in 0..LISTING {
        let (course, client) = (course.clone(), asset_service_client::AssetServiceClient::new(channel()?));
        listing.push(tokio::spawn(async move {
            let course_of = course.run(REPORTING + n, |_| {
                let mut client = client.clone();
                async move {
                    let query = asset_query::Query::SystemPackage(SystemPackageQuery::default());
                    let query = Some(AssetQuery { query: Some(query) });
                    let request = ListAssetsRequest { app_id: TENANT, query, ..Default::default() };
                    client.list_assets(request).await.context("a list")?;
                    let counts = ListAssetCountsRequest { app_id: TENANT, ..Default::default() };
                    client.list_asset_counts(counts).await.context("counts")?;
                    Ok(())
                }
            });
            course_of.await
        }));
    }

    course.further(ROUNDS).await?;
    let first = services.process("inventory")?;
    let code = tokio::task::block_in_place(|| first.stop())?;
    ensure!(code == Some(0), "the replica ended with {code:?}: {}", first.log());
    course.further(ROUNDS).await?;
    course.over.store(true, Ordering::SeqCst);
    for caller in listing {
        caller.await??;
    }
    for caller in reporting {
        let (mut host, made) = caller.await??;
        let last = content(made - 1);
        ensure!(host.has(&last).await?, "the digest is not that of the last report");
        assert_eq!(host.stored().await?, last.listed(), "rows of the last report, and no others");
        let [machine, _] = host.counted().await?;
        assert_eq!(machine.values().sum::<u64>(), last.listed().len() as u64);
    }
    second.stop()?;
    services.databases.drop_all().await
}
