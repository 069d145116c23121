//! Which scripts OpenRC starts: those that a runlevel links to.

use std::collections::BTreeSet;

use super::sysv::list;
use crate::{ReadError, Root};

const LEVELS: &str = "/etc/runlevels";
/// The levels that a machine goes through at its start. Others are entered when somebody asks, or at the end.
const AT_START: [&str; 3] = ["sysinit", "boot", "default"];
/// The most levels that are looked at.
const LEVEL_CAP: usize = 100;

/// The names of scripts.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// Those that any level starts.
    pub(super) by_any: BTreeSet<String>,
    /// Those that start with the machine.
    pub(super) with_machine: BTreeSet<String>,
}

impl Started {
    /// Reads the levels; without OpenRC there are none.
    pub(super) fn read(root: &Root) -> Result<Self, ReadError> {
        let mut started = Started::default();
        let mut open: Vec<String> = AT_START.into_iter().map(str::to_owned).collect();
        let mut seen = BTreeSet::new();
        while let Some(level) = open.pop() {
            if !seen.insert(level.clone()) || seen.len() > LEVEL_CAP {
                continue;
            }
            let (scripts, levels) = entries(root, &level)?;
            started.with_machine.extend(scripts);
            // A level that stands in another is entered with it.
            open.extend(levels);
        }
        started.by_any.extend(started.with_machine.iter().cloned());
        for level in list(root, LEVELS)?.iter().take(LEVEL_CAP).filter(|level| !seen.contains(*level)) {
            started.by_any.extend(entries(root, level)?.0);
        }
        Ok(started)
    }
}

/// The scripts and the levels that a level names.
fn entries(root: &Root, level: &str) -> Result<(Vec<String>, Vec<String>), ReadError> {
    let (mut scripts, mut levels) = (Vec::new(), Vec::new());
    for name in list(root, &format!("{LEVELS}/{level}"))? {
        // One that leads nowhere starts nothing.
        match root.metadata(&format!("{LEVELS}/{level}/{name}")) {
            Ok(file) if file.is_dir() => levels.push(name),
            Ok(_) => scripts.push(name),
            Err(_) => {}
        }
    }
    Ok((scripts, levels))
}
