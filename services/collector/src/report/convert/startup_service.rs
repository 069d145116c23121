use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{StartupKind, StartupService};

pub(super) fn message(service: &StartupService) -> inventory::StartupService {
    let kind = match service.kind {
        StartupKind::Systemd => inventory::StartupKind::Systemd,
        StartupKind::SysvInit => inventory::StartupKind::SysvInit,
        StartupKind::RcLocal => inventory::StartupKind::RcLocal,
        StartupKind::Autostart => inventory::StartupKind::Autostart,
    };
    inventory::StartupService {
        kind: kind.into(),
        name: service.name.clone(),
        path: service.path.clone(),
        user: service.user.clone(),
        enabled: Some(service.enabled),
        auto_run: Some(service.auto_run),
        state: service.state.clone(),
        description: service.description.clone(),
        command_line: service.command_line.clone(),
        escaped: service.escaped,
    }
}
