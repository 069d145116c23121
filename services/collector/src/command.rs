//! The command: arguments and what they do, for the collector's own binary and for `cwpp collect`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::Utc;
use clap::ValueEnum;

use cwpp_chassis::client::{Channel, ClientConfig};

use crate::authlog::{self, Reader, YearRule, Zone};
use crate::class::Class;
use crate::report::{Agent, Identity, Intervals, MachineType, Placement, Reporter};
use crate::spool::Spool;
use crate::{Cost, Host, Root, collect, print_class, print_cost, print_overview, print_snapshot};

/// Reads this host, or a log, and prints what it found. Nothing is sent anywhere.
#[derive(Debug, Clone, clap::Args)]
pub struct CollectArgs {
    /// Print JSON, one object a line, instead of a table. The events of a log are always JSON.
    #[arg(long)]
    pub json: bool,
    /// The file tree to read.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Show the items of this class, instead of how many each has.
    #[arg(long, value_name = "CLASS", conflicts_with_all = ["json", "auth_log"], value_parser = class_of)]
    pub class: Option<Class>,
    /// Read this log of sshd and print its events, instead of the host.
    #[arg(long, value_name = "FILE")]
    pub auth_log: Option<PathBuf>,
    /// The year of the log's first line, for logs that write none; else the latest that fits.
    #[arg(long, value_name = "YEAR", requires = "auth_log", value_parser = clap::value_parser!(i32).range(1970..=9998))]
    pub year: Option<i32>,
    /// Print last what the reading cost: processor time and the most memory (JSON: `"record":"cost"`).
    #[arg(long, conflicts_with = "auth_log")]
    pub cost: bool,
}

impl CollectArgs {
    /// Does what the arguments ask for: prints tables, or JSON.
    pub fn run(&self, out: impl Write) -> anyhow::Result<()> {
        let mut out = BufWriter::new(out);
        let root = Root::new(&self.root);
        let printed = match &self.auth_log {
            None => self.host(&root, &mut out),
            Some(path) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                // A log that was put aside ends in the year in which it was last written.
                let written = file.metadata()?.modified().map_or_else(|_| Utc::now(), chrono::DateTime::from);
                let year = self.year.map_or(YearRule::Before(written), YearRule::First);
                let mut reader = Reader::new(Zone::of(&root), year);
                let mut result = Ok(());
                authlog::read_events(BufReader::new(file), &mut reader, |event| {
                    if result.is_ok() {
                        result = authlog::print_events([&event], &mut out);
                    }
                })
                .with_context(|| format!("cannot read {}", path.display()))?;
                result
            }
        };
        match printed.and_then(|()| out.flush()) {
            // The reader of the output has seen enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

impl CollectArgs {
    fn host(&self, root: &Root, mut out: impl Write) -> io::Result<()> {
        match self.class {
            Some(class) => print_class(&class.read(&Host::new(root, Utc::now())), &mut out)?,
            None if self.json => print_snapshot(&collect(root, Utc::now()), &mut out)?,
            None => print_overview(&collect(root, Utc::now()), &mut out)?,
        }
        match (self.cost, self.json) {
            (false, _) => Ok(()),
            (true, true) => Cost::read().print(out),
            (true, false) => print_cost(&Cost::read(), out),
        }
    }
}

/// A class by its name.
fn class_of(name: &str) -> Result<Class, String> {
    let names = || Class::ALL.map(Class::name).join(", ");
    Class::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| format!("the classes are {}", names()))
}

/// A value that an environment may leave empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<T>(pub Option<T>);

fn machine_type_of(name: &str) -> Result<Told<MachineType>, String> {
    let names = || MachineType::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let known = || names().map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(", ");
    match name {
        "" => Ok(Told(None)),
        name => {
            MachineType::from_str(name, true).map(|of| Told(Some(of))).map_err(|_| format!("the types are {}", known()))
        }
    }
}

fn address_of(text: &str) -> Result<Told<IpAddr>, String> {
    match text {
        "" => Ok(Told(None)),
        text => text.parse().map(|of| Told(Some(of))).map_err(|_| "such as 203.0.113.7 or 2001:db8::1".to_owned()),
    }
}

/// The tenant, and how the services are reached.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The tenant.
    #[arg(long, value_name = "ID", env = "CWPP_APP_ID")]
    pub app_id: u64,
    /// Where the inventory service is.
    #[arg(long, value_name = "URL", env = "CWPP_INVENTORY", default_value = "http://127.0.0.1:50051")]
    pub inventory: String,
    /// The file with the bearer token; read again when it changes.
    #[arg(long, value_name = "FILE", env = "CWPP_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The authorities that the services' certificates are checked against (PEM).
    #[arg(long, value_name = "FILE", env = "CWPP_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate (PEM).
    #[arg(long, value_name = "FILE", env = "CWPP_CERT_FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// The client's private key (PEM).
    #[arg(long, value_name = "FILE", env = "CWPP_KEY_FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
}

impl ServerArgs {
    fn connect(&self, target: &str) -> anyhow::Result<Channel> {
        let config = ClientConfig {
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            ..ClientConfig::default()
        };
        Channel::connect_lazy(target, &config)?.with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)
    }
}

/// Reads this host and reports it: once, or on and on as an agent.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// The tenant, and how the services are reached.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Where the incidents service is.
    #[arg(long, value_name = "URL", env = "CWPP_INCIDENTS", default_value = "http://127.0.0.1:50052")]
    pub incidents: String,
    /// The cloud's id of the instance, if there is one.
    #[arg(long, value_name = "ID", env = "CWPP_QUUID")]
    pub quuid: Option<String>,
    /// What kind of server it is, instead of what the firmware says.
    #[arg(long, value_name = "TYPE", env = "CWPP_MACHINE_TYPE", value_parser = machine_type_of)]
    pub machine_type: Option<Told<MachineType>>,
    /// The cloud, instead of the one that the firmware or cloud-init knows.
    #[arg(long, value_name = "NAME", env = "CWPP_PROVIDER")]
    pub provider: Option<String>,
    /// The cloud's region, instead of the one that cloud-init knows.
    #[arg(long, value_name = "NAME", env = "CWPP_REGION")]
    pub region: Option<String>,
    /// The instance's id for people, instead of the one that the firmware or cloud-init knows.
    #[arg(long, value_name = "ID", env = "CWPP_INSTANCE_ID")]
    pub instance_id: Option<String>,
    /// The address by which the machine is reached from outside, instead of the one that cloud-init knows.
    #[arg(long, value_name = "ADDRESS", env = "CWPP_PUBLIC_ADDRESS", value_parser = address_of)]
    pub public_address: Option<Told<IpAddr>>,
    /// The file tree to read.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The log of sshd whose events are sent.
    #[arg(long, value_name = "FILE", requires = "spool")]
    pub auth_log: Option<PathBuf>,
    /// The directory in which the events wait; it must survive a restart.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// The directory in which the agent keeps when it was installed, which machine it is, and what the server gave it, should
    /// this host be a clone of another; that of the spool unless told. It must survive a restart.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Read and send everything once, then stop.
    #[arg(long)]
    pub once: bool,
}

impl ReportArgs {
    /// Reports once, or until the future is dropped.
    pub async fn run(&self) -> anyhow::Result<()> {
        let (inventory, incidents) =
            (self.server.connect(&self.server.inventory)?, self.server.connect(&self.incidents)?);
        let placement = Placement {
            machine_type: self.machine_type.and_then(|told| told.0),
            provider: self.provider.clone(),
            region: self.region.clone(),
            instance_id: self.instance_id.clone(),
            public_address: self.public_address.and_then(|told| told.0),
        };
        let mut reporter =
            Reporter::new(self.server.app_id, self.quuid.clone(), inventory, incidents).placed(placement);
        if let Some(directory) = self.state.as_ref().or(self.spool.as_ref()) {
            reporter = reporter.keeping(state(directory)?);
        }
        let root = Root::new(&self.root);
        let spool = match (&self.auth_log, &self.spool) {
            (Some(log), Some(directory)) => Some(Spool::open(directory, log, Zone::of(&root))?),
            _ => None,
        };
        let mut agent = Agent::new(root, reporter, spool, Intervals::default());
        if self.once {
            return Ok(agent.once().await?);
        }
        agent.run().await;
        Ok(())
    }
}

/// Tells that the agent was uninstalled, of the machine that it enrolled as its state folder says. The agent is stopped
/// before.
#[derive(Debug, Clone, clap::Args)]
pub struct UnregisterArgs {
    /// The tenant, and how the services are reached.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The directory in which the agent kept which machine it is (its `--state`, else its `--spool`).
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
}

impl UnregisterArgs {
    /// Tells it once.
    pub async fn run(&self) -> anyhow::Result<()> {
        let inventory = self.server.connect(&self.server.inventory)?;
        let reporter = Reporter::new(self.server.app_id, None, inventory.clone(), inventory);
        Ok(reporter.keeping(state(&self.state)?).unregister().await?)
    }
}

fn state(directory: &Path) -> anyhow::Result<Identity> {
    Identity::open(directory).with_context(|| format!("cannot use {} as the state folder", directory.display()))
}
