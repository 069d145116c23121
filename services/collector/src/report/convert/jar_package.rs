use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{JarKind, JarPackage, JarProcess};

pub(super) fn message(jar: &JarPackage) -> inventory::JarPackage {
    let kind = match jar.kind {
        JarKind::Application => inventory::JarKind::Application,
        JarKind::SystemLibrary => inventory::JarKind::SystemLibrary,
        JarKind::WebService => inventory::JarKind::WebService,
        JarKind::Other => inventory::JarKind::Other,
    };
    let process = |process: &JarProcess| inventory::JarProcess { pid: process.pid, name: process.name.clone() };
    inventory::JarPackage {
        name: jar.name.clone(),
        version: jar.version.clone(),
        group_id: jar.group_id.clone(),
        path: jar.path.clone(),
        inner_path: jar.inner_path.clone(),
        sha256: jar.sha256.as_ref().and_then(|hash| hex::decode(hash).ok()).unwrap_or_default(),
        kind: kind.into(),
        executable: jar.executable,
        purl: jar.purl.clone(),
        processes: jar.processes.iter().map(process).collect(),
        escaped: jar.escaped,
        container_id: jar.container_id.clone().unwrap_or_default(),
    }
}
