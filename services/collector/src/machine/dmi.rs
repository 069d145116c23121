//! What the firmware tells of the machine (DMI): who made it, and by that in whose cloud it runs.

use serde::{Deserialize, Serialize};

use crate::Root;
use crate::text;

const TEXT_CAP: usize = 127;
pub(super) const ID_CAP: usize = 63;

/// What the firmware tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dmi {
    /// The maker, such as `Amazon EC2` or `Dell Inc.`.
    pub vendor: Option<String>,
    /// The product, such as `PowerEdge R740`.
    pub product: Option<String>,
    /// The serial number; only root may read it.
    pub serial: Option<String>,
    /// The cloud that the machine runs in, if it is known to be one.
    pub cloud: Option<Cloud>,
    /// The cloud's id of the instance, where the firmware tells it.
    pub instance_id: Option<String>,
}

/// A machine in a public cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloud {
    /// The provider, in lower case.
    pub provider: String,
    /// Whether it is a whole server instead of a virtual machine.
    pub bare_metal: bool,
}

/// A provider, and what its machines' firmware says: a file and how its text begins.
struct Mark {
    provider: &'static str,
    file: &'static str,
    begins: &'static str,
}

const fn mark(provider: &'static str, file: &'static str, begins: &'static str) -> Mark {
    Mark { provider, file, begins }
}

/// The first that fits decides.
const MARKS: [Mark; 20] = [
    mark("tencent", "sys_vendor", "Tencent Cloud"),
    mark("alibaba", "sys_vendor", "Alibaba Cloud"),
    mark("alibaba", "product_name", "Alibaba Cloud"),
    mark("aws", "sys_vendor", "Amazon EC2"),
    mark("aws", "bios_vendor", "Amazon EC2"),
    mark("aws", "bios_version", "4.2.amazon"),
    mark("azure", "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    mark("google", "product_name", "Google Compute Engine"),
    mark("huawei", "chassis_asset_tag", "HUAWEICLOUD"),
    mark("oracle", "chassis_asset_tag", "OracleCloud.com"),
    mark("digitalocean", "sys_vendor", "DigitalOcean"),
    mark("hetzner", "sys_vendor", "Hetzner"),
    mark("vultr", "sys_vendor", "Vultr"),
    mark("akamai", "sys_vendor", "Akamai"),
    mark("akamai", "sys_vendor", "Linode"),
    mark("scaleway", "sys_vendor", "Scaleway"),
    mark("upcloud", "sys_vendor", "UpCloud"),
    mark("exoscale", "product_name", "Exoscale"),
    mark("openstack", "product_name", "OpenStack"),
    mark("openstack", "chassis_asset_tag", "OpenTelekomCloud"),
];

/// The cloud of a name, if it is known.
pub(super) fn provider(name: &str) -> Option<&'static str> {
    MARKS.iter().map(|mark| mark.provider).find(|provider| *provider == name)
}

impl Dmi {
    /// Reads what the kernel shows of the firmware's tables; what is not there is absent.
    pub(crate) fn read(root: &Root) -> Self {
        let field = |name: &str| root.read_trimmed(&format!("/sys/class/dmi/id/{name}"));
        let told = |name: &str| field(name).filter(|text| !is_filler(text)).map(|text| cut(text, TEXT_CAP));
        let found = MARKS.iter().find(|mark| field(mark.file).is_some_and(|text| text.starts_with(mark.begins)));
        let (vendor, product) = (told("sys_vendor"), told("product_name"));
        let cloud = found.map(|mark| Cloud {
            provider: mark.provider.to_owned(),
            bare_metal: product.as_ref().is_some_and(|p| p.ends_with(".metal") || p.contains("Bare Metal")),
        });
        let instance_id = match found.map(|mark| mark.provider) {
            Some("aws") => field("board_asset_tag").filter(|id| id.starts_with("i-")),
            Some("digitalocean" | "hetzner") => told("product_serial"),
            _ => None,
        };
        Dmi {
            serial: told("product_serial"),
            vendor,
            product,
            cloud,
            instance_id: instance_id.map(|id| cut(id, ID_CAP)),
        }
    }
}

fn cut(mut text: String, cap: usize) -> String {
    text::cap(&mut text, cap);
    text
}

/// What makers leave in a field that nobody filled in.
fn is_filler(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let fillers = ["to be filled by o.e.m.", "not specified", "default string", "system serial number", "none", "n/a"];
    fillers.contains(&text.as_str()) || text.bytes().all(|byte| matches!(byte, b'0' | b' ' | b'-' | b'.'))
}
