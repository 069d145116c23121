//! SHA-256 of the executables, within a budget.
//!
//! Each file is read once, however many processes run it; the smallest first, until the budget is spent. So a large
//! executable that starts takes no digest away from others, and equal hosts have equal results.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Process;
use crate::Root;

/// The most bytes that are read of all executables together.
const BUDGET: u64 = 128 << 20;
const BUFFER: usize = 64 << 10;
/// What `statfs` says of a real `/proc`.
const PROC_MAGIC: u64 = 0x9fa0;

/// An executable and the processes that run it.
struct Program {
    file: PathBuf,
    size: u64,
    processes: Vec<usize>,
}

pub(in crate::class) fn fill(root: &Root, items: &mut [Process]) {
    let is_live = root
        .resolve("/proc")
        .is_ok_and(|path| rustix::fs::statfs(path).is_ok_and(|about| u64::try_from(about.f_type) == Ok(PROC_MAGIC)));
    let mut programs: HashMap<(u64, u64), Program> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let Some(path) = item.path.as_ref() else { continue };
        // A copied tree does not hold the containers' files, and may hold others by the same paths.
        if !is_live && item.container_id.is_some() {
            continue;
        }
        // A real link leads to the file itself, in whatever container and even if it is removed; a copied one is a path.
        let file = if is_live {
            root.resolve(&format!("/proc/{}", item.pid)).map(|path| path.join("exe"))
        } else {
            root.resolve(path)
        };
        let Ok(file) = file else { continue };
        let Ok(about) = std::fs::metadata(&file) else { continue };
        if about.is_file() {
            let program = Program { file, size: about.len(), processes: Vec::new() };
            programs.entry((about.dev(), about.ino())).or_insert(program).processes.push(at);
        }
    }
    let mut programs: Vec<Program> = programs.into_values().collect();
    programs.sort_by_key(|program| (program.size, program.processes.first().copied()));
    let mut left = BUDGET;
    for program in programs {
        // Those that follow are no smaller.
        let Some(rest) = left.checked_sub(program.size) else { break };
        left = rest;
        if let Some(sum) = sum(&program) {
            for &at in &program.processes {
                items[at].sha256 = Some(sum.clone());
            }
        }
    }
}

/// None for a file that cannot be read, or grew since.
fn sum(program: &Program) -> Option<String> {
    let mut file = File::open(&program.file).ok()?.take(program.size + 1);
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
    (read == program.size).then(|| hex::encode(hasher.finalize()))
}
