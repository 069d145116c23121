//! Sends what was read: enrols the machine, tells that it is alive, reports its classes and its authentication events.
//!
//! A class is sent only if the server asks for it, and only if it could be read: of one that is unreadable or whose source
//! is not there the reason is sent, so that the server does not take it for empty. One that the tenant switched off is not
//! read.

mod agent;
mod assets;
mod convert;
mod events;
mod identity;
mod prepare;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use cwpp_chassis::client::Channel;
use cwpp_chassis::{Reason, status};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::inventory::v1 as inventory;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use serde::Serialize;

use assets::Refusal;

use crate::class::Class;
use crate::machine::Load;
use crate::spool::SpoolError;
use crate::{Root, Snapshot};

pub use agent::{Agent, Intervals};
pub use events::Sent;
pub use identity::Identity;

/// Why something could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The host has neither a machine id nor a name by which it could be found again.
    #[error("the host has neither a machine id nor a name")]
    NoIdentity,
    /// The machine was not enrolled before.
    #[error("the machine is not enrolled")]
    NotRegistered,
    /// The service refused or could not be reached.
    #[error("{}: {}", reason_of(.0), .0.message())]
    Status(Box<tonic::Status>),
    /// Another agent speaks for the machine as well, and it is not settled which of them keeps it.
    #[error("another agent speaks for this machine; until that is settled nothing is reported")]
    Contested,
    /// What the server gave this host could not be kept or read.
    #[error("the state folder: {0}")]
    State(std::io::Error),
    /// Some of what was read was refused.
    #[error("the server refused some of what was read")]
    Refused,
    /// Reading the host failed by a fault of the collector's own.
    #[error("the host could not be read: {0}")]
    Collect(#[from] tokio::task::JoinError),
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The two sides do not come to agree on the numbers of a spool.
    #[error("the server does not take the spool's events")]
    SpoolRefused,
}

impl From<tonic::Status> for ReportError {
    fn from(status: tonic::Status) -> Self {
        ReportError::Status(Box::new(status))
    }
}

impl ReportError {
    /// The reason of the error catalogue, when the service gave one.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            ReportError::Status(status) => status::reason(status),
            _ => None,
        }
    }
}

fn reason_of(status: &tonic::Status) -> String {
    status::reason(status).map_or_else(|| format!("{:?}", status.code()), |reason| reason.as_str().to_owned())
}

/// The answer to an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The server's id of the machine.
    pub machine_id: String,
    /// Whether it is new.
    pub created: bool,
    /// Whether another agent speaks for it as well, so that nothing is taken from this one yet.
    pub contested: bool,
}

/// What a sign of life is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// All is well.
    Well,
    /// The machine has to be enrolled again: the server does not know it any more, or its id belongs to the host that this
    /// one is a clone of.
    Lost,
    /// Another agent speaks for the machine as well, and it is not settled which of them keeps it.
    Contested,
}

/// What became of a class of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum ClassReport {
    /// The server has the same already.
    Unchanged,
    /// The tenant switched the class off.
    Disabled,
    /// It was sent.
    Sent {
        /// Items that are new.
        added: u32,
        /// Items that changed.
        changed: u32,
        /// Items that are gone.
        removed: u32,
        /// Items left alone.
        unchanged: u32,
        /// Whether the host has more items than were sent.
        truncated: bool,
        /// Texts that were cut to their limit.
        clipped: u32,
    },
    /// The server refused it, now or the same within the last day.
    Refused {
        /// Why.
        reason: String,
    },
    /// It could not be read on the host.
    NotRead {
        /// Why.
        reason: String,
    },
}

/// Which classes the tenant wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those to read.
    pub on: Vec<Class>,
    /// Those that are switched off.
    pub off: Vec<Class>,
    /// How often classes are wanted, where the tenant says so.
    pub intervals: HashMap<Class, Duration>,
}

/// What became of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each class of the snapshot, in its order.
    pub classes: Vec<(Class, ClassReport)>,
    /// Whether the host's clock is more than a day off.
    pub clock_clamped: bool,
    /// How often classes are wanted, where the tenant says so.
    #[serde(skip)]
    pub intervals: HashMap<Class, Duration>,
}

impl Report {
    /// How many items the report changed on the server.
    pub fn written(&self) -> u64 {
        let written = |(_, class): &(Class, ClassReport)| match class {
            ClassReport::Sent { added, changed, removed, .. } => {
                u64::from(*added) + u64::from(*changed) + u64::from(*removed)
            }
            _ => 0,
        };
        self.classes.iter().map(written).sum()
    }
}

/// The state of a part of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentState {
    /// It works.
    Running,
    /// It is switched off.
    Stopped,
    /// It should work and does not.
    Failed,
}

/// What kind of server a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MachineType {
    /// A virtual machine of a public cloud.
    Vm,
    /// A bare-metal server of a public cloud.
    BareMetal,
    /// A server at the edge.
    Edge,
    /// A lightweight application server.
    Lighthouse,
    /// A server elsewhere.
    Other,
}

/// Where a machine runs, for those who know it better than the machine. What is absent is as the machine finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// What kind of server it is.
    pub machine_type: Option<MachineType>,
    /// The cloud, in lower case; at most 63 bytes are told.
    pub provider: Option<String>,
    /// The cloud's region; at most 63 bytes are told.
    pub region: Option<String>,
    /// The instance's id for people; at most 63 bytes are told.
    pub instance_id: Option<String>,
    /// The address by which it is reached from outside.
    pub public_address: Option<IpAddr>,
}

/// Reports one machine of one tenant.
#[derive(Clone)]
pub struct Reporter {
    app_id: u64,
    quuid: String,
    placement: Placement,
    /// Drawn once per start; tells a cloned machine from this one.
    nonce: [u8; 16],
    machine_id: Option<String>,
    /// Whether the server takes reports from this agent.
    contested: bool,
    /// Whether the tenant switched the accounts off; what is told of them with the facts then stays here.
    accounts_off: bool,
    identity: Option<Identity>,
    components: Vec<inventory::AgentComponent>,
    /// What tells this host from the one that it is a clone of, where no folder keeps it.
    distinct_id: Vec<u8>,
    refused: HashMap<Class, Refusal>,
    machines: MachineServiceClient<Channel>,
    assets: AssetServiceClient<Channel>,
    incidents: IncidentServiceClient<Channel>,
}

impl Reporter {
    /// A reporter over connections to inventory and incidents. `quuid` is the cloud's id of the instance, if there is
    /// one. The connections should know the contracts ([`Channel::with_descriptor`]).
    pub fn new(app_id: u64, quuid: Option<String>, inventory: Channel, incidents: Channel) -> Self {
        Reporter {
            app_id,
            quuid: quuid.unwrap_or_default(),
            placement: Placement::default(),
            nonce: rand::random(),
            machine_id: None,
            contested: false,
            accounts_off: false,
            identity: None,
            components: vec![component("collector", ComponentState::Running)],
            distinct_id: Vec::new(),
            refused: HashMap::new(),
            machines: MachineServiceClient::new(inventory.clone()),
            assets: AssetServiceClient::new(inventory),
            incidents: IncidentServiceClient::new(incidents),
        }
    }

    /// Keeps what must survive a restart in this folder.
    #[must_use]
    pub fn keeping(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Tells this of where the machine runs, whatever the machine finds.
    #[must_use]
    pub fn placed(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Tells the state of a part of the agent beside the collector itself with the next registration. True when it is another
    /// than before.
    pub fn tell(&mut self, name: &'static str, state: ComponentState) -> bool {
        let told = component(name, state);
        match self.components.iter_mut().find(|component| component.name == name) {
            Some(before) if *before == told => false,
            Some(before) => {
                *before = told;
                true
            }
            None => {
                self.components.push(told);
                true
            }
        }
    }

    /// The server's id of the machine, once it is enrolled.
    pub fn machine_id(&self) -> Option<&str> {
        self.machine_id.as_deref()
    }

    fn enrolled(&self) -> Result<String, ReportError> {
        self.machine_id.clone().ok_or(ReportError::NotRegistered)
    }

    /// Enrols the machine, or finds it again, and renews its facts. The host of a clone gets an id of its own.
    pub async fn register(&mut self, snapshot: &Snapshot) -> Result<Registered, ReportError> {
        let hash = snapshot.machine.host_id_hash.as_deref().and_then(|hash| hex::decode(hash).ok()).unwrap_or_default();
        if hash.is_empty() && self.quuid.is_empty() {
            return Err(ReportError::NoIdentity);
        }
        let mut installed_at = None;
        if let Some(identity) = &self.identity {
            self.distinct_id = identity.read(self.app_id).map_err(ReportError::State)?;
            installed_at = Some(identity.installed_at().map_err(ReportError::State)?);
        }
        let mut facts = convert::facts(snapshot, &self.placement, installed_at, self.components.clone());
        facts.last_user_login_time.take_if(|_| self.accounts_off);
        let request = inventory::RegisterMachineRequest {
            app_id: self.app_id,
            quuid: self.quuid.clone(),
            host_id_hash: hash,
            instance_nonce: self.nonce.to_vec(),
            facts: Some(facts),
            observed_time: Some(convert::time(snapshot.collected_at)),
            distinct_id: self.distinct_id.clone(),
            boot_id_hash: boot(snapshot),
        };
        let answer = self.machines.register_machine(request).await?.into_inner();
        if !answer.distinct_id.is_empty() && answer.distinct_id != self.distinct_id {
            if let Some(identity) = &self.identity {
                identity.keep(self.app_id, &answer.distinct_id).map_err(ReportError::State)?;
            }
            tracing::warn!("this host is a clone of another: it has a machine of its own from now on");
            self.distinct_id = answer.distinct_id;
        }
        let machine_id = answer.machine.map(|machine| machine.machine_id).unwrap_or_default();
        self.machine_id = Some(machine_id).filter(|id| !id.is_empty());
        self.contested = answer.contested;
        let machine_id = self.enrolled()?;
        if let Some(identity) = &self.identity {
            let settled = (!answer.contested).then_some(machine_id.as_str());
            identity.keep_machine_id(self.app_id, settled).map_err(ReportError::State)?;
        }
        Ok(Registered { machine_id, created: answer.created, contested: answer.contested })
    }

    /// Tells that the agent was uninstalled, of the machine that this or an earlier start of it enrolled. The machine stays
    /// until it is enrolled again or deleted.
    pub async fn unregister(&mut self) -> Result<(), ReportError> {
        let kept = match &self.identity {
            Some(identity) => identity.machine_id(self.app_id).map_err(ReportError::State)?,
            None => None,
        };
        let machine_id = self.machine_id.take().or(kept).ok_or(ReportError::NotRegistered)?;
        let request = inventory::UnregisterMachineRequest { app_id: self.app_id, machine_id };
        self.machines.unregister_machine(request).await?;
        Ok(())
    }

    /// Fails while another agent speaks for the machine as well.
    fn settled(&self) -> Result<(), ReportError> {
        if self.contested { Err(ReportError::Contested) } else { Ok(()) }
    }

    /// Tells that the machine is alive and how busy it is.
    pub async fn heartbeat(&mut self, load: &Load, now: chrono::DateTime<chrono::Utc>) -> Result<Heard, ReportError> {
        let machine_id = self.enrolled()?;
        let heartbeat = inventory::MachineHeartbeat {
            machine_id: machine_id.clone(),
            instance_nonce: self.nonce.to_vec(),
            observed_time: Some(convert::time(now)),
            cpu_percent: load.cpu_percent,
            memory_percent: load.memory_percent(),
            disk_percent: load.disk_percent,
            load_average: load.load_average,
        };
        let request = inventory::HeartbeatRequest { app_id: self.app_id, heartbeats: vec![heartbeat] };
        let answer = self.machines.heartbeat(request).await?.into_inner();
        let lost = answer.unknown_machine_ids.contains(&machine_id) || answer.cloned_machine_ids.contains(&machine_id);
        self.contested = answer.contested_machine_ids.contains(&machine_id);
        Ok(match (lost, self.contested) {
            (true, _) => Heard::Lost,
            (false, true) => Heard::Contested,
            (false, false) => Heard::Well,
        })
    }
}

fn component(name: &'static str, state: ComponentState) -> inventory::AgentComponent {
    let state = match state {
        ComponentState::Running => inventory::ComponentState::Running,
        ComponentState::Stopped => inventory::ComponentState::Stopped,
        ComponentState::Failed => inventory::ComponentState::Failed,
    };
    inventory::AgentComponent {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state.into(),
    }
}

/// A hash of the kernel's id of this start; that of this host where the tree that was read tells none.
fn boot(snapshot: &Snapshot) -> Vec<u8> {
    let own = || Root::default().read_trimmed("/proc/sys/kernel/random/boot_id");
    let id = snapshot.machine.boot_id.clone().or_else(own);
    id.map(|id| blake3::derive_key("cwpp boot id v1", id.as_bytes()).to_vec()).unwrap_or_default()
}
