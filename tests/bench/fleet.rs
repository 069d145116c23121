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
use prost::Message;
use tonic::transport::Channel;
use uuid::Uuid;

const TENANT: u64 = 77;

/// Machines of one tenant, each with its own items.
pub(crate) struct Fleet {
    assets: AssetServiceClient<Channel>,
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
    /// Opens the tenant, registers the machines and makes up their items.
    pub(crate) async fn enrol(
        address: SocketAddr,
        machines: usize,
        accounts: usize,
        packages: usize,
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
            let (items, classes) = items(n, accounts, packages);
            enrolled.push(Machine { id, items, classes });
        }
        Ok(Self { assets: AssetServiceClient::new(channel), machines: enrolled })
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
    async fn report(&self, mut client: AssetServiceClient<Channel>, retries: &AtomicU64) -> anyhow::Result<Outcome> {
        loop {
            let request = NegotiateReportRequest {
                app_id: TENANT,
                machine_id: self.id.clone(),
                classes: self.classes.clone(),
                observed_time: Some(std::time::SystemTime::now().into()),
            };
            let answer = client.negotiate_report(request).await?.into_inner();
            let wanted = answer.decisions.iter().filter(|d| d.decision() == Decision::Send).count();
            if wanted == 0 {
                return Ok(Outcome::Unchanged);
            }
            anyhow::ensure!(wanted == self.classes.len(), "only some classes are wanted");
            match client.report_assets(futures::stream::iter(self.stream(answer.report_token))).await {
                Ok(_) => return Ok(Outcome::Applied),
                Err(status) => match cwpp_chassis::status::reason(&status) {
                    Some(Reason::ReportBudget | Reason::Conflict | Reason::Overloaded) => {
                        retries.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(
                            cwpp_chassis::status::retry_delay(&status).unwrap_or(Duration::from_millis(100)),
                        )
                        .await;
                    }
                    _ => return Err(status.into()),
                },
            }
        }
    }

    fn stream(&self, report_token: String) -> Vec<ReportAssetsRequest> {
        let mut parts = Vec::new();
        let chunks: Vec<_> = self.items.chunks(500).map(|items| ReportChunk { items: items.to_vec() }).collect();
        let declared_bytes = chunks.iter().map(|c| c.encoded_len() as u64).sum();
        let header =
            ReportHeader { machine_id: self.id.clone(), report_token, classes: self.classes.clone(), declared_bytes };
        parts.push(report_assets_request::Part::Header(header));
        parts.extend(chunks.into_iter().map(report_assets_request::Part::Chunk));
        parts.push(report_assets_request::Part::End(ReportEnd {}));
        parts.into_iter().map(|part| ReportAssetsRequest { app_id: TENANT, part: Some(part) }).collect()
    }
}

/// Makes up the items of machine `n`: the same names on every machine, as on a real fleet, and own homes.
fn items(n: usize, accounts: usize, packages: usize) -> (Vec<AssetItem>, Vec<ClassDigest>) {
    let mut items = Vec::with_capacity(accounts + packages);
    for i in 0..accounts {
        let account = Account {
            name: format!("user{i}"),
            uid: 1000 + i as u32,
            gid: 1000 + i as u32,
            group_name: format!("user{i}"),
            groups: vec!["adm".into(), "users".into()],
            home: format!("/home/host-{n}/user{i}"),
            shell: "/bin/bash".into(),
            comment: format!("User number {i}"),
            enabled: Some(true),
            sudo: Some(i == 0),
            interactive: true,
            login_type: LoginType::Password.into(),
            password_status: PasswordStatus::Normal.into(),
            ..Default::default()
        };
        items.push(AssetItem { item: Some(asset_item::Item::Account(account)) });
    }
    for i in 0..packages {
        let version = format!("{}.{}.{}-{}+deb12u{}", i % 7, i % 13, (i + n % 3) % 17, i % 5 + 1, i % 4);
        let package = SystemPackage {
            kind: PackageKind::Dpkg.into(),
            name: format!("libexample-package-{i}"),
            purl: format!("pkg:deb/debian/libexample-package-{i}@{version}?arch=amd64"),
            version,
            architecture: "amd64".into(),
            source_name: format!("example-source-{}", i / 3),
            install_time: Some(prost_types::Timestamp { seconds: 1_750_000_000 + i as i64, nanos: 0 }),
            ..Default::default()
        };
        items.push(AssetItem { item: Some(asset_item::Item::SystemPackage(package)) });
    }
    let digest = |class: AssetClass, count: usize| ClassDigest {
        asset_class: class.into(),
        digest: bytes32(n),
        items: count as u32,
        found: 0,
    };
    (items, vec![digest(AssetClass::Account, accounts), digest(AssetClass::SystemPackage, packages)])
}

/// Returns 32 bytes that differ per machine; the service takes digests as opaque.
fn bytes32(n: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    bytes
}
