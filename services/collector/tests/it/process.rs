use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, Process, ProcessState};
use sha2::{Digest, Sha256};

use crate::proc_tree::{BOOT_ID, Fake};
use crate::{Host, command, copy_program, is_root, items, read_here};

fn processes(snapshot: &ClassSnapshot) -> Vec<Process> {
    let process = |item: &Item| match item {
        Item::Process(process) => Some(Process::clone(process)),
        _ => None,
    };
    snapshot.items.iter().filter_map(process).collect()
}

fn here() -> ClassSnapshot {
    read_here(Class::Process)
}

/// Numbers and starts of the processes, read as plainly as can be.
fn listed() -> BTreeSet<(u32, u64)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let Ok(stat) = fs::read(path.join("stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let start = stat[stat.rfind(')').unwrap() + 2..].split(' ').nth(19).unwrap().parse().unwrap();
        found.insert((pid, start));
    }
    found
}

fn ticks_since_start() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let (seconds, rest) = uptime.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 100 + rest[..2].parse::<u64>().unwrap()
}

/// A child that is ended with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        // Returns only when the program runs.
        Running(command.spawn().unwrap())
    }

    fn of<'a>(&self, all: &'a [Process]) -> &'a Process {
        all.iter().find(|process| process.pid == self.0.id()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn every_process_there_before_and_after_is_found_and_none_that_was_in_neither() {
    let start = ticks_since_start();
    let before = listed();
    let snapshot = here();
    let after = listed();
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let found: BTreeSet<(u32, u64)> = processes(&snapshot).iter().map(|p| (p.pid, p.start_ticks)).collect();
    for process in before.intersection(&after) {
        assert!(found.contains(process), "{process:?} is missing");
    }
    for process in &found {
        // Those of other tests may come and go meanwhile.
        let (_, started) = process;
        assert!(before.contains(process) || after.contains(process) || *started >= start, "{process:?} is made up");
    }
}

#[test]
fn a_child_has_its_user_its_command_line_and_its_file() {
    let mut sleep = Command::new("sleep");
    sleep.arg("86399");
    let user = if is_root() {
        sleep.uid(65_534).gid(65_534);
        "nobody".to_owned()
    } else {
        String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
    };
    let child = Running::start(&mut sleep);
    let snapshot = here();
    let all = processes(&snapshot);
    let found = child.of(&all);
    assert_eq!((found.name.as_str(), found.command_line.as_str()), ("sleep", "sleep 86399"));
    assert_eq!((found.user.as_str(), found.parent_pid), (user.as_str(), std::process::id()));
    assert_eq!(found.boot_id, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
    let age = chrono::Utc::now() - found.start_time.unwrap();
    assert!((-2..600).contains(&age.num_seconds()), "{age}");

    let path = fs::canonicalize(format!("/proc/{}/exe", found.pid)).unwrap();
    assert_eq!(found.path.as_deref(), path.to_str());
    assert_eq!(found.sha256.as_deref(), Some(hex::encode(Sha256::digest(fs::read(&path).unwrap())).as_str()));
    let packages = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "coreutils"]).output().unwrap();
    assert_eq!(found.package_name.as_deref(), Some("coreutils"));
    assert_eq!(found.package_version, Some(String::from_utf8(packages.stdout).unwrap()));
}

#[test]
fn a_hostile_child_is_shown_cut_escaped_and_without_its_secrets() {
    let directory = tempfile::tempdir().unwrap();
    // The kernel takes the name from the file's; it may hold what separates fields.
    let program = directory.path().join("a) R 1 (\n\\x");
    copy_program(which("sleep"), &program);
    let named = Running::start(Command::new(&program).arg("86399"));
    let long = "x\n\u{1b}[31m ".repeat(12_000);
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line", "sh", "--password=S3CRET"]).args(std::iter::repeat_n(&long, 9));
    let secret = Running::start(shell.stdin(std::process::Stdio::piped()));
    let snapshot = here();
    let all = processes(&snapshot);
    let found = named.of(&all);
    assert_eq!((found.name.as_str(), found.parent_pid), ("a) R 1 (\n\\x", std::process::id()));
    let found = secret.of(&all);
    assert!(found.command_line.starts_with("sh -c read line sh --password=*** x\n\u{1b}[31m "));
    assert_eq!((found.command_line.len(), found.truncated.as_slice()), (4_096, &["command_line".to_owned()][..]));
    assert!(!serde_json::to_string(&snapshot.items).unwrap().contains("S3CRET"));
}

fn which(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists()).unwrap()
}

#[test]
fn an_ordinary_user_sees_the_same_processes_without_what_is_others() {
    if !is_root() {
        return;
    }
    let mut cat = Command::new("cat");
    let child = Running::start(cat.stdin(std::process::Stdio::piped()));
    let lines = command(Some(65_534), &["collect", "--json"]);
    let found = items(&lines, "process");
    let cat = found.iter().find(|process| process["pid"] == child.0.id()).unwrap();
    assert_eq!((&cat["name"], &cat["command_line"], &cat["user"]), (&"cat".into(), &"cat".into(), &"root".into()));
    assert_eq!((cat.get("path"), cat.get("sha256")), (None, None));
    let class = lines.iter().find(|line| line["record"] == "class" && line["class"] == "process").unwrap();
    assert_eq!(class["outcome"], "complete");
    assert!(class["unread_sources"][0].as_str().unwrap().starts_with("/proc/*/exe of "));
}

const CONTAINER: &str =
    "0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";

fn tree() -> Host {
    Host::new()
        .started()
        .with("etc/passwd", "root:x:0:0::/:/bin/sh\nann:x:7:7::/:/bin/sh\n")
        .with("etc/group", "staff:x:7:\n")
        .with("var/lib/dpkg/info/web:amd64.list", "/.\n/bin/web\n")
        .with(
            "var/lib/dpkg/status",
            "Package: web\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.2-3\n",
        )
        .with("usr/bin/web", "the program")
        .process(&Fake { name: b"systemd", args: &[b"/sbin/init"], exe: Some("/sbin/init"), ..Fake::default() })
        .process(&Fake { pid: 2, name: b"kthreadd", ..Fake::default() })
        .process(&Fake { pid: 7, parent: 2, name: b"kworker/0:1-events", state: 'I', ..Fake::default() })
        .process(&Fake {
            pid: 30,
            parent: 1,
            name: b"web",
            args: &[b"web", b"--token", b"S3CRET", b"\xff"],
            exe: Some("/usr/bin/web (deleted)"),
            user: 7,
            start: 4_250,
            tty: 34_816,
            ..Fake::default()
        })
        .process(&Fake {
            pid: 31,
            parent: 1,
            name: b"web",
            args: &[b"web"],
            exe: Some("/usr/bin/web"),
            user: 1_234,
            cgroup: CONTAINER,
            ..Fake::default()
        })
}

#[test]
fn a_process_has_its_names_its_package_and_its_container() {
    let host = tree();
    std::os::unix::fs::symlink("usr/bin", host.path().join("bin")).unwrap();
    let snapshot = host.read(Class::Process);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let all = processes(&snapshot);
    assert_eq!(all.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2, 7, 30, 31]);

    let web = &all[3];
    assert_eq!((web.boot_id.as_str(), web.start_ticks, web.uid), (BOOT_ID, 4_250, 7));
    assert_eq!((web.user.as_str(), web.group.as_deref()), ("ann", Some("staff")));
    assert_eq!((web.path.as_deref(), web.terminal.as_deref()), (Some("/usr/bin/web"), Some("pts/0")));
    assert_eq!((web.command_line.as_str(), web.escaped), ("web --token *** \\xff", true));
    assert_eq!(web.start_time.unwrap().timestamp_millis(), 1_700_000_042_500);
    assert_eq!((web.parent_name.as_deref(), web.state), (Some("systemd"), Some(ProcessState::Sleeping)));
    assert_eq!((web.package_name.as_deref(), web.package_version.as_deref()), (Some("web"), Some("1.2-3")));
    assert_eq!(web.sha256, Some(hex::encode(Sha256::digest(b"the program"))));

    let contained = &all[4];
    assert_eq!(contained.container_runtime.as_deref(), Some("docker"));
    assert_eq!(contained.container_id.as_ref().map(String::len), Some(64));
    assert_eq!((contained.user.as_str(), &contained.package_name, &contained.sha256), ("1234", &None, &None));

    let worker = &all[2];
    assert_eq!((worker.name.as_str(), worker.state), ("kworker/0:1", Some(ProcessState::Idle)));
    assert_eq!((worker.path.as_deref(), worker.command_line.as_str()), (None, ""));
}

#[test]
fn hidden_processes_are_told() {
    let seen = Fake { pid: 70, name: b"sh", args: &[b"sh"], exe: Some("/bin/sh"), ..Fake::default() };
    let host = Host::new().started().process(&seen).with("proc/net/tcp", "header\n").with("proc/net/udp", "header\n");
    // The numbers of others may be listed, and nothing more.
    fs::create_dir(host.path().join("proc/71")).unwrap();
    let readers = [
        Class::Process,
        Class::ListeningPort,
        Class::SoftwareApplication,
        Class::DatabaseInstance,
        Class::WebService,
        Class::WebSite,
        Class::WebApplication,
        Class::WebFramework,
        Class::JarPackage,
    ];
    for class in readers {
        let snapshot = host.read(class);
        assert_eq!(snapshot.unread_sources, ["/proc: processes of other users are hidden"], "{class:?}");
        assert_eq!(snapshot.skipped_count, 0, "{class:?}");
    }
    let host = host.process(&Fake { name: b"init", args: &[b"init"], exe: Some("/sbin/init"), ..Fake::default() });
    for class in readers {
        assert!(host.read(class).unread_sources.is_empty(), "{class:?}");
    }
    let host = host.process(&Fake { pid: 80, name: b"closed", args: &[b"closed"], ..Fake::default() });
    for class in readers {
        assert_eq!(host.read(class).unread_sources, ["/proc/*/exe of processes of other users"], "{class:?}");
    }
}

#[test]
fn a_process_that_ends_while_it_is_read_is_counted() {
    let host = tree();
    fs::create_dir(host.path().join("proc/40")).unwrap();
    fs::remove_file(host.path().join("proc/30/status")).unwrap();
    fs::write(host.path().join("proc/31/stat"), "31 (torn").unwrap();
    let snapshot = host.read(Class::Process);
    assert_eq!((snapshot.outcome.clone(), snapshot.items.len()), (Outcome::Complete, 3));
    assert_eq!(snapshot.skipped_count, 3);
}

#[test]
fn files_that_lead_nowhere_or_in_circles_cost_one_process_each() {
    let host = tree();
    let proc = host.path().join("proc");
    std::os::unix::fs::symlink("/proc/60", proc.join("60")).unwrap();
    std::os::unix::fs::symlink("/proc/1", proc.join("61")).unwrap();
    fs::write(proc.join("62"), "").unwrap();
    fs::create_dir_all(proc.join("99999999999")).unwrap();
    fs::remove_file(proc.join("30/exe")).unwrap();
    std::os::unix::fs::symlink("/proc/30/exe", proc.join("30/exe")).unwrap();
    let huge = format!("31 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0", u64::MAX);
    fs::write(proc.join("31/stat"), huge).unwrap();
    let snapshot = host.read(Class::Process);
    let all = processes(&snapshot);
    // A link to another process is that process's files under another number.
    assert_eq!(all.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2, 7, 30, 61]);
    assert_eq!((all[3].path.as_deref(), &all[3].sha256), (Some("/proc/30/exe"), &None));
    assert_eq!(snapshot.skipped_count, 3);
}

#[test]
fn the_digest_changes_with_a_process_and_not_with_its_state() {
    let digest = |host: &Host| host.read(Class::Process).digest();
    let host = tree();
    let first = digest(&host);
    assert_eq!(digest(&host), first);
    let stat = host.path().join("proc/1/stat");
    let sleeping = fs::read_to_string(&stat).unwrap();
    fs::write(&stat, sleeping.replace(" S ", " R ")).unwrap();
    assert_eq!(digest(&host), first);
    let host = host.process(&Fake { pid: 50, parent: 1, name: b"new", args: &[b"new"], ..Fake::default() });
    assert_ne!(digest(&host), first);
}

#[test]
fn without_processes_the_class_is_not_there_and_without_the_starts_id_it_is_unreadable() {
    assert!(matches!(Host::new().read(Class::Process).outcome, Outcome::NotPresent { .. }));
    assert!(matches!(Host::new().started().read(Class::Process).outcome, Outcome::NotPresent { .. }));
    let host = Host::new().process(&Fake::default());
    assert!(matches!(host.read(Class::Process).outcome, Outcome::Unreadable { .. }));
}

#[test]
fn a_program_beyond_the_budget_has_no_digest_and_takes_none_away() {
    let host = tree();
    let large = fs::File::create(host.path().join("usr/bin/large")).unwrap();
    large.set_len(1 << 40).unwrap();
    let host =
        host.process(&Fake { pid: 3, name: b"large", args: &[b"l"], exe: Some("/usr/bin/large"), ..Fake::default() });
    let all = processes(&host.read(Class::Process));
    let sum = |pid: u32| all.iter().find(|process| process.pid == pid).unwrap().sha256.clone();
    assert!(sum(30).is_some());
    assert_eq!(sum(3), None);
}
