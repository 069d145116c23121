use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, ScheduleKind, ScheduledTask};

use crate::{Host, command, is_root, items};

fn tasks(snapshot: &ClassSnapshot) -> Vec<ScheduledTask> {
    let task = |item: &Item| match item {
        Item::ScheduledTask(task) => Some(task.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(task).collect()
}

fn read(host: &Host) -> Vec<ScheduledTask> {
    let snapshot = host.read(Class::ScheduledTask);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    tasks(&snapshot)
}

fn found(tasks: &[ScheduledTask]) -> Vec<(&str, &str, &str, &str)> {
    tasks.iter().map(|t| (t.config_path.as_str(), t.user.as_str(), t.schedule.as_str(), t.command.as_str())).collect()
}

#[test]
fn crontabs_of_the_system_and_of_users_are_read() {
    let host = Host::new()
        .with(
            "etc/crontab",
            "SHELL=/bin/sh\n# m h dom mon dow user command\n\n17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n@reboot root /bin/once\n",
        )
        .with("etc/cron.d/job", "*/5 0-6,22 1 jan mon-fri www-data /usr/bin/php -q cron.php # all of it\n")
        .with("etc/cron.d/.placeholder", "* * * * * root hidden\n")
        .with("etc/cron.d/job.dpkg-old", "* * * * * root old\n")
        .with("var/spool/cron/crontabs/ann", "MAILTO=\"\"\n0 4 * * * backup.sh /home/ann\n")
        .with("var/spool/cron/bob", "5 4 * * sun /home/bob/x\n");
    let tasks = read(&host);
    assert_eq!(
        found(&tasks),
        [
            ("/var/spool/cron/crontabs/ann", "ann", "0 4 * * *", "backup.sh /home/ann"),
            ("/var/spool/cron/bob", "bob", "5 4 * * sun", "/home/bob/x"),
            ("/etc/crontab", "root", "17 *\t* * *", "cd / && run-parts --report /etc/cron.hourly"),
            ("/etc/crontab", "root", "@reboot", "/bin/once"),
            ("/etc/cron.d/job", "www-data", "*/5 0-6,22 1 jan mon-fri", "/usr/bin/php -q cron.php # all of it"),
        ]
    );
    assert!(tasks.iter().all(|task| task.enabled && task.kind == ScheduleKind::Cron));
}

#[test]
fn timers_of_users_are_read_with_whose_they_are() {
    let timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
    let host = Host::new()
        .with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n")
        .with("usr/lib/systemd/user/shared.timer", timer)
        .with("usr/lib/systemd/user/shared.service", "[Service]\nUser=root\nExecStart=/bin/shared\n")
        .with("home/ann/.config/systemd/user/shared.timer", timer.replace("daily", "hourly"))
        .with("home/ann/.config/systemd/user/own.timer", timer)
        .with("home/ann/.config/systemd/user/own.service", "[Service]\nUser=root\nExecStart=/bin/own\n");
    assert_eq!(
        found(&read(&host)),
        [
            ("/usr/lib/systemd/user/shared.timer", "", "daily", "/bin/shared"),
            ("/home/ann/.config/systemd/user/own.timer", "ann", "daily", "/bin/own"),
            ("/home/ann/.config/systemd/user/shared.timer", "ann", "hourly", "/bin/shared"),
        ]
    );
}

#[test]
fn a_malformed_line_is_counted_and_costs_only_itself() {
    let host = Host::new().with(
        "etc/crontab",
        b"this is no line\n* * * * root four\n@sometimes root x\n* * * * * root\n60 * * * * root good \xff\n60 * * * * root good \xff\n\x00\x01\x02\n".as_slice(),
    );
    let snapshot = host.read(Class::ScheduledTask);
    let tasks = tasks(&snapshot);
    assert_eq!((tasks.len(), tasks[0].command.as_str(), tasks[0].escaped), (1, "good \\xff", true));
    let lines: Vec<usize> = snapshot.skipped.iter().map(|skipped| skipped.line).collect();
    assert_eq!((lines, snapshot.skipped_count), (vec![1, 2, 3, 4, 6, 7], 6));
}

#[test]
fn secrets_are_taken_out_and_long_commands_are_cut() {
    let host = Host::new().with(
        "etc/crontab",
        format!("* * * * * root mysqldump --password=hunter2 db\n* * * * * root echo {}\n", "x ".repeat(5_000)),
    );
    let tasks = read(&host);
    let dump = tasks.iter().find(|task| task.command.starts_with("mysqldump")).unwrap();
    assert!(!dump.command.contains("hunter2") && dump.command.ends_with(" db"), "{}", dump.command);
    let long = tasks.iter().find(|task| task.command.starts_with("echo")).unwrap();
    assert!(long.command.len() <= 4_096 && long.truncated == ["command"]);
}

#[test]
fn scripts_run_when_they_are_executable_and_debian_takes_no_dots() {
    let host = |debian: bool| {
        let host = Host::new()
            .with("etc/cron.daily/plain", "")
            .with("etc/cron.daily/a.sh", "")
            .with("etc/cron.d/a.b", "@daily root x\n");
        for name in ["plain", "a.sh"] {
            let path = host.path().join("etc/cron.daily").join(name);
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let host = host.with("etc/cron.weekly/off", "");
        if debian { host.with("etc/debian_version", "12\n") } else { host }
    };
    let enabled = |host: Host| {
        let tasks = read(&host);
        assert_eq!(tasks.len(), 4);
        let enabled = tasks.into_iter().filter(|task| task.enabled);
        enabled.map(|task| task.config_path).collect::<Vec<_>>()
    };
    assert_eq!(enabled(host(true)), ["/etc/cron.daily/plain"]);
    assert_eq!(enabled(host(false)), ["/etc/cron.d/a.b", "/etc/cron.daily/a.sh", "/etc/cron.daily/plain"]);
}

#[test]
fn anacron_and_at_are_read() {
    let job = "#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail ann 0\numask 22\nTOKEN=abc; export TOKEN\ncd /home/ann || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\nrm -rf /tmp/x\n";
    let host = Host::new()
        .with("etc/passwd", "ann:x:1000:1000::/:/bin/sh\n")
        .with("etc/anacrontab", "START_HOURS_RANGE=3-22\n1\t5\tcron.daily\tnice run-parts /etc/cron.daily\n@monthly 45 cron.monthly x\nnonsense\n")
        .with("var/spool/cron/atjobs/a0000101c5d4c4", job)
        .with("var/spool/cron/atjobs/.SEQ", "00001");
    let snapshot = host.read(Class::ScheduledTask);
    assert_eq!(snapshot.skipped_count, 1);
    let tasks = tasks(&snapshot);
    assert_eq!(
        found(&tasks),
        [
            ("/var/spool/cron/atjobs/a0000101c5d4c4", "ann", "2026-07-20T08:36:00Z", "rm -rf /tmp/x"),
            ("/etc/anacrontab", "root", "1\t5", "nice run-parts /etc/cron.daily"),
            ("/etc/anacrontab", "root", "@monthly 45", "x"),
        ]
    );
    assert_eq!((tasks[0].kind, tasks[1].kind), (ScheduleKind::At, ScheduleKind::Anacron));
}

#[test]
fn timers_of_systemd_have_their_times_and_the_command_of_their_service() {
    let host = Host::new()
        .with("usr/lib/systemd/system/default.target", "[Unit]\nRequires=timers.target\n")
        .with("usr/lib/systemd/system/timers.target", "[Unit]\nDefaultDependencies=no\n")
        .with(
            "usr/lib/systemd/system/clean.timer",
            "[Timer]\nOnCalendar=daily\nOnCalendar=Mon *-*-* 03:00\n[Install]\nWantedBy=timers.target\n",
        )
        .with("usr/lib/systemd/system/clean.service", "[Service]\nUser=cleaner\nExecStart=/bin/clean --all\n")
        .with("usr/lib/systemd/system/off.timer", "[Timer]\nOnBootSec=15min\nUnit=other.service\n")
        .with("usr/lib/systemd/system/dump@.timer", "[Timer]\nOnCalendar=weekly\n[Install]\nWantedBy=timers.target\n")
        .with("usr/lib/systemd/system/dump@.service", "[Service]\nExecStart=/bin/dump %i\n")
        .with("usr/lib/systemd/system/empty.timer", "[Timer]\n");
    let wants = host.path().join("etc/systemd/system/timers.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    for (name, target) in [("clean.timer", "clean.timer"), ("dump@main.timer", "dump@.timer")] {
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{target}"), wants.join(name)).unwrap();
    }
    let snapshot = host.read(Class::ScheduledTask);
    assert_eq!(snapshot.skipped_count, 1);
    let tasks = tasks(&snapshot);
    let rows: Vec<_> = tasks
        .iter()
        .map(|t| (t.name.as_str(), t.user.as_str(), t.schedule.as_str(), t.command.as_str(), t.enabled))
        .collect();
    assert_eq!(
        rows,
        [
            ("clean.timer", "cleaner", "daily; Mon *-*-* 03:00", "/bin/clean --all", true),
            ("dump@main.timer", "root", "weekly", "/bin/dump %i", true),
            ("off.timer", "root", "OnBootSec=15min", "other.service", false),
        ]
    );
}

#[test]
fn what_cannot_be_read_is_named_and_a_host_without_any_is_not_one_without_tasks() {
    assert!(matches!(Host::new().read(Class::ScheduledTask).outcome, Outcome::NotPresent { .. }));
    let loops = || {
        let host = Host::new().with("etc/x", "");
        std::os::unix::fs::symlink("crontab", host.path().join("etc/crontab")).unwrap();
        host
    };
    assert!(matches!(loops().read(Class::ScheduledTask).outcome, Outcome::Unreadable { .. }));
    let snapshot = loops().with("etc/cron.d/a", "@daily root x\n").read(Class::ScheduledTask);
    assert_eq!((tasks(&snapshot).len(), snapshot.unread_sources), (1, vec!["/etc/crontab".to_owned()]));
}

#[test]
fn this_hosts_timers_are_those_of_systemctl() {
    let told = |scope: &str| -> Vec<String> {
        let output = std::process::Command::new(crate::tool("systemctl"))
            .args(["--root=/", scope, "list-unit-files", "--no-legend", "--type=timer"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().filter_map(|line| line.split_whitespace().next());
        names.filter(|name| !name.contains("@.")).map(str::to_owned).collect()
    };
    for user in [None, Some(65_534)] {
        if user.is_some() && !is_root() {
            continue;
        }
        let lines = command(user, &["collect", "--json"]);
        let tasks = items(&lines, "scheduled_task");
        for (scope, of_users) in [("--system", false), ("--global", true)] {
            let text = |task: &serde_json::Value, field: &str| task[field].as_str().unwrap().to_owned();
            let timers = tasks.iter().filter(|task| task["kind"] == "systemd_timer");
            let timers = timers.map(|task| (text(task, "name"), text(task, "config_path")));
            let timers = timers.filter(|(_, path)| path.contains("/systemd/user/") == of_users && !path.contains("/."));
            let mut found: Vec<String> = timers.map(|(name, _)| name).collect();
            let mut expected = told(scope);
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{scope}");
        }
    }
}
