//! What every desktop starts when someone logs in.

use super::{DESCRIPTION_CAP, NAME_CAP, PATH_CAP, Services, StartupKind, StartupService, command_line, is_true};
use crate::class::ClassSnapshot;
use crate::systemd::Settings;
use crate::text::Fields;
use crate::{ReadError, Root};

const DIRECTORY: &str = "/etc/xdg/autostart";
const ENTRY: &str = "Desktop Entry";

/// Adds the entries; true when there are any.
pub(super) fn read(root: &Root, services: &mut Services, snapshot: &mut ClassSnapshot) -> Result<bool, ReadError> {
    let names = match root.list(DIRECTORY) {
        Err(ReadError::Missing { .. }) => return Ok(false),
        other => other?,
    };
    let mut found = false;
    for name in names.iter().filter(|name| name.ends_with(".desktop")) {
        let path = format!("{DIRECTORY}/{name}");
        let Ok(bytes) = root.read(&path) else {
            snapshot.unread_sources.push(path);
            continue;
        };
        let entry = Settings::parse(&bytes);
        let hidden = entry.last(ENTRY, "Hidden").is_some_and(is_true);
        let mut fields = Fields::default();
        let service = StartupService {
            kind: StartupKind::Autostart,
            name: fields.text("name", name.as_bytes(), NAME_CAP),
            path: fields.text("path", path.as_bytes(), PATH_CAP),
            user: String::new(),
            enabled: !hidden,
            // With a login, not with the machine.
            auto_run: false,
            state: if hidden { "hidden" } else { "enabled" }.to_owned(),
            description: fields.text("description", entry.last(ENTRY, "Name").unwrap_or_default(), DESCRIPTION_CAP),
            command_line: command_line("command_line", entry.last(ENTRY, "Exec").unwrap_or_default(), &mut fields),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        services.insert((service.kind, service.name.clone(), service.path.clone()), service);
        found = true;
    }
    Ok(found)
}
