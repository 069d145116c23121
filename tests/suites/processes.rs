//! The services as processes of their own on MySQL, two replicas of each, with their peers over the network.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_collector::report::Reporter;
use cwpp_collector::{Root, collect};
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::{DeletionState, GetDeletionRequest, TerminateSubscriptionRequest};
use cwpp_tests::otlp::Receiver;
use cwpp_tests::process::Process;
use cwpp_tests::world::{MySqlDatabases, PATIENCE, SERVICES, open_tenant};

/// Two replicas of each service on shared databases.
struct Replicas {
    inventory: [Process; 2],
    incidents: [Process; 2],
    configuration: [Process; 2],
    retention: [Process; 2],
    databases: MySqlDatabases,
    folder: tempfile::TempDir,
}

fn channel(process: &Process) -> anyhow::Result<Channel> {
    Channel::connect_lazy(&format!("http://{}", process.grpc), &ClientConfig::default())?
        .with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)
}

impl Replicas {
    async fn start(more: &[(&'static str, String)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let databases = MySqlDatabases::create(&SERVICES).await?;
        let (key, file) = (folder.path().join("page.key"), folder.path().join("shared.toml"));
        std::fs::write(&key, [7; 32])?;
        std::fs::write(&file, format!("[database]\nkey_files = [\"{}\"]\n", key.display()))?;
        let settings = |name: &str| {
            let mut settings = vec![
                ("database.url", databases.url(name)),
                ("config", file.display().to_string()),
                ("shutdown.lame_duck", "0s".to_owned()),
            ];
            settings.extend(more.iter().cloned());
            settings
        };
        let start = |name: &str, peers: &[(&'static str, &Process)], own: &[(&'static str, String)]| {
            let binary = format!("cwpp-{name}");
            let mut settings = settings(name);
            settings.extend(peers.iter().map(|(key, peer)| (*key, format!("http://{}", peer.grpc))));
            settings.extend(own.iter().cloned());
            Process::migrate(&binary, &settings)?;
            let first = Process::start(&binary, &settings, folder.path())?;
            anyhow::Ok([first, Process::start(&binary, &settings, folder.path())?])
        };
        let configuration = start("configuration", &[], &[])?;
        let inventory = start("inventory", &[("peers.configuration", &configuration[1])], &[])?;
        let incidents = start("incidents", &[("peers.configuration", &configuration[0])], &[])?;
        let peers = [
            ("peers.configuration", &configuration[1]),
            ("peers.inventory", &inventory[1]),
            ("peers.incidents", &incidents[0]),
        ];
        let signing = folder.path().join("signing.pem").display().to_string();
        let retention = start("retention", &peers, &[("signing.key_file", signing)])?;
        let mut replicas = Self { inventory, incidents, configuration, retention, databases, folder };
        for process in replicas.all() {
            process.ready(PATIENCE).await?;
        }
        Ok(replicas)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Process> {
        let Self { inventory, incidents, configuration, retention, .. } = self;
        retention.iter_mut().chain(incidents).chain(inventory).chain(configuration)
    }

    async fn end(mut self) -> anyhow::Result<()> {
        for process in self.all() {
            assert_eq!(process.stop()?, Some(0), "{}", process.log());
        }
        self.databases.drop_all().await?;
        drop(self.folder);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_each_service_serve_one_platform() -> anyhow::Result<()> {
    let replicas = Replicas::start(&[]).await?;
    open_tenant(channel(&replicas.configuration[0])?, 5, Utc::now()).await?;
    let snapshot = collect(&Root::new("/"), Utc::now());
    // One replica is asked what to send, and the other takes it: nothing is kept in a process.
    let mut first =
        Reporter::new(5, Some("web-1".into()), channel(&replicas.inventory[0])?, channel(&replicas.incidents[0])?);
    first.register(&snapshot).await?;
    let written = first.report(&snapshot).await?.written();
    assert!(written > 0);
    let mut second =
        Reporter::new(5, Some("web-1".into()), channel(&replicas.inventory[1])?, channel(&replicas.incidents[1])?);
    let again = second.register(&snapshot).await?;
    assert!(!again.created);
    assert_eq!(Some(again.machine_id.as_str()), first.machine_id());
    assert_eq!(second.report(&snapshot).await?.written(), 0);
    for replica in &replicas.inventory {
        let request = ListAssetCountsRequest { app_id: 5, ..Default::default() };
        let counts = AssetServiceClient::new(channel(replica)?).list_asset_counts(request).await?.into_inner().counts;
        assert_eq!(counts.iter().map(|c| c.items).sum::<u64>(), written);
    }
    let log = replicas.inventory[0].log();
    assert!(!log.contains("\"app_id\"") && !log.contains("web-1"), "{log}");
    replicas.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_over_two_services_and_the_database() -> anyhow::Result<()> {
    let receiver = Receiver::start().await?;
    let trace = [("trace.endpoint", format!("http://{}", receiver.address)), ("trace.ratio", "1.0".to_owned())];
    let replicas = Replicas::start(&trace).await?;
    open_tenant(channel(&replicas.configuration[0])?, 6, Utc::now()).await?;
    // Retention opens the tenant in inventory: a call between services, and a transaction at its end.
    let crosses = |spans: &[cwpp_tests::otlp::ReceivedSpan]| {
        spans.iter().filter(|s| s.service.contains("inventory") && s.name.contains("OpenTenant")).any(|server| {
            let same =
                |service: &str| spans.iter().any(|s| s.service.contains(service) && s.trace_id == server.trace_id);
            let database = spans
                .iter()
                .any(|s| s.service.contains("inventory") && s.trace_id == server.trace_id && s.name.starts_with("db"));
            same("retention") && database
        })
    };
    receiver.wait(Duration::from_secs(30), crosses).await?;
    replicas.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_in_the_midst_of_a_report_leaves_the_old_snapshot() -> anyhow::Result<()> {
    let mut replicas = Replicas::start(&[]).await?;
    open_tenant(channel(&replicas.configuration[0])?, 7, Utc::now()).await?;
    let snapshot = collect(&Root::new("/"), Utc::now());
    let reporter = |replica: &Process, incidents: &Process| {
        anyhow::Ok(Reporter::new(7, Some("web-1".into()), channel(replica)?, channel(incidents)?))
    };
    let mut first = reporter(&replicas.inventory[0], &replicas.incidents[0])?;
    let machine_id = first.register(&snapshot).await?.machine_id;
    let written = first.report(&snapshot).await?.written();

    let offer = ClassDigest { asset_class: AssetClass::Account.into(), digest: vec![9; 32], items: 2, found: 0 };
    let mut assets = AssetServiceClient::new(channel(&replicas.inventory[0])?);
    let negotiate = NegotiateReportRequest {
        app_id: 7,
        machine_id: machine_id.clone(),
        classes: vec![offer.clone()],
        observed_time: None,
        ..Default::default()
    };
    let report_token = assets.negotiate_report(negotiate).await?.into_inner().report_token;
    let header = ReportHeader { machine_id, report_token, classes: vec![offer], declared_bytes: 1000 };
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let call =
        tokio::spawn(async move { assets.report_assets(tokio_stream::wrappers::ReceiverStream::new(receive)).await });
    let part = |part| ReportAssetsRequest { app_id: 7, part: Some(part) };
    send.send(part(report_assets_request::Part::Header(header))).await?;
    let account = Account { name: "mallory".into(), ..Default::default() };
    let item = AssetItem { item: Some(asset_item::Item::Account(account)) };
    send.send(part(report_assets_request::Part::Chunk(ReportChunk { items: vec![item] }))).await?;
    replicas.inventory[0].kill()?;
    assert!(call.await?.is_err());

    replicas.inventory[0].restart()?;
    replicas.inventory[0].ready(PATIENCE).await?;
    let mut again = reporter(&replicas.inventory[0], &replicas.incidents[0])?;
    again.register(&snapshot).await?;
    assert_eq!(again.report(&snapshot).await?.written(), 0, "all of the old snapshot is there, and nothing else");
    let request = ListAssetCountsRequest { app_id: 7, ..Default::default() };
    let counts =
        AssetServiceClient::new(channel(&replicas.inventory[1])?).list_asset_counts(request).await?.into_inner().counts;
    assert_eq!(counts.iter().map(|c| c.items).sum::<u64>(), written);
    replicas.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_worker_of_a_deletion_is_killed_another_goes_on_within_a_minute() -> anyhow::Result<()> {
    let mut replicas = Replicas::start(&[]).await?;
    open_tenant(channel(&replicas.configuration[0])?, 8, Utc::now()).await?;
    let snapshot = collect(&Root::new("/"), Utc::now());
    let mut reporter =
        Reporter::new(8, Some("web-1".into()), channel(&replicas.inventory[0])?, channel(&replicas.incidents[0])?);
    reporter.register(&snapshot).await?;
    reporter.report(&snapshot).await?;

    let mut client = RetentionServiceClient::new(channel(&replicas.retention[1])?);
    let request = TerminateSubscriptionRequest { app_id: 8, confirm_app_id: 8, ..Default::default() };
    let deletion = client.terminate_subscription(request).await?.into_inner().deletion.context("a deletion")?;
    // The grace ends on the first replica's clock alone, so that it is the one that begins.
    let (answer, _) = replicas.retention[0].request("POST", "/clock/advance?seconds=90000").await?;
    assert_eq!(answer, 200);
    let get = GetDeletionRequest { deletion_id: deletion.deletion_id.clone() };
    let start = std::time::Instant::now();
    loop {
        let now = client.get_deletion(get.clone()).await?.into_inner().deletion.context("a deletion")?;
        if now.state() as i32 >= DeletionState::Sealing as i32 {
            break;
        }
        anyhow::ensure!(start.elapsed() < PATIENCE, "it does not begin");
    }
    replicas.retention[0].kill()?;
    let killed = std::time::Instant::now();
    let (answer, _) = replicas.retention[1].request("POST", "/clock/advance?seconds=90000").await?;
    assert_eq!(answer, 200);
    loop {
        let now = client.get_deletion(get.clone()).await?.into_inner().deletion.context("a deletion")?;
        if now.state() == DeletionState::ResidueWait {
            break;
        }
        anyhow::ensure!(killed.elapsed() < Duration::from_secs(60), "nobody goes on: {now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    replicas.retention[0].restart()?;
    replicas.retention[0].ready(PATIENCE).await?;
    replicas.end().await
}
