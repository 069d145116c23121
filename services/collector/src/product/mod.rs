//! Known products and their running instances: how a program is told by its executable or arguments, where its
//! configuration lies and where its version stands. What is special about a product is a line of [`table`].

mod installed;
mod instance;
mod known;
mod options;
mod table;
mod version;

pub(crate) use installed::{Installed, find as installed};
pub(crate) use instance::{Instance, Programs, view};
pub(crate) use options::Options;
pub(crate) use table::PRODUCTS;

/// What a product is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftwareKind {
    /// Operations: containers, orchestration, monitoring, automation.
    Operations,
    /// Databases and caches.
    Database,
    /// Protection and remote access.
    Security,
    /// What attackers like to leave: miners, tunnels, proxies.
    Suspicious,
    /// Middleware: queues, coordination, search, runtimes.
    Architecture,
    /// Services of the operating system.
    System,
    /// Web servers and what they run.
    Web,
}

/// Among the options that name the configuration file: the first argument that is no option.
pub(crate) const FIRST_ARGUMENT: &str = "";

/// A known product.
#[derive(Debug)]
pub(crate) struct Product {
    /// The name that people know.
    pub(crate) name: &'static str,
    pub(crate) kind: SoftwareKind,
    /// File names of its executables, without the version that some carry at their end; with folders where another product
    /// has the same name.
    pub(crate) binaries: &'static [&'static str],
    /// For what an interpreter runs: its main class, or the file name of its script or archive; `*` at the end stands
    /// for any rest.
    pub(crate) arguments: &'static [&'static str],
    /// Options that name the configuration file.
    pub(crate) config_options: &'static [&'static str],
    /// Where the configuration lies when no option says so; the first that exists. A relative path is below the home,
    /// else the working directory; one with `./` below the latter alone.
    pub(crate) config_paths: &'static [&'static str],
    /// Options that name the folder in which it is installed.
    pub(crate) home_options: &'static [&'static str],
    /// Where the version stands, where no package owns the executable.
    pub(crate) version: &'static [VersionSource],
}

/// Where the version of a product stands. A pattern has one group: the version.
#[derive(Debug)]
pub(crate) enum VersionSource {
    /// In the bytes of the executable.
    Binary(&'static str),
    /// In the path of the executable.
    Path(&'static str),
    /// In a file below the home.
    File(&'static str, &'static str),
    /// In the name of a file of a folder below the home.
    Name(&'static str, &'static str),
    /// In an argument.
    Argument(&'static str),
}

#[cfg(test)]
impl Product {
    /// The product by its name.
    pub(crate) fn named(name: &str) -> Option<&'static Product> {
        PRODUCTS.iter().find(|product| product.name == name)
    }
}
