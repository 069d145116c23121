//! Scripts of System V init and of OpenRC, which stand in the same folder, and `rc.local`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use super::{
    DESCRIPTION_CAP, NAME_CAP, PATH_CAP, SCRIPT_CAP, Services, StartupKind, StartupService, command_line, openrc,
};
use crate::class::ClassSnapshot;
use crate::text::{self, Fields};
use crate::{ReadError, Root};

const SCRIPTS: [&str; 2] = ["/etc/init.d", "/etc/rc.d/init.d"];
/// In these levels a machine works; level S is its start.
const LEVELS: [&str; 5] = ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"];
const LOCAL: [&str; 2] = ["/etc/rc.local", "/etc/rc.d/rc.local"];
/// Files beside the scripts that start nothing themselves.
const HELPERS: [&str; 9] = ["README", "functions", "skeleton", "rc", "rcS", "rcS.d", "halt", "killall", "single"];

/// Adds the scripts; true when there are any.
pub(super) fn read(
    root: &Root,
    units: &BTreeSet<String>,
    services: &mut Services,
    snapshot: &mut ClassSnapshot,
) -> Result<bool, ReadError> {
    let mut found = false;
    let (started, openrc) = (started(root)?, openrc::Started::read(root)?);
    let mut seen = BTreeSet::new();
    for directory in SCRIPTS {
        if root.resolve(directory).is_ok_and(|real| !seen.insert(real)) {
            continue;
        }
        for name in list(root, directory)? {
            let path = format!("{directory}/{name}");
            let stem = name.trim_end_matches(".sh");
            if HELPERS.contains(&stem) || is_copy(&name) || !is_executable(root, &path) {
                continue;
            }
            let Some(bytes) = head(root, &path, snapshot) else { continue };
            // systemd passes over a script where it has a unit of the name.
            let overridden = [stem, &name].iter().any(|name| units.contains(&format!("{name}.service")));
            let starts = started.contains(&name) || openrc.with_machine.contains(&name);
            let state = match (overridden, starts || openrc.by_any.contains(&name)) {
                (true, _) => "overridden",
                (false, true) => "enabled",
                (false, false) => "disabled",
            };
            let auto_run = starts && !overridden;
            let mut fields = Fields::default();
            let description = description(&bytes).unwrap_or_default();
            let service = StartupService {
                kind: StartupKind::SysvInit,
                name: fields.text("name", name.as_bytes(), NAME_CAP),
                path: fields.text("path", path.as_bytes(), PATH_CAP),
                user: "root".to_owned(),
                enabled: !overridden,
                auto_run,
                state: state.to_owned(),
                description: fields.text("description", description, DESCRIPTION_CAP),
                command_line: fields.text("command_line", format!("{path} start").as_bytes(), PATH_CAP),
                escaped: fields.escaped,
                truncated: fields.truncated,
            };
            services.insert((service.kind, service.name.clone(), service.path.clone()), service);
            found = true;
        }
    }
    Ok(local(root, services, snapshot) || found)
}

/// `rc.local`: one that is not executable is passed over by every init.
fn local(root: &Root, services: &mut Services, snapshot: &mut ClassSnapshot) -> bool {
    let mut seen = BTreeSet::new();
    let mut found = false;
    for path in LOCAL {
        if root.metadata(path).is_err() || root.resolve(path).is_ok_and(|real| !seen.insert(real)) {
            continue;
        }
        let Some(bytes) = head(root, path, snapshot) else { continue };
        let executable = is_executable(root, path);
        let lines = text::lines(&bytes).map(|(_, line)| line.trim_ascii());
        let wanted = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#") && *line != b"exit 0");
        let mut fields = Fields::default();
        let service = StartupService {
            kind: StartupKind::RcLocal,
            name: "rc.local".to_owned(),
            path: path.to_owned(),
            user: "root".to_owned(),
            enabled: executable,
            auto_run: executable,
            state: if executable { "enabled" } else { "disabled" }.to_owned(),
            description: String::new(),
            command_line: command_line("command_line", &wanted.collect::<Vec<_>>().join(&b"; "[..]), &mut fields),
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        services.insert((service.kind, service.name.clone(), service.path.clone()), service);
        found = true;
    }
    found
}

/// The names of the scripts that a level starts: `S20name` stands for `name`.
fn started(root: &Root) -> Result<BTreeSet<String>, ReadError> {
    let mut started = BTreeSet::new();
    for directory in LEVELS.iter().flat_map(|level| [format!("/etc/{level}"), format!("/etc/rc.d/{level}")]) {
        for link in list(root, &directory)? {
            let Some(rest) = link.strip_prefix('S') else { continue };
            let name = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if rest.len() - name.len() == 2 && root.metadata(&format!("{directory}/{link}")).is_ok() {
                started.insert(name.to_owned());
            }
        }
    }
    Ok(started)
}

pub(super) fn list(root: &Root, path: &str) -> Result<Vec<String>, ReadError> {
    match root.list(path) {
        Err(ReadError::Missing { .. }) => Ok(Vec::new()),
        other => other,
    }
}

fn is_copy(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || [".dpkg-", ".rpm", ".ucf-"].iter().any(|mark| name.contains(mark))
}

fn is_executable(root: &Root, path: &str) -> bool {
    root.metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The beginning of a script; one that cannot be read is named as such.
fn head(root: &Root, path: &str, snapshot: &mut ClassSnapshot) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = root.open(path).ok().and_then(|file| file.take(SCRIPT_CAP).read_to_end(&mut bytes).ok());
    if read.is_none() {
        snapshot.unread_sources.push(path.to_owned());
    }
    Some(bytes)
}

/// The description in a script's LSB header.
fn description(script: &[u8]) -> Option<&[u8]> {
    let lines = text::lines(script).map(|(_, line)| line);
    let header = lines
        .skip_while(|line| !line.starts_with(b"### BEGIN INIT INFO"))
        .take_while(|line| !line.starts_with(b"### END"));
    header.filter_map(|line| line.strip_prefix(b"# Short-Description:")).map(<[u8]>::trim_ascii).next()
}
