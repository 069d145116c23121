//! Sends what was read: enrols the machine, tells that it is alive, reports its classes and its authentication events.
//!
//! A class is sent only if the server asks for it, and only if it could be read: a class that is unreadable or not
//! present is never sent, so that the server does not take it for empty.

mod agent;
mod assets;
mod convert;
mod events;

use cwpp_chassis::client::Channel;
use cwpp_chassis::{Reason, status};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::inventory::v1 as inventory;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use serde::Serialize;

use crate::Snapshot;
use crate::class::Class;
use crate::machine::Load;
use crate::spool::SpoolError;

pub use agent::{Agent, Intervals};
pub use events::Sent;

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
    /// It could not be read on the host.
    NotRead {
        /// Why.
        reason: String,
    },
}

/// What became of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each class of the snapshot, in its order.
    pub classes: Vec<(Class, ClassReport)>,
    /// Whether the host's clock is more than a day off.
    pub clock_clamped: bool,
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

/// Reports one machine of one tenant.
#[derive(Clone)]
pub struct Reporter {
    app_id: u64,
    quuid: String,
    /// Drawn once per start; tells a cloned machine from this one.
    nonce: [u8; 16],
    machine_id: Option<String>,
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
            nonce: rand::random(),
            machine_id: None,
            machines: MachineServiceClient::new(inventory.clone()),
            assets: AssetServiceClient::new(inventory),
            incidents: IncidentServiceClient::new(incidents),
        }
    }

    /// The server's id of the machine, once it is enrolled.
    pub fn machine_id(&self) -> Option<&str> {
        self.machine_id.as_deref()
    }

    fn enrolled(&self) -> Result<String, ReportError> {
        self.machine_id.clone().ok_or(ReportError::NotRegistered)
    }

    /// Enrols the machine, or finds it again, and renews its facts.
    pub async fn register(&mut self, snapshot: &Snapshot) -> Result<Registered, ReportError> {
        let hash = snapshot.machine.host_id_hash.as_deref().and_then(|hash| hex::decode(hash).ok()).unwrap_or_default();
        if hash.is_empty() && self.quuid.is_empty() {
            return Err(ReportError::NoIdentity);
        }
        let request = inventory::RegisterMachineRequest {
            app_id: self.app_id,
            quuid: self.quuid.clone(),
            host_id_hash: hash,
            instance_nonce: self.nonce.to_vec(),
            facts: Some(convert::facts(snapshot)),
            observed_time: Some(convert::time(snapshot.collected_at)),
        };
        let answer = self.machines.register_machine(request).await?.into_inner();
        let machine_id = answer.machine.map(|machine| machine.machine_id).unwrap_or_default();
        self.machine_id = (!machine_id.is_empty()).then(|| machine_id.clone());
        Ok(Registered { machine_id: self.enrolled()?, created: answer.created })
    }

    /// Tells that the machine is alive and how busy it is. False when the server does not know the machine (any more):
    /// then it has to be enrolled again.
    pub async fn heartbeat(&mut self, load: &Load, now: chrono::DateTime<chrono::Utc>) -> Result<bool, ReportError> {
        let machine_id = self.enrolled()?;
        let heartbeat = inventory::MachineHeartbeat {
            machine_id: machine_id.clone(),
            instance_nonce: self.nonce.to_vec(),
            observed_time: Some(convert::time(now)),
            cpu_percent: load.cpu_percent,
            memory_percent: load.memory_percent(),
            disk_percent: load.disk_percent(),
        };
        let request = inventory::HeartbeatRequest { app_id: self.app_id, heartbeats: vec![heartbeat] };
        let answer = self.machines.heartbeat(request).await?.into_inner();
        Ok(!answer.unknown_machine_ids.contains(&machine_id))
    }
}
