//! The collector against this host, against made-up hosts, and against logs written by its adversaries.
#![allow(clippy::unwrap_used)]

mod account;
mod archive;
mod authlog;
mod berkeley;
mod budget;
mod container;
mod environment_variable;
mod forgery;
mod jar_package;
mod kernel_module;
mod listening_port;
mod machine;
mod many;
mod proc_tree;
mod process;
mod python;
mod report;
mod resource;
mod rpm;
mod running;
mod scheduled_task;
mod server;
mod site;
mod spool;
mod startup_service;
mod system_package;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use cwpp_collector::Root;
use cwpp_collector::class::{Class, ClassSnapshot};
use serde_json::Value;

/// A made-up host in a temporary directory.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Host(tempfile::tempdir().unwrap())
    }

    /// One of many files, in memory where there is such a place.
    fn large() -> Self {
        Host(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn root(&self) -> Root {
        Root::new(self.path())
    }

    fn read(&self, class: Class) -> ClassSnapshot {
        class.read(&cwpp_collector::Host::new(&self.root(), noon()))
    }
}

/// Reads a class of this very host.
fn read_here(class: Class) -> ClassSnapshot {
    class.read(&cwpp_collector::Host::new(&Root::default(), Utc::now()))
}

/// A tool that the tests compare with, which installs itself where the host has none.
fn tool(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools").join(name)
}

fn noon() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// Runs the collector's command and gives its lines.
fn command(user: Option<u32>, args: &[&str]) -> Vec<Value> {
    // An ordinary user may not be able to enter the build directory: the program is copied to where it can.
    let copy = tempfile::tempdir().unwrap();
    let program = copy.path().join("collector");
    copy_program(env!("CARGO_BIN_EXE_cwpp-collector"), &program);
    let mut permissions = fs::metadata(copy.path()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(copy.path(), permissions).unwrap();

    let mut command = Command::new(program);
    command.args(args).env("TZ", "UTC").current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Copies a program by another process: a file that this one had open for writing may still be so in a child that
/// another test forks at the same time, and cannot be run then.
fn copy_program(from: impl AsRef<Path>, to: &Path) {
    assert!(Command::new("cp").arg(from.as_ref()).arg(to).status().unwrap().success());
}

fn items(lines: &[Value], class: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["record"] == "item" && line["class"] == class).cloned().collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap() == 0
}
