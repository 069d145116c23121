//! The agent as it is installed on a host: the program `cwpp-collector`, with a token, a spool and a state folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::incidents::v1::{ListIncidentsRequest, incident};
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::{AssetClass, ListAssetCountsRequest, ListMachinesRequest, MachineFacts};
use cwpp_tests::issuer::{self, claims, replace};
use cwpp_tests::process::binary;
use serde_json::{Value, json};

use crate::tokens::Guarded;

const TENANT: u64 = 43;

/// What an agent needs, as the README tells it.
const RIGHTS: [&str; 4] = [
    "inventory.machines.register",
    "inventory.machines.heartbeat",
    "inventory.assets.report",
    "incidents.events.report",
];

/// A host with two accounts, two packages and a log with an attack in it.
fn host(root: &Path) -> anyhow::Result<()> {
    let package =
        |name: &str| format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n\n");
    let now = chrono::Utc::now();
    let guess = |n: i64| {
        let time = (now - chrono::TimeDelta::seconds(60 - n)).format("%Y-%m-%dT%H:%M:%S%.6f%:z");
        format!("{time} web-1 sshd[{}]: Failed password for root from 203.0.113.9 port 41000 ssh2\n", 4100 + n)
    };
    let files = [
        ("etc/hostname", "web-1\n".to_owned()),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n".to_owned()),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\n".to_owned()),
        ("var/lib/dpkg/status", package("bash") + &package("openssl")),
        ("var/log/auth.log", (0..20).map(guess).collect()),
    ];
    for (name, text) in files {
        let file = root.join(name);
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// The agent on a host.
struct Agent {
    arguments: Vec<String>,
    token: PathBuf,
}

impl Agent {
    /// Runs it once; returns what it says of its report.
    fn once(&self) -> anyhow::Result<Value> {
        let output = Command::new(binary("cwpp-collector")?).args(&self.arguments).output()?;
        let log = String::from_utf8(output.stderr)?;
        ensure!(output.status.success() && output.stdout.is_empty(), "{}: {log}", output.status);
        let lines = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let told = lines.into_iter().map(|line| line["fields"].clone()).find(|fields| fields["message"] == "reported");
        told.with_context(|| format!("nothing is said of a report: {log}"))
    }
}

/// What the services have of the tenant.
#[derive(Debug, PartialEq)]
struct Stored {
    machines: Vec<(String, MachineFacts)>,
    /// Items by class.
    counts: Vec<(AssetClass, u64)>,
    /// Attempts by source address.
    attacks: Vec<(String, u64)>,
}

async fn stored(world: &Guarded) -> anyhow::Result<Stored> {
    let inventory = world.services.channel("inventory")?;
    let list = ListMachinesRequest { app_id: TENANT, ..Default::default() };
    let machines = MachineServiceClient::new(inventory.clone()).list_machines(list).await?.into_inner().machines;
    let machines = machines.into_iter().map(|m| (m.machine_id, m.facts.unwrap_or_default())).collect();
    let of = ListAssetCountsRequest { app_id: TENANT, ..Default::default() };
    let counts = AssetServiceClient::new(inventory).list_asset_counts(of).await?.into_inner().counts;
    let counts = counts.into_iter().filter(|c| c.items > 0).map(|c| (c.asset_class(), c.items)).collect();
    let list = ListIncidentsRequest { app_id: TENANT, ..Default::default() };
    let found = IncidentServiceClient::new(world.services.channel("incidents")?).list_incidents(list).await?;
    let attack = |details| match details {
        incident::Details::PasswordCracking(d) => Some((d.source_address, d.attempts)),
        incident::Details::AbnormalLogin(_) => None,
    };
    let attacks = found.into_inner().incidents.into_iter().filter_map(|i| attack(i.details?)).collect();
    Ok(Stored { machines, counts, attacks })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_its_host_reports_it_and_says_nothing_twice() -> anyhow::Result<()> {
    let world = Guarded::start().await?;
    world.services.tenant(TENANT).await?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    host(&file("root"))?;
    let mut arguments = vec!["report".to_owned(), "--once".to_owned(), format!("--app-id={TENANT}")];
    for name in ["inventory", "incidents"] {
        arguments.push(format!("--{name}={}", world.services.target(name)?));
    }
    for (flag, name) in [
        ("root", "root"),
        ("auth-log", "root/var/log/auth.log"),
        ("spool", "spool"),
        ("state", "state"),
        ("token-file", "token"),
    ] {
        arguments.push(format!("--{flag}={}", file(name).display()));
    }
    let agent = Agent { arguments, token: file("token") };

    // Before the host is enrolled, there is no machine that a token could be bound to.
    let mut first = claims("service", json!([TENANT]), &RIGHTS);
    first["exp"] = json!(chrono::Utc::now().timestamp() + 60);
    replace(&agent.token, &world.issuer.token(&first)?)?;
    let told = agent.once()?;
    assert_eq!((&told["created"], &told["written"]), (&json!(true), &json!(4)), "{told}");
    let there = stored(&world).await?;
    let [(machine_id, facts)] = there.machines.as_slice() else { anyhow::bail!("one machine: {there:?}") };
    assert_eq!((&json!(machine_id), facts.name.as_str()), (&told["machine_id"], "web-1"));
    assert_eq!(there.counts, [(AssetClass::Account, 2), (AssetClass::SystemPackage, 2)]);
    assert_eq!(there.attacks, [("203.0.113.9".to_owned(), 20)]);

    // From then on it has a token of its machine alone.
    let mut own = claims("agent", json!([TENANT]), &RIGHTS);
    own["cwpp_machine_id"] = told["machine_id"].clone();
    replace(&agent.token, &world.issuer.token(&own)?)?;
    let again = agent.once()?;
    assert_eq!((&again["created"], &again["written"]), (&json!(false), &json!(0)), "{again}");
    assert_eq!(again["machine_id"], told["machine_id"]);
    assert_eq!(stored(&world).await?, there);

    // A token of another machine's is of no use on this host.
    own["cwpp_machine_id"] = json!(uuid::Uuid::now_v7().to_string());
    replace(&agent.token, &world.issuer.token(&own)?)?;
    let error = agent.once().expect_err("another machine's token").to_string();
    assert!(error.contains("PERMISSION_DENIED"), "{error}");
    // Nor is one that nobody signed, and the program says so and ends.
    replace(&agent.token, &issuer::Issuer::new("first", 2).token(&own)?)?;
    let error = agent.once().expect_err("a forged token").to_string();
    assert!(error.contains("UNAUTHENTICATED"), "{error}");
    assert_eq!(stored(&world).await?, there);
    world.services.end().await
}
