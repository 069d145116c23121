//! crontabs of the system and of users, the folders of scripts, and anacron.

use std::os::unix::fs::PermissionsExt as _;

use super::{ScheduleKind, Tasks, Written};
use crate::{Root, text};

const SYSTEM: &str = "/etc/crontab";
const PARTS: &str = "/etc/cron.d";
const ANACRON: &str = "/etc/anacrontab";
/// Crontabs of users, each named after its user: of Debian, SUSE, Red Hat and busybox. The folder of Red Hat's holds the
/// other two on Debian and SUSE.
const USERS: [&str; 4] = ["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron", "/etc/crontabs"];
const SCRIPTS: [(&str, &str); 5] = [
    ("/etc/cron.hourly", "@hourly"),
    ("/etc/cron.daily", "@daily"),
    ("/etc/cron.weekly", "@weekly"),
    ("/etc/cron.monthly", "@monthly"),
    ("/etc/cron.yearly", "@yearly"),
];
const NICKNAMES: [&[u8]; 8] =
    [b"@reboot", b"@yearly", b"@annually", b"@monthly", b"@weekly", b"@daily", b"@midnight", b"@hourly"];

pub(super) fn read(root: &Root, tasks: &mut Tasks) {
    let is_debian = root.metadata("/etc/debian_version").is_ok();
    if let Some(bytes) = tasks.source(SYSTEM, root.read(SYSTEM)) {
        crontab(&bytes, SYSTEM, None, true, tasks);
    }
    for name in tasks.source(PARTS, root.list(PARTS)).unwrap_or_default() {
        if is_copy(&name) {
            continue;
        }
        let path = format!("{PARTS}/{name}");
        if let Some(bytes) = tasks.source(&path, root.read(&path)) {
            // Debian's cron passes over names with a dot.
            crontab(&bytes, &path, None, !is_debian || is_plain(&name), tasks);
        }
    }
    for directory in USERS {
        for name in tasks.source(directory, root.list(directory)).unwrap_or_default() {
            let path = format!("{directory}/{name}");
            if is_copy(&name) || root.metadata(&path).is_ok_and(|file| !file.is_file()) {
                continue;
            }
            if let Some(bytes) = tasks.source(&path, root.read(&path)) {
                crontab(&bytes, &path, Some(name.as_bytes()), true, tasks);
            }
        }
    }
    for (directory, schedule) in SCRIPTS {
        for name in tasks.source(directory, root.list(directory)).unwrap_or_default() {
            let path = format!("{directory}/{name}");
            let Ok(file) = root.metadata(&path) else { continue };
            if is_copy(&name) || !file.is_file() {
                continue;
            }
            let enabled = file.permissions().mode() & 0o111 != 0 && (!is_debian || is_plain(&name));
            tasks.add(&Written {
                kind: ScheduleKind::Cron,
                name: "",
                schedule: schedule.as_bytes(),
                command: path.as_bytes(),
                user: b"root",
                path: &path,
                line: 0,
                enabled,
            });
        }
    }
    if let Some(bytes) = tasks.source(ANACRON, root.read(ANACRON)) {
        anacrontab(&bytes, tasks);
    }
}

/// Reads a crontab; in one without `owner` each line names its user.
fn crontab(bytes: &[u8], path: &str, owner: Option<&[u8]>, enabled: bool, tasks: &mut Tasks) {
    for (number, line) in text::lines(bytes) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || is_assignment(line) {
            continue;
        }
        match entry(line, owner) {
            Ok((schedule, user, command)) => {
                let kind = ScheduleKind::Cron;
                tasks.add(&Written { kind, name: "", schedule, command, user, path, line: number, enabled });
            }
            Err(reason) => tasks.snapshot.skip(path, number, reason),
        }
    }
}

type Entry<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Schedule, user and command of a line.
fn entry<'a>(line: &'a [u8], owner: Option<&'a [u8]>) -> Result<Entry<'a>, &'static str> {
    // A minus sign keeps the run out of the log.
    let line = line.strip_prefix(b"-").unwrap_or(line);
    let (schedule, rest) = if line.starts_with(b"@") {
        let (nickname, rest) = split(line, 1);
        if !NICKNAMES.iter().any(|known| nickname.eq_ignore_ascii_case(known)) {
            return Err("no schedule that is known");
        }
        (nickname, rest)
    } else {
        let (schedule, rest) = split(line, 5);
        let mut parts = schedule.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
        if parts.clone().count() != 5 || !parts.all(is_time) {
            return Err("no schedule that is known");
        }
        (schedule, rest)
    };
    let (user, command) = match owner {
        Some(owner) => (owner, rest),
        None => split(rest, 1),
    };
    if command.is_empty() { Err("no command") } else { Ok((schedule, user, command)) }
}

fn anacrontab(bytes: &[u8], tasks: &mut Tasks) {
    for (number, line) in text::lines(bytes) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || is_assignment(line) {
            continue;
        }
        // Period in days, delay in minutes, name, command.
        let (schedule, rest) = split(line, 2);
        let (_, command) = split(rest, 1);
        let (period, delay) = split(schedule, 1);
        let is_period = period.starts_with(b"@") || period.iter().all(u8::is_ascii_digit);
        if command.is_empty() || !is_period || !delay.iter().all(u8::is_ascii_digit) {
            tasks.snapshot.skip(ANACRON, number, "no period, delay, name and command");
            continue;
        }
        tasks.add(&Written {
            kind: ScheduleKind::Anacron,
            name: "",
            schedule,
            command,
            user: b"root",
            path: ANACRON,
            line: number,
            enabled: true,
        });
    }
}

/// The first words of a line, and the rest.
fn split(line: &[u8], words: usize) -> (&[u8], &[u8]) {
    let mut end = 0;
    for _ in 0..words {
        end += line[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        end += line[end..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    }
    (line[..end].trim_ascii(), line[end..].trim_ascii())
}

/// `NAME=value`, the name perhaps in quotes.
fn is_assignment(line: &[u8]) -> bool {
    let Some(equals) = line.iter().position(|&byte| byte == b'=') else { return false };
    let name = line[..equals].trim_ascii();
    let name = name.strip_prefix(b"\"").or(name.strip_prefix(b"'")).unwrap_or(name);
    let name = name.strip_suffix(b"\"").or(name.strip_suffix(b"'")).unwrap_or(name);
    name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// A field of a schedule: numbers, names of months and days, `*`, lists, ranges, steps; `~` and `?` of some crons.
fn is_time(part: &[u8]) -> bool {
    part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"*,-/~?".contains(byte))
        && part.first().is_some_and(|byte| !byte.is_ascii_alphabetic() || part.len() >= 3)
}

fn is_copy(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || [".dpkg-", ".rpm", ".ucf-"].iter().any(|mark| name.contains(mark))
}

/// The names that Debian's cron and run-parts take.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_entries_and_nonsense_are_told_apart() {
        assert!(is_assignment(b"PATH = /bin") && is_assignment(b"\"MAIL\"=x") && !is_assignment(b"* * * * * a=b"));
        let entry = |line: &'static str| entry(line.as_bytes(), None);
        assert_eq!(
            entry("*/5 1-3 * jan mon,tue\troot  a b"),
            Ok((&b"*/5 1-3 * jan mon,tue"[..], &b"root"[..], &b"a b"[..]))
        );
        assert_eq!(entry("@reboot ann a"), Ok((&b"@reboot"[..], &b"ann"[..], &b"a"[..])));
        assert!(
            entry("@never root a").is_err() && entry("* * * * root a").is_err() && entry("* * * * * root").is_err()
        );
        assert!(entry("not a line of cron at all").is_err() && entry("-5 * * * * root quiet").is_ok());
    }
}
