//! What the init system may start: units of systemd and of users' managers, scripts of System V init and OpenRC,
//! `rc.local`, the autostart of desktops. Of other init systems it is told that they are there.

mod autostart;
mod openrc;
mod other;
mod sysv;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome, account};
use crate::systemd::{Settings, UnitFile, Units, UserUnits, Whose, template};
use crate::text::Fields;
use crate::{ReadError, Root};

const NAME_CAP: usize = 255;
const PATH_CAP: usize = 4096;
const COMMAND_CAP: usize = 4096;
const DESCRIPTION_CAP: usize = 1024;
/// Scripts are read for their head and their commands; what is longer is cut.
const SCRIPT_CAP: u64 = 1 << 20;

/// Who starts a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartupKind {
    /// systemd.
    Systemd,
    /// A script of System V init, or of OpenRC.
    SysvInit,
    /// `rc.local`.
    RcLocal,
    /// The autostart of a desktop.
    Autostart,
}

/// Something that the init system may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartupService {
    /// Who starts it.
    pub kind: StartupKind,
    /// The name, of a unit with its type.
    pub name: String,
    /// The unit file or script.
    pub path: String,
    /// Whom it runs as; empty where nothing runs (a socket) or it is whoever logs in (a desktop, units of all users).
    pub user: String,
    /// False when it is masked or switched off, so that nothing starts it.
    pub enabled: bool,
    /// Whether it starts with the machine; of a user's manager, whether that does so as well.
    pub auto_run: bool,
    /// The state of its file in the words of the init system's own tool.
    pub state: String,
    /// What it is.
    pub description: String,
    /// What it starts, without secrets.
    pub command_line: String,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

type Services = BTreeMap<(StartupKind, String, String), StartupService>;

pub(super) fn read(root: &Root) -> ClassSnapshot {
    match services(root) {
        Ok(snapshot) => snapshot,
        Err(e) => ClassSnapshot::failed(Class::StartupService, Outcome::Unreadable { reason: e.to_string() }),
    }
}

fn services(root: &Root) -> Result<ClassSnapshot, ReadError> {
    let mut snapshot = ClassSnapshot::new(Class::StartupService);
    let mut services = Services::new();
    let mut names = BTreeSet::new();
    let units = Units::read(root)?;
    let mut add = |units: &Units<'_>, whose: Option<&Whose>| {
        let mut started = units.started();
        // With an instance of a template the template itself counts.
        started.extend(started.iter().filter_map(|name| template(name)).collect::<Vec<_>>());
        let mut names = BTreeSet::new();
        for file in units.files() {
            let wanted = [".service", ".socket", ".path"].iter().any(|kind| file.name.ends_with(kind));
            if wanted && let Some(service) = unit(units, &file, &started, whose, &mut snapshot) {
                services.insert((service.kind, service.name.clone(), service.path.clone()), service);
            }
            names.insert(file.name);
        }
        names
    };
    if let Some(units) = &units {
        names = add(units, None);
    }
    let homes = account::homes(root);
    let users = UserUnits::read(root, &homes);
    for (whose, units) in &users.all {
        add(units, Some(whose));
    }
    snapshot.unread_sources.extend(users.unread);
    // A tree that was mounted or copied does not say what runs.
    let is_systemd = units.is_some() && (is_there(root, "/run/systemd/system") || !is_there(root, "/proc/1"));
    snapshot.unread_sources.extend(other::unread(root, is_systemd));
    let found_scripts = sysv::read(root, &names, &mut services, &mut snapshot)?;
    let found_autostart = autostart::read(root, &homes, &mut services, &mut snapshot)?;
    if units.is_none() && users.all.is_empty() && !found_scripts && !found_autostart {
        let reason = "neither units of systemd nor scripts of System V init or OpenRC".to_owned();
        let failed = ClassSnapshot::failed(Class::StartupService, Outcome::NotPresent { reason });
        return Ok(ClassSnapshot { unread_sources: snapshot.unread_sources, ..failed });
    }
    snapshot.fill(services.into_values().map(Item::StartupService).collect());
    Ok(snapshot)
}

fn unit(
    units: &Units<'_>,
    file: &UnitFile,
    started: &BTreeSet<String>,
    whose: Option<&Whose>,
    snapshot: &mut ClassSnapshot,
) -> Option<StartupService> {
    let masked = file.state.starts_with("masked");
    let real = units.real_name(&file.name);
    let settings = match units.settings(&real) {
        Some(settings) => settings,
        None if masked => Settings::default(),
        None => {
            snapshot.unread_sources.push(file.path.clone());
            Settings::default()
        }
    };
    // Made out of a script at the start: the script itself is reported.
    if file.state == "generated"
        && settings.last("Unit", "SourcePath").is_some_and(|path| path.starts_with(b"/etc/init.d/"))
    {
        return None;
    }
    let mut fields = Fields::default();
    let is_service = file.name.ends_with(".service");
    let user = match settings.last("Service", "User") {
        _ if !is_service || masked => String::new(),
        // A user's manager runs nothing as anybody else.
        _ if let Some(whose) = whose => {
            fields.text("user", whose.account.as_deref().unwrap_or_default().as_bytes(), NAME_CAP)
        }
        Some(user) => fields.text("user", user, NAME_CAP),
        None if settings.last("Service", "DynamicUser").is_some_and(is_true) => {
            fields.text("user", real.trim_end_matches(".service").as_bytes(), NAME_CAP)
        }
        None => "root".to_owned(),
    };
    let auto_run = !masked && whose.is_none_or(|whose| whose.lingers) && started.contains(&real);
    Some(StartupService {
        kind: StartupKind::Systemd,
        name: fields.text("name", file.name.as_bytes(), NAME_CAP),
        path: fields.text("path", file.path.as_bytes(), PATH_CAP),
        user,
        enabled: !masked,
        auto_run,
        state: file.state.to_owned(),
        description: fields.text(
            "description",
            settings.last("Unit", "Description").unwrap_or_default(),
            DESCRIPTION_CAP,
        ),
        command_line: commands(&settings, &mut fields),
        escaped: fields.escaped,
        truncated: fields.truncated,
    })
}

/// What a service's unit starts, joined and without secrets.
fn commands(settings: &Settings, fields: &mut Fields) -> String {
    command_line("command_line", &settings.all("Service", "ExecStart").join(&b"; "[..]), fields)
}

/// A command without secrets, cut to its cap after they were taken out.
pub(in crate::class) fn command_line(field: &str, bytes: &[u8], fields: &mut Fields) -> String {
    let whole = fields.text(field, bytes, SCRIPT_CAP as usize);
    let mut line = cwpp_redaction::command_line(&whole).into_owned();
    if crate::text::cap(&mut line, COMMAND_CAP) {
        fields.truncated.push(field.to_owned());
    }
    line
}

fn is_there(root: &Root, path: &str) -> bool {
    root.metadata(path).is_ok()
}

fn is_true(value: &[u8]) -> bool {
    [&b"yes"[..], b"true", b"on", b"1", b"y", b"t"].iter().any(|word| value.eq_ignore_ascii_case(word))
}
