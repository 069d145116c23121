use cwpp_contracts::inventory::v1 as inventory;

use super::time;
use crate::class::{PackageKind, SystemPackage};

pub(super) fn message(package: &SystemPackage) -> inventory::SystemPackage {
    let kind = match package.kind {
        PackageKind::Dpkg => inventory::PackageKind::Dpkg,
        PackageKind::Rpm => inventory::PackageKind::Rpm,
        PackageKind::Pypi => inventory::PackageKind::Pypi,
    };
    let unless = |value: &String, own: &String| if value == own { String::new() } else { value.clone() };
    inventory::SystemPackage {
        kind: kind.into(),
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        source_name: unless(&package.source, &package.name),
        source_version: unless(&package.source_version, &package.version),
        install_time: package.install_time.map(time),
        purl: package.purl.clone(),
        escaped: package.escaped,
        path: package.path.clone().unwrap_or_default(),
        description: package.description.clone().unwrap_or_default(),
    }
}
