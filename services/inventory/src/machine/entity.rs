//! Machines as stored.

use cwpp_contracts::inventory::v1 as api;
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::asset::check::timestamp;

/// A machine.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "machine")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine's id, a UUIDv7 given at registration.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of what the machine is found by: `quuid`, else `host_id_hash`. Unique in the tenant.
    pub identity: Uuid,
    /// The cloud's id of the instance; empty where there is none.
    pub quuid: String,
    /// Hash of the host's own machine id; empty where it is not given.
    pub host_id_hash: Vec<u8>,
    /// Host name.
    pub name: String,
    /// The main address; empty where there is none.
    pub ip_address: String,
    /// All addresses, a JSON array of texts.
    pub ip_addresses: Json,
    /// The address by which it is reached from outside; empty where there is none that is known.
    pub public_ip_address: String,
    /// The kind of server (`MachineType`).
    pub machine_type: i16,
    /// The family of operating systems (`OsType`).
    pub os_type: i16,
    /// Operating system and version.
    pub os_name: String,
    /// Kernel release.
    pub kernel_version: String,
    /// Processor architecture.
    pub architecture: String,
    /// Version of the agent.
    pub agent_version: String,
    /// When the agent was installed.
    pub agent_installed_at: Option<DateTimeUtc>,
    /// When the system was started.
    pub booted_at: Option<DateTimeUtc>,
    /// When a person logged in last.
    pub last_user_login_at: Option<DateTimeUtc>,
    /// The cloud that it runs in.
    pub provider: String,
    /// The instance's id for people.
    pub instance_id: String,
    /// The cloud's region.
    pub region: String,
    /// Serial number.
    pub serial_number: String,
    /// Maker and product.
    pub product_name: String,
    /// The parts of the agent, a JSON array.
    pub components: Json,
    /// The state of the instance (`InstanceState`), which the cloud tells.
    pub instance_state: i16,
    /// What people wrote about it.
    pub remark: String,
    /// When it was enrolled.
    pub created_at: DateTimeUtc,
    /// When its facts changed last.
    pub updated_at: DateTimeUtc,
    /// Rises with each change.
    pub version: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// A part of the agent as stored.
#[derive(Debug, Serialize, Deserialize)]
struct Component {
    name: String,
    version: String,
    state: i32,
}

/// Writes the parts of an agent as they are stored.
pub fn components(components: &[api::AgentComponent]) -> Json {
    let component =
        |c: &api::AgentComponent| serde_json::json!({ "name": c.name, "version": c.version, "state": c.state });
    components.iter().map(component).collect()
}

impl Model {
    /// Makes the row of a machine of which nothing is known yet.
    pub fn new(app_id: i64, machine_id: Uuid, identity: Uuid, now: DateTimeUtc) -> Self {
        Self {
            app_id,
            machine_id,
            identity,
            quuid: String::new(),
            host_id_hash: Vec::new(),
            name: String::new(),
            ip_address: String::new(),
            ip_addresses: Json::Array(Vec::new()),
            public_ip_address: String::new(),
            machine_type: 0,
            os_type: 0,
            os_name: String::new(),
            kernel_version: String::new(),
            architecture: String::new(),
            agent_version: String::new(),
            agent_installed_at: None,
            booted_at: None,
            last_user_login_at: None,
            provider: String::new(),
            instance_id: String::new(),
            region: String::new(),
            serial_number: String::new(),
            product_name: String::new(),
            components: Json::Array(Vec::new()),
            instance_state: 0,
            remark: String::new(),
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// Returns the parts of the agent.
    fn components(&self) -> Vec<api::AgentComponent> {
        let stored: Vec<Component> = serde_json::from_value(self.components.clone()).unwrap_or_default();
        stored
            .into_iter()
            .map(|Component { name, version, state }| api::AgentComponent { name, version, state })
            .collect()
    }

    /// Returns all addresses; the first is the main one.
    pub fn addresses(&self) -> Vec<String> {
        serde_json::from_value(self.ip_addresses.clone()).unwrap_or_default()
    }

    /// Returns the facts as the contract writes them.
    pub fn facts(&self) -> api::MachineFacts {
        api::MachineFacts {
            name: self.name.clone(),
            ip_addresses: self.addresses(),
            public_ip_address: self.public_ip_address.clone(),
            machine_type: self.machine_type.into(),
            os_type: self.os_type.into(),
            os_name: self.os_name.clone(),
            kernel_version: self.kernel_version.clone(),
            architecture: self.architecture.clone(),
            agent_version: self.agent_version.clone(),
            agent_install_time: self.agent_installed_at.map(timestamp),
            boot_time: self.booted_at.map(timestamp),
            last_user_login_time: self.last_user_login_at.map(timestamp),
            provider: self.provider.clone(),
            instance_id: self.instance_id.clone(),
            region: self.region.clone(),
            serial_number: self.serial_number.clone(),
            product_name: self.product_name.clone(),
            components: self.components(),
        }
    }

    /// Returns the columns that stand on every row of a list of assets.
    pub fn host(self, tags: Vec<String>) -> api::HostColumns {
        api::HostColumns {
            machine_id: self.machine_id.to_string(),
            ip_addresses: self.addresses(),
            public_ip_address: self.public_ip_address,
            quuid: self.quuid,
            name: self.name,
            os_name: self.os_name,
            os_type: self.os_type.into(),
            instance_id: self.instance_id,
            tags,
        }
    }
}
