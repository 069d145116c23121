//! Timers of systemd, the system's and those of users' managers.

use super::{ScheduleKind, Tasks, Written};
use crate::Root;
use crate::class::account;
use crate::systemd::{Settings, Units, UserUnits, Whose, instance};

const UNITS: &str = "/etc/systemd/system";

pub(super) fn read(root: &Root, tasks: &mut Tasks) {
    if let Some(Some(units)) = tasks_source(root, tasks) {
        timers(&units, None, tasks);
    }
    let users = UserUnits::read(root, &account::homes(root));
    for (whose, units) in &users.all {
        timers(units, Some(whose), tasks);
    }
    tasks.snapshot.unread_sources.extend(users.unread);
}

/// Adds the timers of a manager; one of a user runs everything as that user, whoever it is.
fn timers(units: &Units<'_>, whose: Option<&Whose>, tasks: &mut Tasks) {
    let timers: Vec<_> = units.files().into_iter().filter(|file| file.name.ends_with(".timer")).collect();
    if timers.is_empty() {
        return;
    }
    tasks.present = true;
    let started = units.started();
    for file in timers.iter().filter(|file| file.state != "alias" && !file.name.contains("@.")) {
        let masked = file.state.starts_with("masked");
        let settings = match units.settings(&file.name) {
            Some(settings) => settings,
            None if masked => Settings::default(),
            None => {
                tasks.snapshot.unread_sources.push(file.path.clone());
                continue;
            }
        };
        let schedule = schedule(&settings);
        if schedule.is_empty() && !masked {
            tasks.snapshot.skip(&file.path, 0, "the timer has no time");
            continue;
        }
        let unit = settings.last("Timer", "Unit").map(|unit| String::from_utf8_lossy(unit).into_owned());
        let unit = unit.unwrap_or_else(|| file.name.replace(".timer", ".service"));
        let unit = match instance(&file.name) {
            Some(instance) => unit.replace("%i", instance).replace("%I", instance),
            None => unit,
        };
        let service = units.settings(&units.real_name(&unit)).unwrap_or_default();
        let commands = service.all("Service", "ExecStart").join(&b"; "[..]);
        tasks.add(&Written {
            kind: ScheduleKind::SystemdTimer,
            name: &file.name,
            schedule: schedule.as_bytes(),
            command: if commands.is_empty() { unit.as_bytes() } else { &commands },
            user: match whose {
                None => service.last("Service", "User").unwrap_or(b"root"),
                Some(whose) => whose.account.as_deref().unwrap_or_default().as_bytes(),
            },
            path: &file.path,
            line: 0,
            enabled: !masked && started.contains(&file.name),
        });
    }
}

/// The units; a host without any is one without this source.
fn tasks_source<'a>(root: &'a Root, tasks: &mut Tasks) -> Option<Option<Units<'a>>> {
    match Units::read(root) {
        Ok(None) => None,
        read => tasks.source(UNITS, read),
    }
}

/// When a timer runs: its calendar events as they are written, other times with their key.
fn schedule(settings: &Settings) -> String {
    const KEYS: [&str; 6] =
        ["OnCalendar", "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec"];
    let mut times = Vec::new();
    for key in KEYS {
        for value in settings.all("Timer", key) {
            let value = crate::text::decode(value).0;
            times.push(if key == "OnCalendar" { value.into_owned() } else { format!("{key}={value}") });
        }
    }
    times.join("; ")
}
