//! A machine of our own making that reports accounts and packages, and what is stored of it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context;
use cwpp_chassis::client::Channel;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::*;
use prost::Message;
use tonic::Status;

/// A machine that is registered.
#[derive(Clone)]
pub struct Host {
    /// The service that it reports to.
    pub assets: AssetServiceClient<Channel>,
    /// Its id.
    pub machine_id: String,
    /// Its tenant.
    pub app_id: u64,
}

/// What a machine has: accounts and packages, named by number, all of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Numbers of its accounts.
    pub accounts: Range<u32>,
    /// Numbers of its packages.
    pub packages: Range<u32>,
    /// The version of its packages, and the shell of its accounts.
    pub version: &'static str,
}

/// Makes a package.
pub fn package(name: &str, version: &str) -> AssetItem {
    let package = SystemPackage {
        kind: PackageKind::Dpkg.into(),
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    AssetItem { item: Some(asset_item::Item::SystemPackage(package)) }
}

/// Makes an account.
pub fn account(name: &str, shell: &str) -> AssetItem {
    let account = Account { name: name.into(), shell: shell.into(), ..Default::default() };
    AssetItem { item: Some(asset_item::Item::Account(account)) }
}

impl Content {
    /// Returns its items, accounts first.
    pub fn items(&self) -> Vec<AssetItem> {
        let accounts = self.accounts.clone().map(|n| account(&format!("user-{n:05}"), self.version));
        accounts.chain(self.packages.clone().map(|n| package(&format!("package-{n:05}"), self.version))).collect()
    }

    /// Returns the digests; any two contents differ in them.
    pub fn digests(&self) -> Vec<ClassDigest> {
        let digest = |class: AssetClass, numbers: &Range<u32>| {
            let mut digest = format!("{numbers:?} {}", self.version).into_bytes();
            digest.resize(32, 0);
            let items = numbers.len() as u32;
            ClassDigest { asset_class: class.into(), digest, items, found: 0 }
        };
        vec![digest(AssetClass::Account, &self.accounts), digest(AssetClass::SystemPackage, &self.packages)]
    }

    /// Returns what is listed of it: the version by the name.
    pub fn listed(&self) -> BTreeMap<String, String> {
        self.items().into_iter().filter_map(named).collect()
    }
}

/// Returns the name of an item, and what tells one content from another.
fn named(item: AssetItem) -> Option<(String, String)> {
    let item = item.item?;
    if let asset_item::Item::Account(account) = item {
        return Some((account.name, account.shell));
    }
    // Items of other classes are not reported by a host of this kind.
    if let asset_item::Item::SystemPackage(package) = item { Some((package.name, package.version)) } else { None }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("app_id", &self.app_id).field("machine_id", &self.machine_id).finish()
    }
}

impl Host {
    /// Registers a machine.
    pub async fn enrol(inventory: Channel, app_id: u64, name: &str) -> Result<Self, Status> {
        let facts = MachineFacts {
            name: name.into(),
            ip_addresses: vec!["10.1.2.3".into()],
            machine_type: MachineType::Other.into(),
            os_type: OsType::Linux.into(),
            ..Default::default()
        };
        let request = RegisterMachineRequest { app_id, quuid: name.into(), facts: Some(facts), ..Default::default() };
        let answer = MachineServiceClient::new(inventory.clone()).register_machine(request).await?.into_inner();
        let machine_id = answer.machine.unwrap_or_default().machine_id;
        Ok(Self { assets: AssetServiceClient::new(inventory), machine_id, app_id })
    }

    /// Reports to another replica from now on.
    #[must_use]
    pub fn at(&self, inventory: Channel) -> Self {
        Self { assets: AssetServiceClient::new(inventory), ..self.clone() }
    }

    /// Asks what is to be sent of these classes.
    pub async fn negotiate(&mut self, classes: Vec<ClassDigest>) -> Result<NegotiateReportResponse, Status> {
        let (app_id, machine_id) = (self.app_id, self.machine_id.clone());
        let request = NegotiateReportRequest { app_id, machine_id, classes, ..Default::default() };
        Ok(self.assets.negotiate_report(request).await?.into_inner())
    }

    /// Says whether that is what is stored, by the service's own account.
    pub async fn has(&mut self, content: &Content) -> Result<bool, Status> {
        let answer = self.negotiate(content.digests()).await?;
        Ok(answer.decisions.iter().all(|d| d.decision() == Decision::Unchanged))
    }

    /// Spells the messages of a report, so many items a chunk.
    pub fn messages(
        &self,
        token: &str,
        classes: Vec<ClassDigest>,
        items: &[AssetItem],
        chunk: usize,
    ) -> Vec<ReportAssetsRequest> {
        let chunks: Vec<_> = items.chunks(chunk).map(|items| ReportChunk { items: items.to_vec() }).collect();
        let header = ReportHeader {
            machine_id: self.machine_id.clone(),
            report_token: token.into(),
            classes,
            declared_bytes: chunks.iter().map(|c| c.encoded_len() as u64).sum(),
        };
        let parts = chunks.into_iter().map(Part::Chunk);
        std::iter::once(Part::Header(header))
            .chain(parts)
            .chain([Part::End(ReportEnd {})])
            .map(|part| ReportAssetsRequest { app_id: self.app_id, part: Some(part) })
            .collect()
    }

    /// Sends a report.
    pub async fn send(&mut self, messages: Vec<ReportAssetsRequest>) -> Result<Vec<ClassResult>, Status> {
        Ok(self.assets.report_assets(futures::stream::iter(messages)).await?.into_inner().results)
    }

    /// Reports what it has.
    pub async fn report(&mut self, content: &Content) -> Result<Vec<ClassResult>, Status> {
        let token = self.negotiate(content.digests()).await?.report_token;
        self.send(self.messages(&token, content.digests(), &content.items(), 500)).await
    }

    /// Exports all that is stored of one class.
    pub async fn export(&mut self, query: asset_query::Query) -> Result<Vec<Asset>, Status> {
        let hosts = HostFilter { machine_ids: vec![self.machine_id.clone()], ..Default::default() };
        let query = Some(AssetQuery { query: Some(query) });
        let request = ExportAssetsRequest { app_id: self.app_id, query, hosts: Some(hosts), ..Default::default() };
        let mut parts = self.assets.export_assets(request).await?.into_inner();
        let mut assets = Vec::new();
        while let Some(part) = parts.message().await? {
            assets.extend(part.assets);
        }
        Ok(assets)
    }

    /// Lists all that is stored: the version by the name.
    pub async fn stored(&mut self) -> Result<BTreeMap<String, String>, Status> {
        let mut assets = self.export(asset_query::Query::Account(AccountQuery::default())).await?;
        assets.extend(self.export(asset_query::Query::SystemPackage(SystemPackageQuery::default())).await?);
        Ok(assets.into_iter().filter_map(|asset| named(asset.item?)).collect())
    }

    /// Counts all that is stored of its tenant anew, and returns where the kept counts differ.
    pub async fn differences(&mut self) -> Result<Vec<CountDifference>, Status> {
        let request = CheckAssetCountsRequest { app_id: self.app_id, ..Default::default() };
        Ok(self.assets.check_asset_counts(request).await?.into_inner().differences)
    }

    /// Returns the counts of the classes that have any, of the machine and of its tenant.
    pub async fn counted(&mut self) -> anyhow::Result<[BTreeMap<i32, u64>; 2]> {
        let of = |machine_id: String| ListAssetCountsRequest { app_id: self.app_id, machine_id };
        let mut counted = Vec::new();
        for request in [of(self.machine_id.clone()), of(String::new())] {
            let counts = self.assets.list_asset_counts(request).await?.into_inner().counts;
            counted.push(counts.into_iter().filter(|c| c.items > 0).map(|c| (c.asset_class, c.items)).collect());
        }
        counted.try_into().ok().context("two counts")
    }
}
