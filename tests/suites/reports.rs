//! Reports of assets: what they change, and what they must not.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind, Page, StringMatch, string_match::How};
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{
    ClassCollection, CollectionSettings, CreatePolicyRequest, DeletePolicyRequest, Policy, policy,
};
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::*;
use cwpp_tests::host::{self, package};
use cwpp_tests::on_every_backend;
use cwpp_tests::world::{Backend, PATIENCE, World};
use tonic::Status;

on_every_backend![
    a_report_writes_the_difference_and_first_sight_survives,
    a_stream_that_is_cut_after_any_message_changes_nothing,
    a_repeat_changes_nothing_and_an_older_report_is_refused,
    two_reports_of_one_machine_leave_one_of_them_whole,
    a_report_that_is_wrong_is_refused_whole,
    pages_lead_through_all_rows_and_their_tokens_open_nothing_else,
    a_clock_that_is_a_day_ahead_is_flagged_and_changes_no_order,
    a_tenant_that_is_not_open_takes_nothing,
    a_class_that_the_tenant_switches_off_is_refused_until_it_is_on_again,
];

const TENANT: u64 = 11;

/// A machine that reports packages.
struct Host(host::Host);

fn packages(range: std::ops::Range<u32>, version: &str) -> Vec<AssetItem> {
    range.map(|n| package(&format!("package-{n:04}"), version)).collect()
}

fn offer(digest: u8, items: u32) -> ClassDigest {
    ClassDigest { asset_class: AssetClass::SystemPackage.into(), digest: vec![digest; 32], items, found: 0 }
}

fn message(app_id: u64, part: Part) -> ReportAssetsRequest {
    ReportAssetsRequest { app_id, part: Some(part) }
}

impl Host {
    async fn enrol(world: &World, app_id: u64, name: &str) -> anyhow::Result<Self> {
        Ok(Self(host::Host::enrol(world.inventory()?, app_id, name).await?))
    }

    async fn negotiate(&mut self, offers: Vec<ClassDigest>) -> Result<NegotiateReportResponse, Status> {
        self.0.negotiate(offers).await
    }

    /// Spells the messages of a report of packages, one chunk for every three of them.
    fn messages(&self, token: &str, digest: u8, items: &[AssetItem]) -> Vec<ReportAssetsRequest> {
        self.0.messages(token, vec![offer(digest, items.len() as u32)], items, 3)
    }

    async fn send(&mut self, messages: Vec<ReportAssetsRequest>) -> Result<ClassResult, Status> {
        self.0.send(messages).await?.first().copied().ok_or_else(|| Status::internal("no result"))
    }

    async fn report(&mut self, digest: u8, items: &[AssetItem]) -> anyhow::Result<ClassResult> {
        let token = self.negotiate(vec![offer(digest, items.len() as u32)]).await?.report_token;
        Ok(self.send(self.messages(&token, digest, items)).await?)
    }

    /// Returns what is stored of the machine: version and first sight by name.
    async fn stored(&mut self) -> anyhow::Result<BTreeMap<String, (String, prost_types::Timestamp)>> {
        let mut stored = BTreeMap::new();
        for asset in self.0.export(asset_query::Query::SystemPackage(SystemPackageQuery::default())).await? {
            let Some(asset_item::Item::SystemPackage(p)) = asset.item.and_then(|i| i.item) else { continue };
            stored.insert(p.name, (p.version, asset.first_seen_time.context("a time")?));
        }
        Ok(stored)
    }

    async fn counted(&mut self) -> anyhow::Result<u64> {
        let [machine, _] = self.0.counted().await?;
        Ok(machine.values().sum())
    }
}

fn reason(status: &Status) -> Option<Reason> {
    status::reason(status)
}

async fn a_report_writes_the_difference_and_first_sight_survives(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let first = host.report(1, &packages(0..40, "1.0")).await?;
    assert_eq!((first.added, first.changed, first.removed, first.unchanged), (40, 0, 0, 0));
    let before = host.stored().await?;

    let again = host.negotiate(vec![offer(1, 40)]).await?;
    assert_eq!(again.decisions[0].decision(), Decision::Unchanged);

    world.platform.clock.advance(std::time::Duration::from_secs(3600));
    // Of one package another version is installed: another natural key, so one goes and one comes.
    let mut items = packages(5..45, "1.0");
    items[0] = package("package-0005", "2.0");
    let second = host.report(2, &items).await?;
    assert_eq!((second.added, second.changed, second.removed, second.unchanged), (6, 0, 6, 34));
    let after = host.stored().await?;
    let names: Vec<_> = after.iter().map(|(name, (version, _))| format!("{name} {version}")).collect();
    let mut wanted: Vec<_> = (5..45).map(|n| format!("package-{n:04} 1.0")).collect();
    wanted[0] = "package-0005 2.0".into();
    assert_eq!(names, wanted);
    for (name, (_, seen)) in after.iter().filter(|(name, _)| before.contains_key(*name) && *name != "package-0005") {
        assert_eq!(before[name].1, *seen, "{name} was seen first when it was seen first");
    }
    assert_eq!(host.counted().await?, 40);
    world.end().await
}

async fn a_stream_that_is_cut_after_any_message_changes_nothing(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    host.report(1, &packages(0..6, "1.0")).await?;
    let before = host.stored().await?;
    let token = host.negotiate(vec![offer(2, 9)]).await?.report_token;
    let messages = host.messages(&token, 2, &packages(3..12, "2.0"));
    for sent in 0..messages.len() {
        let refused = host.send(messages[..sent].to_vec()).await.expect_err("cut");
        assert_eq!(reason(&refused), Some(Reason::StreamIncomplete), "after {sent} messages");
        assert_eq!(host.stored().await?, before, "after {sent} messages");
    }
    host.send(messages).await?;
    assert_eq!(host.counted().await?, 9, "the whole of it is taken");
    world.end().await
}

async fn a_repeat_changes_nothing_and_an_older_report_is_refused(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let old = host.negotiate(vec![offer(1, 3)]).await?.report_token;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let new = host.negotiate(vec![offer(2, 4)]).await?.report_token;
    let messages = host.messages(&new, 2, &packages(0..4, "1.0"));
    assert_eq!(host.send(messages.clone()).await?.added, 4);
    let repeated = host.send(messages).await?;
    assert_eq!((repeated.added, repeated.unchanged), (0, 4));
    let late = host.send(host.messages(&old, 1, &packages(0..3, "0.9"))).await.expect_err("older");
    assert_eq!(reason(&late), Some(Reason::ReportTokenStale));
    let mut other = Host::enrol(&world, TENANT, "web-2").await?;
    let foreign = other.send(other.messages(&new, 1, &packages(0..3, "0.9"))).await.expect_err("another machine's");
    assert_eq!(reason(&foreign), Some(Reason::ReportTokenInvalid));
    assert_eq!((host.counted().await?, other.counted().await?), (4, 0));
    world.end().await
}

async fn two_reports_of_one_machine_leave_one_of_them_whole(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let mut twin = Host(host.0.clone());
    for round in 0..5u8 {
        let (a, b) = (packages(0..300, &format!("a{round}")), packages(150..450, &format!("b{round}")));
        let (one, two) = tokio::join!(host.report(2 * round, &a), twin.report(2 * round + 1, &b));
        ensure!(one.is_ok() || two.is_ok(), "neither was taken: {one:?} {two:?}");
        let versions: std::collections::BTreeSet<_> = host.stored().await?.into_values().map(|(v, _)| v).collect();
        assert_eq!(versions.len(), 1, "one report, whole: {versions:?}");
        assert_eq!(host.counted().await?, 300);
    }
    world.end().await
}

async fn a_report_that_is_wrong_is_refused_whole(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let token = host.negotiate(vec![offer(1, 3)]).await?.report_token;
    let header = |classes: Vec<ClassDigest>, declared_bytes: u64| ReportHeader {
        machine_id: host.0.machine_id.clone(),
        report_token: token.clone(),
        classes,
        declared_bytes,
    };
    let report = |header: ReportHeader, items: Vec<AssetItem>| {
        vec![
            message(TENANT, Part::Header(header)),
            message(TENANT, Part::Chunk(ReportChunk { items })),
            message(TENANT, Part::End(ReportEnd {})),
        ]
    };
    let twice = vec![package("a", "1"), package("b", "1"), package("a", "1")];
    let mut nameless = packages(0..3, "1.0");
    nameless[1] = package("", &"v".repeat(256));
    let cases = [
        ("fewer items", report(header(vec![offer(1, 4)], 1000), packages(0..3, "1.0")), Reason::ItemCountMismatch),
        ("more items", report(header(vec![offer(1, 2)], 1000), packages(0..3, "1.0")), Reason::ItemCountMismatch),
        ("one item twice", report(header(vec![offer(1, 3)], 1000), twice), Reason::DuplicateItem),
        ("wrong fields", report(header(vec![offer(1, 3)], 1000), nameless), Reason::InvalidField),
        ("more bytes", report(header(vec![offer(1, 3)], 10), packages(0..3, "1.0")), Reason::ReportBudget),
        ("too many items", report(header(vec![offer(1, 30_001)], 1000), Vec::new()), Reason::InvalidField),
        ("a class twice", report(header(vec![offer(1, 1), offer(1, 1)], 1000), Vec::new()), Reason::InvalidField),
        ("too many bytes", report(header(vec![offer(1, 1)], (64 << 20) + 1), Vec::new()), Reason::InvalidField),
    ];
    for (what, messages, wanted) in cases {
        let refused = host.0.assets.clone().report_assets(futures::stream::iter(messages)).await.expect_err(what);
        assert_eq!(reason(&refused), Some(wanted), "{what}: {refused:?}");
        if what == "wrong fields" {
            let fields: Vec<_> = status::violations(&refused).into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, ["items[1].system_package.name", "items[1].system_package.version"], "all at once");
        }
    }
    assert_eq!(host.counted().await?, 0, "nothing half written");

    let bad = NegotiateReportRequest {
        app_id: TENANT,
        machine_id: "no id".into(),
        classes: vec![ClassDigest { asset_class: 99, ..offer(1, 1) }, ClassDigest { digest: vec![1], ..offer(1, 1) }],
        observed_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..Default::default()
    };
    let refused = host.0.assets.negotiate_report(bad).await.expect_err("wrong");
    let fields: Vec<_> = status::violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["machine_id", "classes[0].asset_class", "classes[1].digest", "observed_time"]);
    world.end().await
}

async fn pages_lead_through_all_rows_and_their_tokens_open_nothing_else(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    world.tenant(TENANT + 1).await?;
    for n in 0..3u8 {
        Host::enrol(&world, TENANT, &format!("web-{n}")).await?.report(n, &packages(0..30, "1.0")).await?;
    }
    let mut client = AssetServiceClient::new(world.inventory()?);
    let query = |prefix: &str| {
        let name = StringMatch { how: Some(How::Prefix(prefix.into())) };
        let driving = Some(system_package_query::Driving::Name(name));
        let query = SystemPackageQuery { driving, ..Default::default() };
        Some(AssetQuery { query: Some(asset_query::Query::SystemPackage(query)) })
    };
    let request = |app_id: u64, prefix: &str, page_token: &str| ListAssetsRequest {
        app_id,
        query: query(prefix),
        page: Some(Page { page_size: 7, page_token: page_token.into() }),
        ..Default::default()
    };
    let (mut names, mut token) = (Vec::new(), String::new());
    let mut first_token = String::new();
    loop {
        let page = client.list_assets(request(TENANT, "package-00", &token)).await?.into_inner();
        for asset in &page.assets {
            let host = asset.host.as_ref().context("host columns")?;
            assert!(host.name.starts_with("web-") && host.ip_addresses == ["10.1.2.3"]);
            let Some(asset_item::Item::SystemPackage(p)) = asset.item.as_ref().and_then(|i| i.item.as_ref()) else {
                continue;
            };
            names.push((p.name.clone(), host.machine_id.clone()));
        }
        token = page.next_page_token;
        if first_token.is_empty() {
            first_token.clone_from(&token);
        }
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names.len(), 90);
    assert!(names.is_sorted(), "in the order of the name, then of the machine");
    for (app_id, prefix, token) in [
        (TENANT + 1, "package-00", &first_token),
        (TENANT, "package-0", &first_token),
        (TENANT, "package-00", &"garbage".into()),
    ] {
        let refused = client.list_assets(request(app_id, prefix, token)).await.expect_err("another list");
        assert_eq!(reason(&refused), Some(Reason::PageTokenInvalid));
    }
    world.platform.clock.advance(std::time::Duration::from_secs(73 * 3600));
    let late = client.list_assets(request(TENANT, "package-00", &first_token)).await.expect_err("old");
    assert_eq!(reason(&late), Some(Reason::PageTokenExpired));
    world.end().await
}

async fn a_clock_that_is_a_day_ahead_is_flagged_and_changes_no_order(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let ahead = world.platform.clock.now() + chrono::TimeDelta::hours(30);
    let request = NegotiateReportRequest {
        app_id: TENANT,
        machine_id: host.0.machine_id.clone(),
        classes: vec![offer(1, 2)],
        observed_time: Some(prost_types::Timestamp { seconds: ahead.timestamp(), nanos: 0 }),
        ..Default::default()
    };
    let answer = host.0.assets.negotiate_report(request).await?.into_inner();
    assert!(answer.clock_clamped);
    assert_eq!(answer.clock_skew.context("a skew")?.seconds, 86_400);
    host.send(host.messages(&answer.report_token, 1, &packages(0..2, "1.0"))).await?;
    assert_eq!(host.report(2, &packages(0..3, "1.0")).await?.added, 1, "a later report is the later one");
    world.end().await
}

async fn a_tenant_that_is_not_open_takes_nothing(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    let tenant = world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    let token = host.negotiate(vec![offer(1, 3)]).await?.report_token;
    let mut erasure =
        cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient::new(world.inventory()?);
    let fence = |state: cwpp_contracts::common::v1::TenantState| cwpp_contracts::erasure::v1::FenceRequest {
        app_id: TENANT,
        incarnation: tenant.incarnation.clone(),
        state: state.into(),
        token: 1,
    };
    use cwpp_contracts::common::v1::TenantState::{ReadOnly, Sealed};
    for (state, wanted) in [(ReadOnly, Reason::TenantReadOnly), (Sealed, Reason::TenantFenced)] {
        erasure.fence(fence(state)).await?;
        let refused = host.send(host.messages(&token, 1, &packages(0..3, "1.0"))).await.expect_err("fenced");
        assert_eq!(reason(&refused), Some(wanted));
        let refused = host.negotiate(vec![offer(1, 3)]).await.expect_err("fenced");
        assert_eq!(reason(&refused), Some(wanted));
    }
    world.end().await
}

async fn a_class_that_the_tenant_switches_off_is_refused_until_it_is_on_again(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let mut host = Host::enrol(&world, TENANT, "web-1").await?;
    host.report(1, &packages(0..3, "1.0")).await?;
    let mut policies = PolicyServiceClient::new(world.configuration()?);
    let asset_class = AssetClass::SystemPackage.into();
    let classes = vec![ClassCollection { asset_class, enabled: false, interval: None }];
    let policy = Policy {
        name: "no packages".into(),
        enabled: true,
        machines: Some(MachineScope { kind: MachineScopeKind::All.into(), ..Default::default() }),
        spec: Some(policy::Spec::CollectionSettings(CollectionSettings { classes })),
        ..Default::default()
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = CreatePolicyRequest { app_id: TENANT, request_id, policy: Some(policy) };
    let policy = policies.create_policy(request).await?.into_inner().policy.context("a policy")?;
    // Negotiated before inventory hears of the policy, reported after.
    let token = host.negotiate(vec![offer(2, 3)]).await?.report_token;
    let start = std::time::Instant::now();
    while host.negotiate(vec![offer(1, 3)]).await?.decisions[0].decision() != Decision::Disabled {
        ensure!(start.elapsed() < PATIENCE, "the policy is not followed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let refused = host.send(host.messages(&token, 2, &packages(0..3, "2.0"))).await.expect_err("switched off");
    assert_eq!(reason(&refused), Some(Reason::CollectionDisabled));

    let delete = DeletePolicyRequest { app_id: TENANT, policy_id: policy.policy_id, etag: String::new() };
    policies.delete_policy(delete).await?;
    let start = std::time::Instant::now();
    while host.negotiate(vec![offer(2, 3)]).await?.decisions[0].decision() == Decision::Disabled {
        ensure!(start.elapsed() < PATIENCE, "the deletion is not followed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(host.report(2, &packages(0..3, "2.0")).await?.added, 3);
    world.end().await
}
