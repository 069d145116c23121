//! Machines as stored.

use cwpp_contracts::inventory::v1 as api;
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

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

impl Model {
    /// Returns all addresses; the first is the main one.
    pub fn addresses(&self) -> Vec<String> {
        serde_json::from_value(self.ip_addresses.clone()).unwrap_or_default()
    }

    /// Returns the facts as the contract writes them.
    pub fn facts(&self) -> api::MachineFacts {
        api::MachineFacts {
            name: self.name.clone(),
            ip_addresses: self.addresses(),
            machine_type: self.machine_type.into(),
            os_type: self.os_type.into(),
            os_name: self.os_name.clone(),
            kernel_version: self.kernel_version.clone(),
            architecture: self.architecture.clone(),
            agent_version: self.agent_version.clone(),
            agent_install_time: self.agent_installed_at.map(timestamp),
            boot_time: self.booted_at.map(timestamp),
            last_user_login_time: self.last_user_login_at.map(timestamp),
        }
    }

    /// Returns the columns that stand on every row of a list of assets.
    pub fn host(&self) -> api::HostColumns {
        api::HostColumns {
            machine_id: self.machine_id.to_string(),
            quuid: self.quuid.clone(),
            name: self.name.clone(),
            ip_addresses: self.addresses(),
            os_name: self.os_name.clone(),
        }
    }
}
