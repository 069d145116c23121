//! Jobs of at: scripts whose name holds the time in minutes since 1970 and whose head holds the user's number.

use chrono::{DateTime, SecondsFormat};

use super::{ScheduleKind, Tasks, Written};
use crate::{Root, text};

const DIRECTORIES: [&str; 3] = ["/var/spool/cron/atjobs", "/var/spool/atjobs", "/var/spool/at"];

pub(super) fn read(root: &Root, tasks: &mut Tasks) {
    for directory in DIRECTORIES {
        for name in tasks.source(directory, root.list(directory)).unwrap_or_default() {
            let Some(minutes) = minutes(&name) else { continue };
            let path = format!("{directory}/{name}");
            let Some(bytes) = tasks.source(&path, root.read(&path)) else { continue };
            let Some(time) = DateTime::from_timestamp(minutes * 60, 0) else { continue };
            let uid = uid(&bytes);
            let user =
                uid.and_then(|uid| user(root, uid)).or_else(|| uid.map(|uid| uid.to_string())).unwrap_or_default();
            tasks.add(&Written {
                kind: ScheduleKind::At,
                name: "",
                schedule: time.to_rfc3339_opts(SecondsFormat::Secs, true).as_bytes(),
                command: commands(&bytes).trim_ascii(),
                user: user.as_bytes(),
                path: &path,
                line: 0,
                enabled: true,
            });
        }
    }
}

/// `a0000b01c8e3f4`: queue, number of the job, time. A running job begins with `=`.
fn minutes(name: &str) -> Option<i64> {
    let (head, time) = name.split_at_checked(6)?;
    let queue = head.as_bytes()[0];
    let is_job =
        (queue.is_ascii_alphabetic() || queue == b'=') && head[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_job && time.len() == 8).then(|| i64::from_str_radix(time, 16).ok()).flatten()
}

/// `# atrun uid=1000 gid=1000`.
fn uid(script: &[u8]) -> Option<u32> {
    let line = text::lines(script).map(|(_, line)| line).find(|line| line.starts_with(b"# atrun uid="))?;
    let digits = &line[b"# atrun uid=".len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

fn user(root: &Root, uid: u32) -> Option<String> {
    let passwd = root.read("/etc/passwd").ok()?;
    let number = uid.to_string();
    let mut lines = text::lines(&passwd);
    lines.find_map(|(_, line)| {
        let mut parts = line.split(|&byte| byte == b':');
        let name = parts.next()?;
        (parts.nth(1)? == number.as_bytes()).then(|| String::from_utf8_lossy(name).into_owned())
    })
}

/// What the user wrote: all after the block that enters the folder. The environment before it is not looked at.
fn commands(script: &[u8]) -> &[u8] {
    let mut at = 0;
    let mut in_block = false;
    for line in script.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        let line = line.trim_ascii();
        in_block |= line.starts_with(b"cd ") && line.ends_with(b"{");
        if in_block && line == b"}" {
            return &script[at..];
        }
    }
    b""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_job_holds_its_time() {
        assert_eq!(minutes("a0000101c5d4c4"), Some(0x01c5_d4c4));
        assert_eq!(
            (minutes(".SEQ"), minutes("a00001xxxxxxxx"), minutes("spool"), minutes("é0000101c5d4c4")),
            (None, None, None, None)
        );
    }
}
