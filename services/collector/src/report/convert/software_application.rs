use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{SoftwareApplication, SoftwareKind};

pub(super) fn message(application: &SoftwareApplication) -> inventory::SoftwareApplication {
    let kind = match application.kind {
        SoftwareKind::Operations => inventory::ApplicationKind::Operations,
        SoftwareKind::Database => inventory::ApplicationKind::Database,
        SoftwareKind::Security => inventory::ApplicationKind::Security,
        SoftwareKind::Suspicious => inventory::ApplicationKind::Suspicious,
        SoftwareKind::Architecture => inventory::ApplicationKind::Architecture,
        SoftwareKind::System => inventory::ApplicationKind::System,
        SoftwareKind::Web => inventory::ApplicationKind::Web,
    };
    inventory::SoftwareApplication {
        kind: kind.into(),
        name: application.name.clone(),
        version: application.version.clone().unwrap_or_default(),
        bin_path: application.bin_path.clone().unwrap_or_default(),
        config_path: application.config_path.clone().unwrap_or_default(),
        process_count: application.process_count,
        description: application.description.clone().unwrap_or_default(),
        package_name: application.package.clone().unwrap_or_default(),
        escaped: application.escaped,
        container_id: application.container_id.clone().unwrap_or_default(),
    }
}
