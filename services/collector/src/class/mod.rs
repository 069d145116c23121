//! The classes of things on a host: one file per class, one [`ClassSnapshot`] each.

mod account;
mod database_instance;
mod environment_variable;
mod jar_package;
mod kernel_module;
mod listening_port;
mod process;
mod purl;
pub(crate) mod python;
pub(crate) mod resource;
mod scheduled_task;
mod software_application;
mod startup_service;
pub(crate) mod system_package;
mod web_application;
mod web_framework;
mod web_service;
mod web_site;

use chrono::{DurationRound, TimeDelta};
use serde::{Deserialize, Serialize};

pub use account::{Account, AuthorizedKey, LoginType, PasswordStatus};
pub(crate) use account::{Names, last_login};
pub use database_instance::{DatabaseInstance, DatabaseKind};
pub use environment_variable::{EnvironmentVariable, VariableScope};
pub use jar_package::{JarKind, JarPackage, JarProcess};
pub use kernel_module::KernelModule;
pub use listening_port::{ListeningPort, TransportProtocol};
pub(crate) use process::Describer;
pub use process::{Process, ProcessState};
pub use resource::{Resource, ResourceKind};
pub use scheduled_task::{ScheduleKind, ScheduledTask};
pub use software_application::SoftwareApplication;
pub use startup_service::{StartupKind, StartupService};
pub use system_package::{PackageKind, SystemPackage};
pub use web_application::{WebApplication, WebPlugin};
pub use web_framework::{ProgrammingLanguage, WebFramework};
pub use web_service::{WebService, WebServiceKind};
pub(crate) use web_site::Sites;
pub use web_site::{WebProtocol, WebSite, WebSitePath};

pub use crate::product::SoftwareKind;

use crate::Host;

/// The most items of one class that are reported; what is over it is counted, not sent.
pub const ITEM_CAP: usize = 30_000;
/// The most skipped entries that are named one by one.
const SKIPPED_CAP: usize = 100;

/// The classes that the collector reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Hardware, partitions and interfaces.
    Resource,
    /// Local accounts.
    Account,
    /// Ports that are listened on.
    ListeningPort,
    /// Running processes.
    Process,
    /// Java archives.
    JarPackage,
    /// What the init system may start.
    StartupService,
    /// What runs at given times.
    ScheduledTask,
    /// Environment variables that files set.
    EnvironmentVariable,
    /// Loaded modules of the kernel.
    KernelModule,
    /// Known programs that run or are installed.
    SoftwareApplication,
    /// Database servers.
    DatabaseInstance,
    /// Web applications below the roots of sites.
    WebApplication,
    /// Web servers.
    WebService,
    /// Web frameworks of what runs.
    WebFramework,
    /// Sites of web servers.
    WebSite,
    /// Packages of the system's package managers, and Python's distributions.
    SystemPackage,
}

impl Class {
    /// Every class, in the order in which they are reported.
    pub const ALL: [Class; 16] = [
        Class::Resource,
        Class::Account,
        Class::ListeningPort,
        Class::Process,
        Class::JarPackage,
        Class::StartupService,
        Class::ScheduledTask,
        Class::EnvironmentVariable,
        Class::KernelModule,
        Class::SoftwareApplication,
        Class::DatabaseInstance,
        Class::WebApplication,
        Class::WebService,
        Class::WebFramework,
        Class::WebSite,
        Class::SystemPackage,
    ];

    /// The name in output and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Resource => "resource",
            Class::Account => "account",
            Class::ListeningPort => "listening_port",
            Class::Process => "process",
            Class::JarPackage => "jar_package",
            Class::StartupService => "startup_service",
            Class::ScheduledTask => "scheduled_task",
            Class::EnvironmentVariable => "environment_variable",
            Class::KernelModule => "kernel_module",
            Class::SoftwareApplication => "software_application",
            Class::DatabaseInstance => "database_instance",
            Class::WebApplication => "web_application",
            Class::WebService => "web_service",
            Class::WebFramework => "web_framework",
            Class::WebSite => "web_site",
            Class::SystemPackage => "system_package",
        }
    }

    /// Reads this class of a host. Never fails: what cannot be read is the outcome.
    pub fn read(self, host: &Host<'_>) -> ClassSnapshot {
        match self {
            Class::Resource => resource::read(host.root()),
            Class::Account => account::read(host.root(), host.now()),
            Class::ListeningPort => listening_port::read(host),
            Class::Process => process::read(host),
            Class::JarPackage => jar_package::read(host),
            Class::StartupService => startup_service::read(host.root()),
            Class::ScheduledTask => scheduled_task::read(host.root()),
            Class::EnvironmentVariable => environment_variable::read(host.root()),
            Class::KernelModule => kernel_module::read(host.root()),
            Class::SoftwareApplication => software_application::read(host),
            Class::DatabaseInstance => database_instance::read(host),
            Class::WebApplication => web_application::read(host),
            Class::WebService => web_service::read(host),
            Class::WebFramework => web_framework::read(host),
            Class::WebSite => web_site::read(host),
            Class::SystemPackage => system_package::read(host),
        }
    }
}

/// One thing of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Item {
    /// Hardware, a partition or an interface.
    Resource(Box<Resource>),
    /// A local account.
    Account(Account),
    /// A port that is listened on.
    ListeningPort(Box<ListeningPort>),
    /// A running process.
    Process(Box<Process>),
    /// A Java archive.
    JarPackage(Box<JarPackage>),
    /// Something that the init system may start.
    StartupService(StartupService),
    /// Something that runs at given times.
    ScheduledTask(ScheduledTask),
    /// An environment variable that a file sets.
    EnvironmentVariable(EnvironmentVariable),
    /// A loaded module of the kernel.
    KernelModule(KernelModule),
    /// A known program.
    SoftwareApplication(SoftwareApplication),
    /// A database server.
    DatabaseInstance(Box<DatabaseInstance>),
    /// A web application.
    WebApplication(Box<WebApplication>),
    /// A web server.
    WebService(WebService),
    /// A web framework.
    WebFramework(WebFramework),
    /// A site of a web server.
    WebSite(Box<WebSite>),
    /// A package of the system's package manager, or a distribution of Python.
    SystemPackage(SystemPackage),
}

impl Item {
    /// True when a text or a list of it was too long and was cut.
    pub fn is_cut(&self) -> bool {
        let truncated = match self {
            Item::Resource(item) => &item.truncated,
            Item::Account(item) => &item.truncated,
            Item::ListeningPort(item) => &item.truncated,
            Item::Process(item) => &item.truncated,
            Item::JarPackage(item) => &item.truncated,
            Item::StartupService(item) => &item.truncated,
            Item::ScheduledTask(item) => &item.truncated,
            Item::EnvironmentVariable(item) => &item.truncated,
            Item::KernelModule(item) => &item.truncated,
            Item::SoftwareApplication(item) => &item.truncated,
            Item::DatabaseInstance(item) => &item.truncated,
            Item::WebApplication(item) => &item.truncated,
            Item::WebService(item) => &item.truncated,
            Item::WebFramework(item) => &item.truncated,
            Item::WebSite(item) => &item.truncated,
            Item::SystemPackage(item) => &item.truncated,
        };
        !truncated.is_empty()
    }

    /// The item without what changes all the time and is no change of it. The last login is kept by its day and used space
    /// by its first bits, so that what the server has does not grow old.
    fn without_volatile(&self) -> Item {
        match self {
            Item::Account(account) => Item::Account(Account {
                last_login_time: account.last_login_time.and_then(|time| time.duration_trunc(TimeDelta::days(1)).ok()),
                last_login_address: None,
                last_login_terminal: None,
                ..account.clone()
            }),
            Item::Resource(resource) => {
                // That of the memory changes all the time, and is told with each sign of life.
                let is_disk = resource.kind == ResourceKind::DiskPartition;
                let used_bytes = resource.used_bytes.filter(|_| is_disk).map(first_bits);
                Item::Resource(Box::new(Resource { used_bytes, ..Resource::clone(resource) }))
            }
            Item::ListeningPort(port) => {
                Item::ListeningPort(Box::new(ListeningPort { start_time: None, ..ListeningPort::clone(port) }))
            }
            Item::Process(process) => {
                Item::Process(Box::new(Process { start_time: None, state: None, ..Process::clone(process) }))
            }
            Item::KernelModule(module) => Item::KernelModule(KernelModule {
                use_count: None,
                used_by: Vec::new(),
                parameters: std::collections::BTreeMap::new(),
                ..module.clone()
            }),
            Item::WebFramework(framework) => Item::WebFramework(WebFramework { pid: None, ..framework.clone() }),
            Item::JarPackage(jar) => {
                Item::JarPackage(Box::new(JarPackage { processes: Vec::new(), ..JarPackage::clone(jar) }))
            }
            Item::StartupService(_)
            | Item::ScheduledTask(_)
            | Item::DatabaseInstance(_)
            | Item::EnvironmentVariable(_)
            | Item::SoftwareApplication(_)
            | Item::WebApplication(_)
            | Item::WebService(_)
            | Item::WebSite(_)
            | Item::SystemPackage(_) => self.clone(),
        }
    }
}

/// Keeps the first four bits of a number.
fn first_bits(number: u64) -> u64 {
    let rest = (u64::BITS - number.leading_zeros()).saturating_sub(4);
    number >> rest << rest
}

/// How well a class could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The items are all there are.
    Complete,
    /// There are more items than the cap; the first of them, by key, are here.
    Truncated {
        /// How many there are.
        total: usize,
    },
    /// The source is there and could not be read; no items.
    Unreadable {
        /// What went wrong.
        reason: String,
    },
    /// The host has no such source (no dpkg database, say); no items.
    NotPresent {
        /// What was looked for.
        reason: String,
    },
}

/// An entry of a source that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file, as seen from the root.
    pub source: String,
    /// The line in it, from one; 0 where it is not of lines.
    pub line: usize,
    /// Why it was left out.
    pub reason: String,
}

/// Everything of one class on a host, at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSnapshot {
    /// The class.
    pub class: Class,
    /// How well it could be read.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The items, sorted by their natural key, each key once.
    #[serde(skip)]
    pub items: Vec<Item>,
    /// Entries that were left out (malformed, or a key seen before); at most 100 are named.
    pub skipped: Vec<Skipped>,
    /// How many entries were left out.
    pub skipped_count: usize,
    /// Secondary sources that could not be read, so that fields which come from them are absent.
    pub unread_sources: Vec<String>,
}

impl ClassSnapshot {
    pub(crate) fn new(class: Class) -> Self {
        ClassSnapshot {
            class,
            outcome: Outcome::Complete,
            items: Vec::new(),
            skipped: Vec::new(),
            skipped_count: 0,
            unread_sources: Vec::new(),
        }
    }

    pub(crate) fn failed(class: Class, outcome: Outcome) -> Self {
        ClassSnapshot { outcome, ..ClassSnapshot::new(class) }
    }

    /// True when the class could be read.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.outcome, Outcome::Complete | Outcome::Truncated { .. })
    }

    pub(crate) fn skip(&mut self, source: &str, line: usize, reason: &str) {
        self.skipped_count += 1;
        if self.skipped.len() < SKIPPED_CAP {
            self.skipped.push(Skipped { source: source.to_owned(), line, reason: reason.to_owned() });
        }
    }

    pub(crate) fn fill(&mut self, mut items: Vec<Item>) {
        if items.len() > ITEM_CAP {
            self.outcome = Outcome::Truncated { total: items.len() };
            items.truncate(ITEM_CAP);
        }
        self.items = items;
    }

    /// A digest of the items and of how complete they are: equal digest, equal content, in whatever order they
    /// were read. Volatile fields (an account's last login, a process's state) are not in it. It is opaque to everybody else: a new field or release may change it, and then the class is
    /// sent once more. Computed over the digests of the serialised items (so that no field can be forgotten).
    pub fn digest(&self) -> [u8; 32] {
        // Of each item only its own digest is kept: a class may have many large ones.
        let item = |item: &Item| {
            let encoded = serde_json::to_vec(&item.without_volatile()).unwrap_or_default();
            *blake3::hash(&encoded).as_bytes()
        };
        let mut items: Vec<[u8; 32]> = self.items.iter().map(item).collect();
        items.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("cwpp collector class digest v2");
        let mut put = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        put(self.class.name().as_bytes());
        put(&serde_json::to_vec(&self.outcome).unwrap_or_default());
        items.iter().for_each(|item| put(item));
        *hasher.finalize().as_bytes()
    }
}
