//! A service with a database of its own for each test, and the words in which tests speak.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use cwpp_access::{AppId, Job, SystemScope, TenantScope};
use cwpp_chassis::app::{Running, start};
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::config::Settings;
use cwpp_chassis::{Clock, Reason, status};
use cwpp_contracts::common::v1::{Page, StringMatch, TenantState, string_match::How};
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::*;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::of_item;
use cwpp_inventory::config::Peers;
use cwpp_inventory::{Config, Inventory, registry};
use cwpp_storage::{Database, Db};
use prost::Message;
use prost_types::Timestamp;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tonic::Status;
use uuid::Uuid;

pub(crate) use crate::fixture::everything;

/// Defines tests that run on both databases.
macro_rules! both {
    ($( $(#[$meta:meta])* async fn $name:ident($world:ident: World) $body:block )+) => { $(
        mod $name {
            use super::*;

            async fn test($world: &mut World) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let mut world = World::sqlite().await;
                test(&mut world).await;
                world.end().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mysql() {
                let Some(mut world) = World::mysql().await else { return };
                test(&mut world).await;
                world.end().await;
            }
        }
    )+ };
}
pub(crate) use both;

static NEXT: AtomicU64 = AtomicU64::new(1000);

/// The day on which tests happen, at noon.
pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 12, 0, 0).unwrap()
}

/// No other service.
fn alone() -> Peers {
    Peers { configuration: String::new() }
}

/// A running service and its clients.
pub(crate) struct World {
    pub(crate) machines: MachineServiceClient<Channel>,
    pub(crate) assets: AssetServiceClient<Channel>,
    pub(crate) erasure: ErasureServiceClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) clock: Clock,
    pub(crate) database: Database,
    running: Option<Running>,
    server: Option<String>,
    folder: Option<Arc<tempfile::TempDir>>,
}

/// A tenant that was opened.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) app_id: u64,
    pub(crate) incarnation: String,
}

/// A machine that was enrolled.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) app_id: u64,
    pub(crate) id: String,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::at(format!("sqlite:{}", folder.path().join("inventory.db").display()));
        Self::open(database, None, Some(Arc::new(folder))).await
    }

    pub(crate) async fn mysql() -> Option<Self> {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return None;
        };
        let name = format!("cwpp_inv_{}", Uuid::new_v4().simple());
        let mut admin = sqlx::MySqlConnection::connect(&url).await.unwrap();
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        Some(Self::open(Database { name, ..Database::at(&url) }, Some(url), None).await)
    }

    async fn open(database: Database, server: Option<String>, folder: Option<Arc<tempfile::TempDir>>) -> Self {
        let log = cwpp_chassis::config::Log { level: "error".into(), ..Default::default() };
        cwpp_chassis::telemetry::init("inventory", &log, &Default::default()).unwrap();
        cwpp_storage::migrate::up(&database, &registry()).await.unwrap();
        let config = Config { database, peers: alone(), ..Config::default() };
        Self::start(config, server, folder, Clock::manual(noon())).await
    }

    async fn start(
        config: Config,
        server: Option<String>,
        folder: Option<Arc<tempfile::TempDir>>,
        clock: Clock,
    ) -> Self {
        let database = config.database.clone();
        let mut settings = Settings::local(config);
        settings.chassis.shutdown.lame_duck = Duration::ZERO;
        let running = start::<Inventory>(settings, clock.clone()).await.unwrap();
        running.ready(Duration::from_secs(20)).await.unwrap();
        let channel = Channel::connect_lazy(&running.target(), &ClientConfig::default()).unwrap();
        Self {
            machines: MachineServiceClient::new(channel.clone()),
            assets: AssetServiceClient::new(channel.clone()),
            erasure: ErasureServiceClient::new(channel.clone()),
            channel,
            clock,
            database,
            running: Some(running),
            server,
            folder,
        }
    }

    /// Starts another replica on the same database, with other settings.
    pub(crate) async fn replica(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { database: self.database.clone(), peers: alone(), ..Config::default() };
        change(&mut config);
        Self::start(config, None, self.folder.clone(), self.clock.clone()).await
    }

    /// Opens the database beside the service.
    pub(crate) async fn db(&self) -> Db {
        Db::connect(&self.database, Arc::new(registry())).await.unwrap()
    }

    /// Renews the figures by which MySQL chooses an index. SQLite has none: nothing of ours gathers them, since with
    /// them it may skip the tenant and look for the rest (a skip-scan), and sort what it finds.
    pub(crate) async fn analyze(&self, table: &str) {
        if let Some(url) = &self.server {
            let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
            admin.execute(AssertSqlSafe(format!("ANALYZE TABLE {}.{table}", self.database.name))).await.unwrap();
        }
    }

    pub(crate) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        if let Some(url) = &self.server {
            let mut admin = sqlx::MySqlConnection::connect(url).await.unwrap();
            admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", self.database.name))).await.unwrap();
        }
    }

    pub(crate) fn nobody(&self) -> Tenant {
        Tenant { app_id: NEXT.fetch_add(1, Ordering::SeqCst), incarnation: Uuid::new_v4().to_string() }
    }

    pub(crate) async fn tenant(&mut self) -> Tenant {
        let tenant = self.nobody();
        let Tenant { app_id, incarnation } = tenant.clone();
        self.erasure.open_tenant(OpenTenantRequest { app_id, incarnation }).await.unwrap();
        tenant
    }

    pub(crate) async fn fence(&mut self, tenant: &Tenant, state: TenantState) -> Fence {
        let Tenant { app_id, incarnation } = tenant.clone();
        let request = FenceRequest { app_id, incarnation, state: state.into(), token: 1 };
        self.erasure.fence(request).await.unwrap().into_inner().fence.unwrap()
    }

    /// Counts the tenant's rows by table; tables without rows are left out.
    pub(crate) async fn rows(&self, tenant: &Tenant) -> BTreeMap<String, u64> {
        let Tenant { app_id, incarnation } = tenant.clone();
        let counted =
            self.erasure.clone().count_rows(CountRowsRequest { app_id, incarnation }).await.unwrap().into_inner();
        counted.tables.into_iter().filter(|t| t.rows > 0).map(|t| (t.table, t.rows)).collect()
    }

    pub(crate) async fn register(&self, request: RegisterMachineRequest) -> Result<RegisterMachineResponse, Status> {
        Ok(self.machines.clone().register_machine(request).await?.into_inner())
    }

    pub(crate) async fn host(&self, tenant: &Tenant, name: &str) -> Host {
        let machine = self.register(registration(tenant, name)).await.unwrap().machine.unwrap();
        Host { app_id: tenant.app_id, id: machine.machine_id }
    }

    pub(crate) async fn negotiate(
        &self,
        host: &Host,
        classes: Vec<ClassDigest>,
    ) -> Result<NegotiateReportResponse, Status> {
        let (app_id, machine_id) = (host.app_id, host.id.clone());
        let request = NegotiateReportRequest { app_id, machine_id, classes, observed_time: None, ..Default::default() };
        Ok(self.assets.clone().negotiate_report(request).await?.into_inner())
    }

    /// Says which classes a machine could not read, beside those that it could.
    pub(crate) async fn unread(
        &self,
        host: &Host,
        read: &[AssetClass],
        unread: &[(AssetClass, &str)],
    ) -> Result<NegotiateReportResponse, Status> {
        let said = |(class, reason): &(AssetClass, &str)| UnreadClass {
            asset_class: (*class).into(),
            reason: (*reason).into(),
            ..Default::default()
        };
        let request = NegotiateReportRequest {
            app_id: host.app_id,
            machine_id: host.id.clone(),
            classes: offers(read, &[]),
            unread: unread.iter().map(said).collect(),
            ..Default::default()
        };
        Ok(self.assets.clone().negotiate_report(request).await?.into_inner())
    }

    pub(crate) async fn send(&self, messages: Vec<ReportAssetsRequest>) -> Result<Vec<ClassResult>, Status> {
        Ok(self.assets.clone().report_assets(futures::stream::iter(messages)).await?.into_inner().results)
    }

    /// Reports items of these classes; the classes are told apart by the items.
    pub(crate) async fn report(&self, host: &Host, classes: &[AssetClass], items: &[AssetItem]) -> Vec<ClassResult> {
        let offers = offers(classes, items);
        let token = self.negotiate(host, offers.clone()).await.unwrap().report_token;
        self.send(messages(host, &token, offers, items)).await.unwrap()
    }

    pub(crate) async fn page(&self, request: ListAssetsRequest) -> Result<ListAssetsResponse, Status> {
        Ok(self.assets.clone().list_assets(request).await?.into_inner())
    }

    /// Lists everything that a request asks for, page by page; the second is the number of pages.
    pub(crate) async fn list(&self, mut request: ListAssetsRequest) -> (Vec<Asset>, usize) {
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let answer = self.page(request.clone()).await.unwrap();
            found.extend(answer.assets);
            pages += 1;
            if answer.next_page_token.is_empty() {
                return (found, pages);
            }
            let page_size = request.page.as_ref().map_or(0, |page| page.page_size);
            request.page = Some(Page { page_size, page_token: answer.next_page_token });
        }
    }

    /// Returns what is stored of a machine in one class.
    pub(crate) async fn stored(&self, host: &Host, class: AssetClass) -> Vec<Asset> {
        let mut request = ask(host.app_id, everything(class));
        request.hosts = Some(HostFilter { machine_ids: vec![host.id.clone()], ..Default::default() });
        request.page = Some(Page { page_size: 1000, ..Default::default() });
        self.list(request).await.0
    }

    /// Lists the values of a class page by page.
    pub(crate) async fn top(&self, mut request: ListTopValuesRequest) -> Vec<(String, u64, u64)> {
        let mut found = Vec::new();
        loop {
            let answer = self.assets.clone().list_top_values(request.clone()).await.unwrap().into_inner();
            found.extend(answer.values.into_iter().map(|v| (v.value, v.machines, v.items)));
            if answer.next_page_token.is_empty() {
                return found;
            }
            let page_size = request.page.as_ref().map_or(0, |page| page.page_size);
            request.page = Some(Page { page_size, page_token: answer.next_page_token });
        }
    }

    /// Lists changes of accounts page by page.
    pub(crate) async fn changes(&self, mut request: ListAccountChangesRequest) -> Vec<AccountChange> {
        let mut found = Vec::new();
        loop {
            let answer = self.assets.clone().list_account_changes(request.clone()).await.unwrap().into_inner();
            found.extend(answer.changes);
            if answer.next_page_token.is_empty() {
                return found;
            }
            let page_size = request.page.as_ref().map_or(0, |page| page.page_size);
            request.page = Some(Page { page_size, page_token: answer.next_page_token });
        }
    }

    /// Counts everything anew.
    pub(crate) async fn check(&self, app_id: u64, repair: bool) -> CheckAssetCountsResponse {
        let request = CheckAssetCountsRequest { app_id, repair, ..Default::default() };
        self.assets.clone().check_asset_counts(request).await.unwrap().into_inner()
    }

    /// Counts items and machines of a class.
    pub(crate) async fn count(&self, app_id: u64, machine_id: &str, class: AssetClass) -> (u64, u64) {
        let count = self.class_count(app_id, machine_id, class).await;
        (count.items, count.machines)
    }

    /// Counts the items of a class that were first seen today.
    pub(crate) async fn new_today(&self, app_id: u64, machine_id: &str, class: AssetClass) -> u64 {
        self.class_count(app_id, machine_id, class).await.new_today
    }

    async fn class_count(&self, app_id: u64, machine_id: &str, class: AssetClass) -> ClassCount {
        let request = ListAssetCountsRequest { app_id, machine_id: machine_id.into() };
        let counts = self.assets.clone().list_asset_counts(request).await.unwrap().into_inner().counts;
        counts.into_iter().find(|c| c.asset_class == class as i32).expect("every class is counted")
    }
}

/// The enrolment of a machine that is found by its name.
pub(crate) fn registration(tenant: &Tenant, name: &str) -> RegisterMachineRequest {
    let facts = MachineFacts {
        name: name.into(),
        ip_addresses: vec!["10.1.2.3".into(), "2001:db8::1".into()],
        machine_type: MachineType::Other.into(),
        os_type: OsType::Linux.into(),
        os_name: "Debian GNU/Linux 13 (trixie)".into(),
        ..Default::default()
    };
    RegisterMachineRequest {
        app_id: tenant.app_id,
        quuid: name.into(),
        instance_nonce: vec![1; 16],
        facts: Some(facts),
        ..Default::default()
    }
}

pub(crate) fn package(name: &str, version: &str) -> AssetItem {
    let package = SystemPackage {
        kind: PackageKind::Dpkg.into(),
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    AssetItem { item: Some(Item::SystemPackage(package)) }
}

pub(crate) fn account(name: &str, uid: u32) -> AssetItem {
    let account = Account {
        name: name.into(),
        uid,
        groups: vec!["users".into()],
        home: format!("/home/{name}"),
        interactive: true,
        ..Default::default()
    };
    AssetItem { item: Some(Item::Account(account)) }
}

pub(crate) fn class_of(item: &AssetItem) -> AssetClass {
    of_item(item.item.as_ref().expect("an item")).class()
}

/// What a host offers: a digest of the items of each class.
pub(crate) fn offers(classes: &[AssetClass], items: &[AssetItem]) -> Vec<ClassDigest> {
    let offer = |class: &AssetClass| {
        let own: Vec<_> = items.iter().filter(|i| class_of(i) == *class).collect();
        let bytes: Vec<u8> = own.iter().flat_map(|i| i.encode_to_vec()).collect();
        let digest = blake3::hash(&bytes).as_bytes().to_vec();
        ClassDigest { asset_class: (*class).into(), digest, items: own.len() as u32, found: 0 }
    };
    classes.iter().map(offer).collect()
}

pub(crate) fn part(host: &Host, part: Part) -> ReportAssetsRequest {
    ReportAssetsRequest { app_id: host.app_id, part: Some(part) }
}

/// Spells the messages of a report.
pub(crate) fn messages(
    host: &Host,
    token: &str,
    classes: Vec<ClassDigest>,
    items: &[AssetItem],
) -> Vec<ReportAssetsRequest> {
    let chunks: Vec<_> = items.chunks(2000).map(|items| ReportChunk { items: items.to_vec() }).collect();
    let header = ReportHeader {
        machine_id: host.id.clone(),
        report_token: token.into(),
        classes,
        declared_bytes: chunks.iter().map(|c| c.encoded_len() as u64).sum(),
    };
    let mut messages = vec![part(host, Part::Header(header))];
    messages.extend(chunks.into_iter().map(|c| part(host, Part::Chunk(c))));
    messages.push(part(host, Part::End(ReportEnd {})));
    messages
}

pub(crate) fn ask(app_id: u64, query: Query) -> ListAssetsRequest {
    ListAssetsRequest { app_id, query: Some(AssetQuery { query: Some(query) }), ..Default::default() }
}

pub(crate) fn exact(text: &str) -> StringMatch {
    StringMatch { how: Some(How::Exact(text.into())) }
}

pub(crate) fn prefix(text: &str) -> StringMatch {
    StringMatch { how: Some(How::Prefix(text.into())) }
}

pub(crate) fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 }
}

/// The name of an item.
pub(crate) fn name(asset: &Asset) -> String {
    match asset.item.as_ref().and_then(|i| i.item.as_ref()) {
        Some(Item::Account(a)) => a.name.clone(),
        Some(Item::SystemPackage(p)) => p.name.clone(),
        _ => panic!("an asset of another class"),
    }
}

/// Permission to look into the database beside the service.
pub(crate) fn scope(tenant: &Tenant) -> TenantScope {
    SystemScope::job(Job::Harness).tenant(AppId::from_request(tenant.app_id).unwrap())
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    let status = result.expect_err("a refusal");
    status::reason(&status).unwrap_or_else(|| panic!("a reason in {status:?}"))
}

/// The wrong fields that a refusal names.
pub(crate) fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.expect_err("a refusal");
    status::violations(&status).into_iter().map(|(field, _)| field).collect()
}
