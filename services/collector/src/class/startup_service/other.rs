//! Other init systems, whose services are not read: that there are any is told.

use crate::Root;
use crate::text;

/// What is looked at of a folder or a table.
const FOLDER_CAP: usize = 1_000;
const TABLE_CAP: usize = 64 << 10;

const UPSTART: &str = "/etc/init";
const INITTAB: &str = "/etc/inittab";
/// Those that also run beside systemd, and the folders that hold something where they do.
const BESIDE: [(&str, &[&str]); 2] =
    [("runit", &["/run/runit", "/etc/runit/runsvdir"]), ("s6", &["/run/s6", "/run/s6-rc", "/etc/s6", "/etc/s6-rc"])];

/// The services of other init systems. Jobs of Upstart and a table of init are of no effect where systemd runs.
pub(super) fn unread(root: &Root, is_systemd: bool) -> Vec<String> {
    let mut unread = Vec::new();
    let names = |folder: &str| root.list_head(folder, FOLDER_CAP).map(|(names, _)| names).unwrap_or_default();
    if !is_systemd && names(UPSTART).iter().any(|name| name.ends_with(".conf")) {
        unread.push(format!("jobs of Upstart ({UPSTART})"));
    }
    for (init, folders) in BESIDE {
        let folder = folders.iter().find(|folder| !names(folder).is_empty());
        unread.extend(folder.map(|folder| format!("services of {init} ({folder})")));
    }
    if !is_systemd && respawns(root) {
        unread.push(format!("what init itself keeps running ({INITTAB})"));
    }
    unread
}

/// Whether init starts something itself, over and over: a line is id, levels, action and command.
fn respawns(root: &Root) -> bool {
    let (bytes, _) = root.read_head(INITTAB, TABLE_CAP).unwrap_or_default();
    text::lines(&bytes).any(|(_, line)| {
        let line = line.trim_ascii();
        let action = line.split(|&byte| byte == b':').nth(2).map(<[u8]>::trim_ascii);
        !line.starts_with(b"#") && action == Some(b"respawn")
    })
}
