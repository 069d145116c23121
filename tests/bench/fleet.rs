//! Machines that report, from the client's side.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use cwpp_chassis::Reason;
use cwpp_contracts::erasure::v1::OpenTenantRequest;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::of_item;
use prost::Message;
use tonic::transport::Channel;
use uuid::Uuid;

pub(crate) const TENANT: u64 = 77;

/// Machines of one tenant, each with its own items.
pub(crate) struct Fleet {
    pub(crate) assets: AssetServiceClient<Channel>,
    machines: Vec<Machine>,
}

struct Machine {
    id: String,
    items: Vec<AssetItem>,
    classes: Vec<ClassDigest>,
}

/// What a round of reports came to.
pub(crate) struct Round {
    pub(crate) time: Duration,
    pub(crate) applied: usize,
    pub(crate) unchanged: usize,
    pub(crate) retries: u64,
}

enum Outcome {
    Applied,
    Unchanged,
}

impl Fleet {
    /// Waits until the service has its connections to the server again, by questions that read no asset.
    pub(crate) async fn wake(&self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let ask = |_| {
                let mut assets = self.assets.clone();
                async move {
                    assets.list_asset_counts(ListAssetCountsRequest { app_id: TENANT, ..Default::default() }).await
                }
            };
            let answers = futures::future::join_all((0..16).map(ask)).await;
            match answers.into_iter().find_map(Result::err) {
                None => return Ok(()),
                Some(error) if Instant::now() > until => return Err(error.into()),
                Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Opens the tenant, registers the machines and makes up their items.
    pub(crate) async fn enrol(
        address: SocketAddr,
        machines: usize,
        items: impl Fn(usize) -> Vec<AssetItem>,
    ) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        let open = OpenTenantRequest { app_id: TENANT, incarnation: Uuid::now_v7().to_string() };
        ErasureServiceClient::new(channel.clone()).open_tenant(open).await?;
        let mut client = MachineServiceClient::new(channel.clone());
        let mut enrolled = Vec::new();
        for n in 0..machines {
            let facts = MachineFacts {
                name: format!("host-{n}"),
                ip_addresses: vec![format!("10.0.{}.{}", n / 256, n % 256)],
                machine_type: MachineType::Other.into(),
                os_type: OsType::Linux.into(),
                os_name: "Debian GNU/Linux 12 (bookworm)".into(),
                kernel_version: "6.1.0-38-amd64".into(),
                architecture: "x86_64".into(),
                agent_version: "0.1.0".into(),
                ..Default::default()
            };
            let request = RegisterMachineRequest {
                app_id: TENANT,
                host_id_hash: bytes32(n),
                instance_nonce: vec![7; 16],
                facts: Some(facts),
                observed_time: Some(std::time::SystemTime::now().into()),
                ..Default::default()
            };
            let id = client.register_machine(request).await?.into_inner().machine.context("a machine")?.machine_id;
            let items = items(n);
            enrolled.push(Machine { id, classes: offers(&items), items });
        }
        Ok(Self { assets: AssetServiceClient::new(channel), machines: enrolled })
    }

    /// Gives every machine other items.
    pub(crate) fn change(&mut self, items: impl Fn(usize) -> Vec<AssetItem>) {
        for (n, machine) in self.machines.iter_mut().enumerate() {
            machine.items = items(n);
            machine.classes = offers(&machine.items);
        }
    }

    /// Lets every machine report once, this many at a time.
    pub(crate) async fn report(&self, callers: usize) -> anyhow::Result<Round> {
        let (next, retries) = (AtomicUsize::new(0), AtomicU64::new(0));
        let start = Instant::now();
        let caller = || async {
            let (mut applied, mut unchanged) = (0, 0);
            while let Some(machine) = self.machines.get(next.fetch_add(1, Ordering::Relaxed)) {
                match machine.report(self.assets.clone(), &retries).await? {
                    Outcome::Applied => applied += 1,
                    Outcome::Unchanged => unchanged += 1,
                }
            }
            anyhow::Ok((applied, unchanged))
        };
        let done = futures::future::try_join_all((0..callers).map(|_| caller())).await?;
        Ok(Round {
            time: start.elapsed(),
            applied: done.iter().map(|d| d.0).sum(),
            unchanged: done.iter().map(|d| d.1).sum(),
            retries: retries.into_inner(),
        })
    }
}

impl Machine {
    /// Reports, and again as long as the service asks for that.
    async fn report(&self, client: AssetServiceClient<Channel>, retries: &AtomicU64) -> anyhow::Result<Outcome> {
        loop {
            let status = match self.attempt(client.clone()).await {
                Ok(outcome) => return Ok(outcome),
                Err(status) => status,
            };
            match cwpp_chassis::status::reason(&status) {
                Some(Reason::ReportBudget | Reason::Conflict | Reason::Overloaded) => {
                    retries.fetch_add(1, Ordering::Relaxed);
                    let wait = cwpp_chassis::status::retry_delay(&status).unwrap_or(Duration::from_millis(100));
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(status.into()),
            }
        }
    }

    async fn attempt(&self, mut client: AssetServiceClient<Channel>) -> Result<Outcome, tonic::Status> {
        let request = NegotiateReportRequest {
            app_id: TENANT,
            machine_id: self.id.clone(),
            classes: self.classes.clone(),
            observed_time: Some(std::time::SystemTime::now().into()),
            ..Default::default()
        };
        let answer = client.negotiate_report(request).await?.into_inner();
        let decided = answer.decisions.iter().filter(|d| d.decision() == Decision::Send);
        let wanted: Vec<i32> = decided.map(|d| d.asset_class).collect();
        if wanted.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        client.report_assets(futures::stream::iter(self.stream(answer.report_token, &wanted))).await?;
        Ok(Outcome::Applied)
    }

    fn stream(&self, report_token: String, wanted: &[i32]) -> Vec<ReportAssetsRequest> {
        let mut parts = Vec::new();
        let is_wanted =
            |item: &&AssetItem| item.item.as_ref().is_some_and(|i| wanted.contains(&(of_item(i).class() as i32)));
        let items: Vec<AssetItem> = self.items.iter().filter(is_wanted).cloned().collect();
        let classes = self.classes.iter().filter(|c| wanted.contains(&c.asset_class)).cloned().collect();
        let chunks: Vec<_> = items.chunks(500).map(|items| ReportChunk { items: items.to_vec() }).collect();
        let declared_bytes = chunks.iter().map(|c| c.encoded_len() as u64).sum();
        let header = ReportHeader { machine_id: self.id.clone(), report_token, classes, declared_bytes };
        parts.push(report_assets_request::Part::Header(header));
        parts.extend(chunks.into_iter().map(report_assets_request::Part::Chunk));
        parts.push(report_assets_request::Part::End(ReportEnd {}));
        parts.into_iter().map(|part| ReportAssetsRequest { app_id: TENANT, part: Some(part) }).collect()
    }
}

/// Returns 32 bytes that differ per machine.
fn bytes32(n: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    bytes
}

/// Offers the classes of items that stand class by class; the service takes digests as opaque.
fn offers(items: &[AssetItem]) -> Vec<ClassDigest> {
    let class = |item: &AssetItem| item.item.as_ref().map(|item| of_item(item).class());
    let one = |items: &[AssetItem]| {
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.encode_raw(&mut bytes));
        let digest = blake3::hash(&bytes).as_bytes().to_vec();
        let asset_class = items.first().and_then(class).unwrap_or_default().into();
        ClassDigest { asset_class, digest, items: items.len() as u32, found: 0 }
    };
    items.chunk_by(|a, b| class(a) == class(b)).map(one).collect()
}
