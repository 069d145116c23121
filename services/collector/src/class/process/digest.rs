//! SHA-256 of the executables, within a budget.
//!
//! Each file is read once, however many processes run it and classes tell of it; the smallest first, until the budget is
//! spent. So a large executable that starts takes no digest away from others, and equal hosts have equal results. What
//! nobody asks for is not read.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Root;
use crate::process::Processes;

/// The most bytes that are read of all executables together.
const BUDGET: u64 = 128 << 20;
const BUFFER: usize = 64 << 10;
/// What `statfs` says of a real `/proc`.
const PROC_MAGIC: u64 = 0x9fa0;

/// An executable and the processes that run it.
#[derive(Debug)]
struct Program {
    /// The ways to it, by each process that runs it: one may have ended since.
    files: Vec<PathBuf>,
    size: u64,
    pids: Vec<u32>,
    sum: OnceCell<Option<String>>,
}

/// The digests of what runs on a host.
#[derive(Debug, Default)]
pub(super) struct Digests {
    programs: Vec<Program>,
    by_pid: HashMap<u32, usize>,
}

impl Digests {
    /// Finds the executables that the budget is enough for; none of them is read yet.
    pub(super) fn of(root: &Root, processes: &Processes) -> Self {
        let is_live = root.resolve("/proc").is_ok_and(|path| {
            rustix::fs::statfs(path).is_ok_and(|about| u64::try_from(about.f_type) == Ok(PROC_MAGIC))
        });
        let mut programs: HashMap<(u64, u64), Program> = HashMap::new();
        for process in processes.iter() {
            let Some(exe) = process.exe.as_deref() else { continue };
            // A copied tree does not hold the containers' files, and may hold others by the same paths.
            if !is_live && process.container.is_some() {
                continue;
            }
            // A real link leads to the file itself, in whatever container and even if it is removed; a copied one is a path.
            let file = match std::str::from_utf8(exe) {
                _ if is_live => root.resolve(&format!("/proc/{}", process.pid)).map(|path| path.join("exe")),
                Ok(path) => root.resolve(path),
                Err(_) => continue,
            };
            let Ok(file) = file else { continue };
            let Ok(about) = std::fs::metadata(&file) else { continue };
            if about.is_file() {
                let program =
                    || Program { files: Vec::new(), size: about.len(), pids: Vec::new(), sum: OnceCell::new() };
                let program = programs.entry((about.dev(), about.ino())).or_insert_with(program);
                program.files.push(file);
                program.pids.push(process.pid);
            }
        }
        let mut programs: Vec<Program> = programs.into_values().collect();
        programs.sort_by_key(|program| (program.size, program.pids.first().copied()));
        let mut left = BUDGET;
        // Those that follow one that is too large are no smaller.
        programs.retain(|program| match left.checked_sub(program.size) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        let pids =
            |(at, program): (usize, &Program)| program.pids.iter().map(move |pid| (*pid, at)).collect::<Vec<_>>();
        let by_pid = programs.iter().enumerate().flat_map(pids).collect();
        Digests { programs, by_pid }
    }

    /// The digest of a process's executable; none where it is beyond the budget or cannot be read.
    pub(super) fn get(&self, pid: u32) -> Option<String> {
        let program = &self.programs[*self.by_pid.get(&pid)?];
        program.sum.get_or_init(|| program.files.iter().find_map(|file| sum(file, program.size))).clone()
    }
}

/// None for a file that cannot be read, or grew since.
fn sum(file: &Path, size: u64) -> Option<String> {
    let mut file = File::open(file).ok()?.take(size + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut read = 0;
    loop {
        let count = file.read(&mut buffer).ok()?;
        if count == 0 {
            break;
        }
        read += count as u64;
        hasher.update(&buffer[..count]);
    }
    (read == size).then(|| hex::encode(hasher.finalize()))
}
