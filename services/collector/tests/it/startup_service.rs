use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, StartupKind, StartupService};

use crate::{Host, command, items, tool};

fn services(snapshot: &ClassSnapshot) -> Vec<StartupService> {
    let service = |item: &Item| match item {
        Item::StartupService(service) => Some(service.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(service).collect()
}

fn service(host: &Host, name: &str) -> StartupService {
    let services = services(&host.read(Class::StartupService));
    services.into_iter().find(|service| service.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// What `systemctl` says of the unit files below a root: name to state. The scope is `--system`, or `--global` for the
/// units of all users.
fn systemctl(root: &Path, scope: &str) -> BTreeMap<String, String> {
    let mut command = Command::new(tool("systemctl"));
    command.arg(format!("--root={}", root.display())).arg(scope);
    let output = command.args(["list-unit-files", "--no-legend", "--type=service,socket,path"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.len() > 1).map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
}

/// What was read of the system's or of all users' units, without the instances that only a link names: `systemctl` does not
/// list them.
fn compared(services: &[StartupService], folder: &str) -> BTreeMap<String, String> {
    let own = |service: &&StartupService| {
        service.kind == StartupKind::Systemd
            && service.path.ends_with(&service.name)
            && service.path.contains(folder)
            && !service.path.contains("/.")
    };
    services.iter().filter(own).map(|service| (service.name.clone(), service.state.clone())).collect()
}

#[test]
fn this_hosts_units_have_the_states_that_systemctl_says() {
    let lines = command(None, &["collect", "--json"]);
    let found: Vec<StartupService> =
        items(&lines, "startup_service").into_iter().map(|item| serde_json::from_value(item).unwrap()).collect();
    for (scope, users) in [("--system", false), ("--global", true)] {
        let of = |service: &&StartupService| service.path.contains("/systemd/user/") == users;
        let found: Vec<StartupService> = found.iter().filter(of).cloned().collect();
        assert_eq!(compared(&found, "/"), systemctl(Path::new("/"), scope), "{scope}");
    }
}

const BARE: &str = "[Unit]\nDescription=A thing\n[Service]\nExecStart=/bin/thing\n";

fn with_install(install: &str) -> String {
    format!("{BARE}[Install]\n{install}\n")
}

trait Links {
    fn link(self, target: &str, path: &str) -> Self;
    fn executable(self, path: &str, content: &str) -> Self;
}

impl Links for Host {
    fn link(self, target: &str, path: &str) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn executable(self, path: &str, content: &str) -> Self {
        let host = self.with(path, content);
        fs::set_permissions(host.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
        host
    }
}

fn targets(host: Host) -> Host {
    host.with("usr/lib/systemd/system/multi-user.target", "[Unit]\nRequires=basic.target\n")
        .with("usr/lib/systemd/system/basic.target", "[Unit]\nRequires=sysinit.target\n")
        .with("usr/lib/systemd/system/sysinit.target", "[Unit]\nDefaultDependencies=no\n")
        .link("multi-user.target", "usr/lib/systemd/system/default.target")
}

#[test]
fn a_made_up_hosts_units_have_the_states_that_systemctl_says() {
    let wanted = with_install("WantedBy=multi-user.target");
    let instance = with_install("WantedBy=multi-user.target\nDefaultInstance=one");
    let host = targets(Host::new())
        .with("etc/systemd/system/enabled.service", &wanted)
        .link("../enabled.service", "etc/systemd/system/multi-user.target.wants/enabled.service")
        .with("usr/lib/systemd/system/disabled.service", &wanted)
        .with("usr/lib/systemd/system/masked.service", &wanted)
        .link("/dev/null", "etc/systemd/system/masked.service")
        .with("etc/systemd/system/empty.service", "")
        .with("usr/lib/systemd/system/overridden.service", BARE)
        .with("etc/systemd/system/overridden.service", &wanted)
        .with("usr/lib/systemd/system/indirect@.service", &instance)
        .link(
            "/usr/lib/systemd/system/indirect@.service",
            "etc/systemd/system/multi-user.target.wants/indirect@x.service",
        )
        .with("usr/lib/systemd/system/default@.service", &instance)
        .link(
            "/usr/lib/systemd/system/default@.service",
            "etc/systemd/system/multi-user.target.wants/default@one.service",
        )
        .with("usr/lib/systemd/system/aliased.service", with_install("Alias=known.service"))
        .link("/usr/lib/systemd/system/aliased.service", "etc/systemd/system/known.service")
        .with("usr/lib/systemd/system/renamed.service", BARE)
        .link("/usr/lib/systemd/system/renamed.service", "etc/systemd/system/unknown.service")
        .with("opt/linked.service", BARE)
        .link("/opt/linked.service", "etc/systemd/system/linked.service")
        .with("usr/lib/systemd/system/also.service", with_install("Also=disabled.service"))
        .with("usr/lib/systemd/system/static.service", BARE)
        .link("../static.service", "usr/lib/systemd/system/multi-user.target.wants/static.service")
        .with("run/systemd/generator/generated.service", BARE)
        .with("run/systemd/transient/transient.service", BARE)
        .with("usr/lib/systemd/system/until-restart.service", &wanted)
        .link("/x", "run/systemd/system/multi-user.target.wants/until-restart.service")
        .with("usr/lib/systemd/system/masked-until-restart.service", &wanted)
        .link("/dev/null", "run/systemd/system/masked-until-restart.service")
        .with("usr/lib/systemd/system/extended.service", BARE)
        .with("etc/systemd/system/extended.service.d/install.conf", "[Install]\nWantedBy=multi-user.target\n")
        .link("/opt/gone.service", "etc/systemd/system/gone.service")
        .with("usr/lib/systemd/system/many@.service", &wanted)
        .link("/usr/lib/systemd/system/many@.service", "etc/systemd/system/many@two.service")
        .with("usr/lib/systemd/system/README", "no unit")
        .with("usr/lib/systemd/system/a.socket", "[Socket]\nListenStream=1\n[Install]\nWantedBy=sockets.target\n");
    let found = services(&host.read(Class::StartupService));
    let expected = systemctl(host.path(), "--system");
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(compared(&found, "/"), expected);

    let started: Vec<&str> = found.iter().filter(|s| s.auto_run).map(|s| s.name.as_str()).collect();
    let wanted = [
        "default@.service",
        "default@one.service",
        "enabled.service",
        "indirect@.service",
        "indirect@x.service",
        "static.service",
        "until-restart.service",
    ];
    assert_eq!(started, wanted);
    let masked = found.iter().find(|service| service.name == "masked.service").unwrap();
    assert!(!masked.enabled && !masked.auto_run && masked.command_line.is_empty());
}

#[test]
fn user_and_command_come_from_the_file_that_counts_and_its_drop_ins_without_secrets() {
    let host = targets(Host::new())
        .with("usr/lib/systemd/system/app-web.service", "[Service]\nUser=vendor\nExecStart=/bin/vendor\n")
        .with(
            "etc/systemd/system/app-web.service",
            "[Unit]\nDescription=The web \\\n  of things\n[Service]\nExecStart=/bin/app --password=hunter2 \\\n--port 80\n",
        )
        .with("usr/lib/systemd/system/app-.service.d/50-user.conf", "[Service]\nUser=prefix\n")
        .with("usr/lib/systemd/system/app-web.service.d/50-user.conf", "[Service]\nUser=web\n")
        .with("etc/systemd/system/service.d/60-all.conf", "[Service]\nNice=1\n")
        .with("usr/lib/systemd/system/plain.service", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\nExecStart=/bin/c\n")
        .with("usr/lib/systemd/system/dynamic.service", "[Service]\nDynamicUser=yes\nExecStart=/bin/d\n");
    let web = service(&host, "app-web.service");
    assert_eq!((web.user.as_str(), web.path.as_str()), ("web", "/etc/systemd/system/app-web.service"));
    assert!(web.command_line.starts_with("/bin/app --password=") && web.command_line.ends_with("--port 80"));
    assert!(!web.command_line.contains("hunter2"), "{}", web.command_line);
    assert_eq!(web.description, "The web  of things");
    assert_eq!(service(&host, "plain.service").command_line, "/bin/b; /bin/c");
    assert_eq!(
        (service(&host, "plain.service").user, service(&host, "dynamic.service").user),
        ("root".into(), "dynamic".into())
    );
}

#[test]
fn scripts_of_system_v_start_where_a_level_says_so_and_no_unit_stands_before_them() {
    let header =
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: old\n# Short-Description: An old daemon\n### END INIT INFO\n";
    let host = Host::new()
        .executable("etc/init.d/old", header)
        .link("../init.d/old", "etc/rc2.d/S01old")
        .link("../init.d/old", "etc/rc0.d/K01old")
        .executable("etc/init.d/idle", "#!/bin/sh\n")
        .executable("etc/init.d/new", "#!/bin/sh\n")
        .link("../init.d/new", "etc/rc2.d/S20new")
        .with("etc/init.d/README", "text")
        .with("usr/lib/systemd/system/new.service", BARE)
        .with("etc/rc.local", "#!/bin/sh\n/usr/bin/beacon --token abcdef123456\nexit 0\n");
    let old = service(&host, "old");
    assert_eq!((old.kind, old.auto_run, old.state.as_str()), (StartupKind::SysvInit, true, "enabled"));
    assert_eq!((old.description.as_str(), old.command_line.as_str()), ("An old daemon", "/etc/init.d/old start"));
    let idle = service(&host, "idle");
    assert_eq!((idle.auto_run, idle.state.as_str()), (false, "disabled"));
    let new = service(&host, "new");
    assert_eq!((new.auto_run, new.enabled, new.state.as_str()), (false, false, "overridden"));
    // Not executable, so no init runs it.
    let local = service(&host, "rc.local");
    assert_eq!((local.kind, local.auto_run), (StartupKind::RcLocal, false));
    assert!(local.command_line.starts_with("/usr/bin/beacon") && !local.command_line.contains("abcdef123456"));
    let local = service(&Host::new().executable("etc/rc.local", "#!/bin/sh\nx\n"), "rc.local");
    assert!(local.auto_run && local.enabled);
    assert_eq!(services(&host.read(Class::StartupService)).len(), 5);
}

#[test]
fn scripts_of_openrc_start_where_a_runlevel_links_to_them() {
    let mut host = Host::new().with("etc/inittab", "::sysinit:/sbin/openrc sysinit\n#tty1::respawn:/sbin/getty\n");
    for name in ["sshd", "hwclock", "extra", "idle", "killprocs", "functions.sh"] {
        host = host.executable(&format!("etc/init.d/{name}"), "#!/sbin/openrc-run\n");
    }
    let host = host
        .link("/etc/init.d/sshd", "etc/runlevels/default/sshd")
        .link("/etc/init.d/gone", "etc/runlevels/default/idle")
        .link("/etc/runlevels/more", "etc/runlevels/default/more")
        .link("/etc/init.d/extra", "etc/runlevels/more/extra")
        .link("/etc/runlevels/default", "etc/runlevels/more/default")
        .link("/etc/init.d/hwclock", "etc/runlevels/boot/hwclock")
        .link("/etc/init.d/killprocs", "etc/runlevels/shutdown/killprocs");
    let snapshot = host.read(Class::StartupService);
    let found: Vec<_> =
        services(&snapshot).into_iter().map(|service| (service.name, service.state, service.auto_run)).collect();
    let expected = [
        ("extra", "enabled", true),
        ("hwclock", "enabled", true),
        ("idle", "disabled", false),
        ("killprocs", "enabled", false),
        ("sshd", "enabled", true),
    ];
    assert_eq!(found, expected.map(|(name, state, auto_run)| (name.to_owned(), state.to_owned(), auto_run)));
    assert!(snapshot.unread_sources.is_empty(), "{:?}", snapshot.unread_sources);
}

#[test]
fn other_init_systems_are_told() {
    let host = || {
        Host::new()
            .with("etc/init/web.conf", "exec /usr/bin/web\n")
            .with("etc/inittab", "id:3:initdefault:\nw1:2345:respawn:/usr/bin/web\n")
            .with("etc/runit/runsvdir/default/web/run", "")
    };
    let snapshot = host().read(Class::StartupService);
    assert!(matches!(snapshot.outcome, Outcome::NotPresent { .. }));
    let runit = "services of runit (/etc/runit/runsvdir)";
    let all = ["jobs of Upstart (/etc/init)", runit, "what init itself keeps running (/etc/inittab)"];
    assert_eq!(snapshot.unread_sources, all);
    // Where systemd runs, or nothing does, jobs and the table have no effect.
    let host = || host().with("etc/systemd/system/a.service", BARE);
    assert_eq!(host().read(Class::StartupService).unread_sources, [runit]);
    let sysv = host().with("proc/1/stat", "");
    assert_eq!(sysv.read(Class::StartupService).unread_sources, all);
    let systemd = sysv.with("run/systemd/system/x.service", BARE);
    assert_eq!(systemd.read(Class::StartupService).unread_sources, [runit]);
    let s6 = Host::new().with("etc/s6-rc/compiled/db", "");
    assert_eq!(s6.read(Class::StartupService).unread_sources, ["services of s6 (/etc/s6-rc)"]);
}

#[test]
fn units_of_users_are_read_with_whose_they_are() {
    let wanted = with_install("WantedBy=default.target");
    let host = Host::new()
        .with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob/:/bin/sh\nzoe:x:1002:1::/home/ann:/bin/sh\n")
        .with("usr/lib/systemd/user/basic.target", "[Unit]\nDefaultDependencies=no\n")
        .with("usr/lib/systemd/user/default.target", "[Unit]\nRequires=basic.target\n")
        .with("usr/lib/systemd/user/shared.service", &wanted)
        .with("usr/lib/systemd/user/all.service", &wanted)
        .with("usr/lib/systemd/user/many@.service", BARE)
        .with("usr/lib/systemd/user/hidden.service", &wanted)
        .link("/dev/null", "etc/systemd/user/hidden.service")
        .link("/usr/lib/systemd/user/all.service", "etc/systemd/user/default.target.wants/all.service")
        .with("home/ann/.config/systemd/user/miner.service", format!("{}User=root\n", wanted.replace("[Install]", "[Install]\n[Service]")).replace("WantedBy", "ExecStartPost=/x --token=S3CRET\nWantedBy"))
        .link("../miner.service", "home/ann/.config/systemd/user/default.target.wants/miner.service")
        .link("/usr/lib/systemd/user/shared.service", "home/ann/.config/systemd/user/default.target.wants/shared.service")
        .link("/usr/lib/systemd/user/many@.service", "home/ann/.config/systemd/user/default.target.wants/many@x.service")
        .with("home/bob/.local/share/systemd/user/miner.service", BARE)
        .with("home/bob/.config/autostart/x.desktop", "[Desktop Entry]\nName=X\nExec=/home/bob/x\n")
        .with("etc/xdg/autostart/x.desktop", "[Desktop Entry]\nName=X\nExec=/usr/bin/x\n")
        .with("var/lib/systemd/linger/bob", "");
    let snapshot = host.read(Class::StartupService);
    assert_eq!((snapshot.outcome.clone(), snapshot.unread_sources.len()), (Outcome::Complete, 0));
    let found = services(&snapshot);
    let rows: Vec<_> =
        found.iter().map(|s| (s.path.as_str(), s.user.as_str(), s.state.as_str(), s.enabled, s.auto_run)).collect();
    let expected = [
        ("/usr/lib/systemd/user/all.service", "", "enabled", true, true),
        ("/etc/systemd/user/hidden.service", "", "masked", false, false),
        ("/usr/lib/systemd/user/many@.service", "", "static", true, false),
        ("/home/ann/.config/systemd/user/default.target.wants/many@x.service", "ann", "enabled", true, false),
        ("/home/ann/.config/systemd/user/miner.service", "ann", "enabled", true, false),
        ("/home/bob/.local/share/systemd/user/miner.service", "bob", "static", true, false),
        ("/home/ann/.config/systemd/user/default.target.wants/shared.service", "ann", "enabled", true, false),
        ("/usr/lib/systemd/user/shared.service", "", "disabled", true, false),
        ("/etc/xdg/autostart/x.desktop", "", "enabled", true, false),
        ("/home/bob/.config/autostart/x.desktop", "bob", "enabled", true, false),
    ];
    assert_eq!(rows, expected);
    assert_eq!(compared(&found, "/systemd/user/"), systemctl(host.path(), "--global"));
    // With ann's manager started by the machine her services are, too.
    let host = host.with("var/lib/systemd/linger/ann", "");
    let started: Vec<String> =
        services(&host.read(Class::StartupService)).into_iter().filter(|s| s.auto_run).map(|s| s.path).collect();
    let own = "/home/ann/.config/systemd/user";
    assert_eq!(
        started,
        [
            "/usr/lib/systemd/user/all.service".to_owned(),
            format!("{own}/default.target.wants/many@x.service"),
            format!("{own}/miner.service"),
            format!("{own}/default.target.wants/shared.service"),
        ]
    );
}

#[test]
fn hostile_homes_are_bounded_and_told() {
    let folder = "home/ann/.config/systemd/user";
    let mut host = Host::new()
        .with(
            "etc/passwd",
            "ann:x:1:1::/home/ann:/bin/sh\nbob:x:2:2::/home/bob:/bin/sh\ndan:x:3:3::/home/dan:/bin/sh\n",
        )
        .with(
            "home/bob/.config/systemd/user/loud.service",
            format!("[Service]\nExecStart=/bin/x {}\n", "y".repeat(2 << 20)),
        )
        .with("home/bob/.config/systemd/user/bytes.service", b"\xff[Service]\nExecStart=/bin/\xff\n")
        .link("loop.service", "home/bob/.config/systemd/user/loop.service");
    for n in 0..300 {
        host = host
            .with(&format!("{folder}/a{n:03}.service"), BARE)
            .with(&format!("home/dan/.config/systemd/user/t{n:03}.timer"), "[Timer]\nOnCalendar=daily\n")
            .with(&format!("home/ann/.config/autostart/{n}.desktop"), "");
    }
    for n in 0..100 {
        host = host.with(&format!("home/bob/.config/systemd/user/loud.service.d/{n}.conf"), vec![b'x'; 1 << 20]);
    }
    let snapshot = host.read(Class::StartupService);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let count = |start: &str| services(&snapshot).iter().filter(|service| service.path.starts_with(start)).count();
    assert_eq!((count("/home/ann/.config/systemd"), count("/home/ann/.config/autostart")), (200, 200));
    assert_eq!(count("/home/bob"), 3);
    for told in ["/home/ann/.config/systemd/user (too many files)", "/home/ann/.config/autostart (too many files)"] {
        assert!(snapshot.unread_sources.iter().any(|source| source == told), "{:?}", snapshot.unread_sources);
    }
    // The first by name, whatever the order of the folder is.
    let last = services(&snapshot).into_iter().rfind(|service| service.path.starts_with("/home/ann/.config/systemd"));
    assert_eq!(last.map(|service| service.name).as_deref(), Some("a199.service"));
    // What one home makes too much of takes nothing from another.
    let snapshot = host.read(Class::ScheduledTask);
    let name = |item: &Item| if let Item::ScheduledTask(task) = item { task.name.clone() } else { String::new() };
    let names: Vec<String> = snapshot.items.iter().map(name).collect();
    assert_eq!(names, (0..200).map(|n| format!("t{n:03}.timer")).collect::<Vec<_>>());
    let told = "/home/dan/.config/systemd/user (too many files)";
    assert!(snapshot.unread_sources.iter().any(|source| source == told), "{:?}", snapshot.unread_sources);
}

#[test]
fn links_and_drop_ins_of_a_home_are_bounded_and_told() {
    let own = "home/ann/.config/systemd/user";
    let mut host = Host::large()
        .with("etc/passwd", "ann:x:1:1::/home/ann:/bin/sh\n")
        .with("usr/lib/systemd/user/many@.service", BARE)
        .with("usr/lib/systemd/user/many@.timer", "[Timer]\nOnCalendar=daily\n")
        .with(&format!("{own}/default.target"), "")
        .with(&format!("{own}/service.d/x"), "")
        .with(&format!("{own}/timer.d/x"), "");
    for n in 0..20_000 {
        fs::write(host.path().join(format!("{own}/service.d/{n}.conf")), "").unwrap();
        fs::write(host.path().join(format!("{own}/timer.d/{n}.conf")), "").unwrap();
    }
    for folder in 0..100 {
        fs::create_dir_all(host.path().join(format!("{own}/u{folder}.target.wants"))).unwrap();
        for n in 0..200 {
            let kind = if n % 2 == 0 { "service" } else { "timer" };
            let link = format!("{own}/u{folder}.target.wants/many@{folder}-{n}.{kind}");
            host = host.link(&format!("/usr/lib/systemd/user/many@.{kind}"), &link);
        }
    }
    for class in [Class::StartupService, Class::ScheduledTask] {
        let start = Instant::now();
        let snapshot = host.read(class);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert!((300..=1_000).contains(&snapshot.items.len()), "{}", snapshot.items.len());
        let told = format!("/{own} (too many files)");
        assert!(snapshot.unread_sources.contains(&told), "{:?}", snapshot.unread_sources.first());
    }
}

#[test]
fn hostile_units_cost_only_themselves() {
    let host = targets(Host::new())
        .with("etc/systemd/system/bytes.service", b"[Unit]\nDescription=\xff\xfe\n[Service]\nExecStart=/bin/\xc3\n")
        .with("etc/systemd/system/long.service", format!("[Service]\nExecStart=/bin/x {}\n", "y".repeat(1 << 20)))
        .with("etc/systemd/system/no section", "ExecStart=x")
        .with("etc/systemd/system/broken.service", "[Service\nExecStart\n=\n[]\n\\")
        .link("loop.service", "etc/systemd/system/loop.service")
        .link("../../../../../../../../etc/shadow", "etc/systemd/system/out.service")
        .with("etc/systemd/system/cycle.target", "[Unit]\nWants=multi-user.target cycle.target\n")
        .link("../cycle.target", "etc/systemd/system/multi-user.target.wants/cycle.target");
    let snapshot = host.read(Class::StartupService);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let bytes = service(&host, "bytes.service");
    assert!(bytes.escaped && bytes.description == "\\xff\\xfe");
    let long = service(&host, "long.service");
    assert!(long.command_line.len() <= 4_096 && long.truncated.contains(&"command_line".to_owned()));
    assert!(services(&snapshot).iter().any(|service| service.name == "broken.service"));
    assert_eq!(service(&host, "out.service").command_line, "");
}

#[test]
fn a_host_without_an_init_system_is_not_a_host_without_services() {
    assert!(matches!(Host::new().read(Class::StartupService).outcome, Outcome::NotPresent { .. }));
    let blocked = Host::new().with("etc/systemd/system", "a file");
    assert!(matches!(blocked.read(Class::StartupService).outcome, Outcome::NotPresent { .. }));
}
