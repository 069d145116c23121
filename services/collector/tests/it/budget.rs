//! What a collection may cost, measured in a process of its own.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::proc_tree::Fake;
use crate::{Host, command, items, many};

const PACKAGES: usize = 3_000;
const DISTRIBUTIONS: usize = 2_000;
const PROCESSES: u32 = 5_000;
const PORTS: usize = 500;
const JARS: usize = 10_000;
const SERVICES: usize = 1_000;
const TASKS: usize = 500;
pub(crate) const MIB: u64 = 1 << 20;

/// The container that a process is in, if it is in one: every fifth, a hundred to each.
fn container(pid: u32) -> Option<u32> {
    pid.is_multiple_of(5).then_some(pid / 500)
}

/// A host as large as they get: packages with their lists of files, processes with long command lines, ports.
fn large_host() -> Host {
    let mut status = String::new();
    let mut host = Host::large().started();
    let info = host.path().join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    for package in 0..PACKAGES {
        let name = format!("package-{package}");
        write!(
            status,
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{package}-1\nMaintainer: A <a@example.org>\nDescription: one of many\n of them\n\n"
        )
        .unwrap();
        let mut list = format!("/usr/bin/program-{package}\n");
        (0..100).for_each(|file| writeln!(list, "/usr/share/doc/{name}/a-file-of-a-long-name-{file}").unwrap());
        fs::write(info.join(format!("{name}.list")), list).unwrap();
    }
    host = host.with("var/lib/dpkg/status", status);
    fs::create_dir_all(host.path().join("usr/bin")).unwrap();
    for program in 0..500 {
        fs::write(host.path().join(format!("usr/bin/program-{program}")), vec![b'x'; 100_000]).unwrap();
    }
    let mut table = "header\n".to_owned();
    for port in 0..PORTS {
        writeln!(table, "0: 00000000:{:04X} 00000000:0000 0A 0:0 0:0 0 0 0 {}", 1_000 + port, 10_000 + port).unwrap();
    }
    host = host.with("proc/1/net/tcp", &table).with("proc/1/net/udp", "header\n");
    let accounts: String = (0..40).map(|user| format!("user-{user}:x:{user}:{user}::/:/bin/sh\n")).collect();
    let long = "--option=of-some-length ".repeat(80);
    for pid in 1..=PROCESSES {
        let exe = format!("/usr/bin/program-{}", pid % 600);
        // A few are as long as the kernel lets them be.
        let huge = "x".repeat(if pid % 500 == 0 { MIB as usize } else { 0 });
        let args = [exe.as_bytes(), long.as_bytes(), b"--password", b"S3CRET", huge.as_bytes()];
        let socket = [10_000 + u64::from(pid)];
        let cgroup = container(pid).map_or_else(|| "0::/".to_owned(), |id| format!("0::/docker/{id:064x}"));
        host = host.process(&Fake {
            pid,
            parent: pid / 2,
            name: b"program",
            args: &args,
            exe: Some(&exe),
            start: u64::from(pid),
            sockets: &socket,
            cgroup: &cgroup,
            ..Fake::default()
        });
    }
    for pid in (1..=PROCESSES).filter(|pid| container(*pid).is_some()) {
        host = host.with(&format!("proc/{pid}/root/etc/passwd"), &accounts);
    }
    // Single archives, and archives with twenty in each, half of them deflated.
    many::archives(host.path(), JARS - 200 * 21, 200, 20);
    many::services(host.path(), SERVICES);
    many::tasks(host.path(), TASKS);
    many::distributions(host.path(), DISTRIBUTIONS);
    host
}

pub(crate) fn cost(lines: &[Value]) -> (u64, u64) {
    let cost = lines.last().unwrap();
    assert_eq!(cost["record"], "cost");
    (cost["cpu_milliseconds"].as_u64().unwrap(), cost["peak_bytes"].as_u64().unwrap())
}

#[test]
fn a_large_host_costs_less_than_20_seconds_and_96_mib() {
    let host = large_host();
    let lines = command(None, &["collect", "--json", "--cost", "--root", host.path().to_str().unwrap()]);
    let processes = items(&lines, "process");
    assert_eq!(
        (processes.len(), items(&lines, "system_package").len()),
        (PROCESSES as usize, PACKAGES + DISTRIBUTIONS)
    );
    assert_eq!(items(&lines, "listening_port").len(), PORTS);
    let others = ["jar_package", "startup_service", "scheduled_task"].map(|class| items(&lines, class).len());
    assert_eq!(others, [JARS, SERVICES, TASKS]);
    assert!(processes.iter().all(|process| !process["command_line"].as_str().unwrap().contains("S3CRET")));
    let packaged = (1..=PROCESSES).filter(|pid| container(*pid).is_none()).count();
    assert_eq!(processes.iter().filter(|process| process.get("package_name").is_some()).count(), packaged);
    let named = |process: &&Value| process["user"] == "user-0";
    assert_eq!(processes.iter().filter(named).count(), PROCESSES as usize - packaged);
    let (milliseconds, bytes) = cost(&lines);
    assert!(milliseconds < 20_000 && bytes < 96 * MIB, "{milliseconds} ms, {bytes} bytes");
}

/// What runs here is the machine's own affair, so the bar on time is that of a release build.
#[test]
fn this_host_costs_less_than_3_seconds_and_64_mib() {
    let lines = command(None, &["collect", "--json", "--cost"]);
    let (milliseconds, bytes) = cost(&lines);
    let is_in_time = milliseconds < 3_000 || cfg!(debug_assertions);
    assert!(is_in_time && milliseconds > 0 && bytes < 64 * MIB, "{milliseconds} ms, {bytes} bytes");
}
