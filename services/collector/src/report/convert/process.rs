use cwpp_contracts::inventory::v1 as inventory;

use super::{sum, time};
use crate::class::{Process, ProcessState};

pub(super) fn message(process: &Process) -> inventory::Process {
    let state = match process.state {
        None => inventory::ProcessState::Unspecified,
        Some(ProcessState::Running) => inventory::ProcessState::Running,
        Some(ProcessState::Sleeping) => inventory::ProcessState::Sleeping,
        Some(ProcessState::Uninterruptible) => inventory::ProcessState::Uninterruptible,
        Some(ProcessState::Stopped) => inventory::ProcessState::Stopped,
        Some(ProcessState::Zombie) => inventory::ProcessState::Zombie,
        Some(ProcessState::Idle) => inventory::ProcessState::Idle,
        Some(ProcessState::Dead) => inventory::ProcessState::Dead,
    };
    inventory::Process {
        pid: process.pid,
        boot_id: process.boot_id.clone(),
        start_ticks: process.start_ticks,
        parent_pid: process.parent_pid,
        parent_name: process.parent_name.clone().unwrap_or_default(),
        name: process.name.clone(),
        path: process.path.clone().unwrap_or_default(),
        command_line: process.command_line.clone(),
        user: process.user.clone(),
        uid: process.uid,
        group_name: process.group.clone().unwrap_or_default(),
        start_time: process.start_time.map(time),
        terminal: process.terminal.clone().unwrap_or_default(),
        state: state.into(),
        sha256: sum(process.sha256.as_deref()),
        package_name: process.package_name.clone().unwrap_or_default(),
        package_version: process.package_version.clone().unwrap_or_default(),
        container_runtime: process.container_runtime.clone().unwrap_or_default(),
        container_id: process.container_id.clone().unwrap_or_default(),
        escaped: process.escaped,
    }
}
