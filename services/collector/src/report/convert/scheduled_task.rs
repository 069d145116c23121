use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{ScheduleKind, ScheduledTask};

pub(super) fn message(task: &ScheduledTask) -> inventory::ScheduledTask {
    let kind = match task.kind {
        ScheduleKind::Cron => inventory::ScheduleKind::Cron,
        ScheduleKind::Anacron => inventory::ScheduleKind::Anacron,
        ScheduleKind::SystemdTimer => inventory::ScheduleKind::SystemdTimer,
        ScheduleKind::At => inventory::ScheduleKind::At,
    };
    inventory::ScheduledTask {
        kind: kind.into(),
        name: task.name.clone(),
        schedule: task.schedule.clone(),
        command: task.command.clone(),
        user: task.user.clone(),
        config_path: task.config_path.clone(),
        enabled: task.enabled,
        escaped: task.escaped,
    }
}
