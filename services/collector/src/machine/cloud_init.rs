//! What cloud-init was told of the machine by its cloud at the start, as far as everybody may read it.

use std::net::IpAddr;

use serde_json::Value;

use super::dmi::{self, ID_CAP};
use crate::Root;
use crate::text;

const PATH: &str = "/run/cloud-init/instance-data.json";
const FILE_CAP: usize = 4 << 20;
/// Providers by cloud-init's name, where it is not the one used here.
const NAMES: [(&str, &str); 3] = [("aliyun", "alibaba"), ("ec2", "aws"), ("gce", "google")];

/// Where clouds tell the public address of the first interface: those that speak as Amazon does, and Azure.
const PUBLIC: [&str; 4] = [
    "/ds/meta_data/public-ipv4",
    "/ds/meta_data/public_ipv4",
    "/ds/ec2_metadata/public-ipv4",
    "/ds/meta_data/imds/network/interface/0/ipv4/ipAddress/0/publicIpAddress",
];

/// What is known of the instance. What is unknown is absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Instance {
    /// The provider, if it is a known cloud.
    pub(super) provider: Option<String>,
    pub(super) id: Option<String>,
    pub(super) region: Option<String>,
    /// The address by which it is reached from outside.
    pub(super) public_address: Option<IpAddr>,
}

impl Instance {
    /// Reads the file; of one that is not there, or broken, nothing is known.
    pub(super) fn read(root: &Root) -> Self {
        let Ok((bytes, false)) = root.read_head(PATH, FILE_CAP) else { return Instance::default() };
        let Ok(data) = serde_json::from_slice::<Value>(&bytes) else { return Instance::default() };
        // Both spellings are in use.
        let field = |name: &str| {
            let of = |name: &str| data.get("v1")?.get(name)?.as_str();
            let value = of(name).or_else(|| of(&name.replace('_', "-")))?.trim();
            let is_told = !["", "none", "null", "unknown"].contains(&value.to_ascii_lowercase().as_str());
            is_told.then(|| {
                let mut value = value.replace('\0', "");
                text::cap(&mut value, ID_CAP);
                value
            })
        };
        let provider = ["cloud_name", "platform"].into_iter().filter_map(field).find_map(|name| provider(&name));
        let public_address = PUBLIC.iter().find_map(|at| data.pointer(at)?.as_str()?.parse().ok());
        Instance { provider, id: field("instance_id"), region: field("region"), public_address }
    }
}

fn provider(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let name = NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name.as_str(), |(_, ours)| *ours);
    dmi::provider(name).map(str::to_owned)
}
