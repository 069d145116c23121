//! What desktops start when someone logs in.

use std::collections::BTreeSet;

use super::{
    DESCRIPTION_CAP, NAME_CAP, PATH_CAP, SCRIPT_CAP, Services, StartupKind, StartupService, command_line, is_true,
};
use crate::class::ClassSnapshot;
use crate::systemd::Settings;
use crate::text::Fields;
use crate::{ReadError, Root};

const DIRECTORY: &str = "/etc/xdg/autostart";
const ENTRY: &str = "Desktop Entry";

/// In a home.
const OWN: &str = ".config/autostart";
/// The most entries of a home that are looked at, and the most homes that are named for not being readable.
const OWN_CAP: usize = 200;
const UNREAD_CAP: usize = 20;

/// Adds the entries, those of everybody and those of accounts; true when there are any.
pub(super) fn read(
    root: &Root,
    homes: &[(String, String)],
    services: &mut Services,
    snapshot: &mut ClassSnapshot,
) -> Result<bool, ReadError> {
    let mut found = match root.list(DIRECTORY) {
        Err(ReadError::Missing { .. }) => false,
        names => entries(root, DIRECTORY, &names?, "", services, snapshot),
    };
    let (mut seen, mut unread) = (BTreeSet::new(), 0);
    for (user, home) in homes {
        let directory = format!("{}/{OWN}", home.trim_end_matches('/'));
        if !seen.insert(directory.clone()) {
            continue;
        }
        match root.list(&directory) {
            Ok(mut names) => {
                if names.len() > OWN_CAP {
                    snapshot.unread_sources.push(format!("{directory} (too many files)"));
                    names.truncate(OWN_CAP);
                }
                found |= entries(root, &directory, &names, user, services, snapshot);
            }
            Err(e) if e.is_missing() => {}
            Err(_) => {
                unread += 1;
                if unread <= UNREAD_CAP {
                    snapshot.unread_sources.push(directory);
                }
            }
        }
    }
    if unread > UNREAD_CAP {
        snapshot.unread_sources.push(format!("{OWN} of {} more homes", unread - UNREAD_CAP));
    }
    Ok(found)
}

fn entries(
    root: &Root,
    directory: &str,
    names: &[String],
    user: &str,
    services: &mut Services,
    snapshot: &mut ClassSnapshot,
) -> bool {
    let mut found = false;
    for name in names.iter().filter(|name| name.ends_with(".desktop")) {
        let path = format!("{directory}/{name}");
        let Ok((bytes, _)) = root.read_head(&path, SCRIPT_CAP as usize) else {
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
            user: fields.text("user", user.as_bytes(), NAME_CAP),
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
    found
}
