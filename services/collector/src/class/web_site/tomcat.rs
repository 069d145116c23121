//! Tomcat's hosts. Of `server.xml` only the attributes of connectors and hosts are of interest, so tags are looked for.

use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::{Binding, Described, WebProtocol, joined};
use crate::config::Reader;
use crate::product::Instance;

const FILE_CAP: usize = 4 << 20;

type Pattern = LazyLock<Option<Regex>>;
static COMMENT: Pattern = LazyLock::new(|| Regex::new(r"(?s)<!--.*?(?:-->|$)").ok());
static TAG: Pattern = LazyLock::new(|| Regex::new(r"(?s)<(Connector|Host)\b([^>]{0,8192})>").ok());
static ATTRIBUTE: Pattern = LazyLock::new(|| Regex::new(r#"(?s)([\w.-]{1,64})\s*=\s*["']([^"']{0,4096})["']"#).ok());

pub(super) fn sites(reader: &mut Reader<'_>, config: &str, instance: &Instance) -> Vec<Described> {
    let (Some(comment), Some(tag), Some(attribute)) = (&*COMMENT, &*TAG, &*ATTRIBUTE) else { return Vec::new() };
    let mut text = String::new();
    reader
        .read(config, &mut |_, bytes| text = String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_CAP)]).into_owned());
    let text = comment.replace_all(&text, "");
    let (mut bindings, mut hosts) = (Vec::new(), Vec::new());
    for found in tag.captures_iter(&text).take(10_000) {
        let of = |name: &str| {
            let mut all = attribute.captures_iter(&found[2]);
            all.find(|one| one[1].eq_ignore_ascii_case(name)).map(|one| one[2].to_owned())
        };
        match &found[1] {
            "Connector" => {
                let is_ajp = of("protocol").is_some_and(|protocol| protocol.to_ascii_uppercase().contains("AJP"));
                let Some(port) = of("port").and_then(|port| port.parse().ok()).filter(|_| !is_ajp) else { continue };
                let is_tls = of("SSLEnabled").is_some_and(|on| on == "true");
                bindings.push(Binding {
                    protocol: if is_tls { WebProtocol::Https } else { WebProtocol::Http },
                    address: of("address").unwrap_or_default(),
                    port,
                });
            }
            _ => hosts.push((of("name").unwrap_or_default(), of("appBase").unwrap_or_else(|| "webapps".to_owned()))),
        }
    }
    bindings.sort();
    bindings.dedup();
    let home = instance.options.value(&["-Dcatalina.base="]).or(instance.home.as_deref()).unwrap_or("/");
    let described = |(name, base): (String, String)| {
        let folder = if base.starts_with('/') { joined(&base, "") } else { joined(home, &base) };
        let mut paths = Vec::new();
        for name in instance.view.list(&folder).unwrap_or_default() {
            let path = joined(&folder, &name);
            if instance.view.metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                let virtual_path = if name == "ROOT" { "/".to_owned() } else { format!("/{}", name.replace('#', "/")) };
                paths.push((virtual_path, Some(path)));
            }
        }
        Described {
            bindings: bindings.clone(),
            domains: vec![name.to_ascii_lowercase()],
            root: Some(folder.into()),
            paths: Rc::new(paths),
        }
    };
    hosts.into_iter().map(described).collect()
}
