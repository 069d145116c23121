use std::collections::BTreeMap;
use std::process::Command;

use cwpp_collector::class::{Account, Class, ClassSnapshot, Item, LoginType, Outcome, PasswordStatus};
use serde_json::Value;

use crate::{Host, command, is_root, items, tool};

/// What `getent` says: name to uid, gid, home and shell.
fn getent() -> BTreeMap<String, (u64, u64, String, String)> {
    let output = Command::new("getent").args(["-s", "files", "passwd"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut accounts = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(':').collect();
        let account = (parts[2].parse().unwrap(), parts[3].parse().unwrap(), parts[5].to_owned(), parts[6].to_owned());
        accounts.entry(parts[0].to_owned()).or_insert(account);
    }
    accounts
}

/// What `getent` says of groups: number, name and members, in the order of the file.
fn groups() -> Vec<(u64, String, Vec<String>)> {
    let output = Command::new("getent").args(["-s", "files", "group"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let group = |line: &str| {
        let parts: Vec<&str> = line.split(':').collect();
        let members = parts[3].split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
        (parts[2].parse().unwrap(), parts[0].to_owned(), members)
    };
    text.lines().map(group).collect()
}

fn read_as(user: Option<u32>) -> Vec<Value> {
    items(&command(user, &["collect", "--json"]), "account")
}

fn compared(accounts: &[Value]) -> BTreeMap<String, (u64, u64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let number = |value: &Value| value.as_u64().unwrap();
    accounts
        .iter()
        .map(|a| (text(&a["name"]), (number(&a["uid"]), number(&a["gid"]), text(&a["home"]), text(&a["shell"]))))
        .collect()
}

#[test]
fn this_hosts_accounts_are_those_of_the_c_library() {
    let accounts = read_as(None);
    assert_eq!(compared(&accounts), getent());
    let groups = groups();
    assert!(!groups.is_empty());
    for account in &accounts {
        let (name, gid) = (account["name"].as_str().unwrap(), account["gid"].as_u64().unwrap());
        let own = groups.iter().find(|(number, _, _)| *number == gid).map(|(_, group, _)| group.as_str());
        assert_eq!(account["group"].as_str(), own, "{name}");
        let others = groups.iter().filter(|(number, _, members)| *number != gid && members.iter().any(|m| m == name));
        let others: std::collections::BTreeSet<&str> = others.map(|(_, group, _)| group.as_str()).collect();
        let told: Vec<&str> = account["groups"].as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
        assert_eq!(told, Vec::from_iter(others), "{name}");
    }
    let root = accounts.iter().find(|account| account["name"] == "root").unwrap();
    assert_eq!(root["is_root"], true);
    assert_eq!(root["group"], "root");
}

#[test]
fn an_ordinary_user_sees_the_same_accounts_without_what_is_secret() {
    let accounts = if is_root() { read_as(Some(65_534)) } else { read_as(None) };
    assert_eq!(compared(&accounts), getent());
    for account in &accounts {
        for field in ["password_status", "password_changed_time", "password_expire_time", "login_type", "is_enabled"] {
            assert_eq!(account.get(field), None, "{field} of {account}");
        }
    }
    if is_root() {
        let root = read_as(None).into_iter().find(|account| account["name"] == "root").unwrap();
        assert!(root.get("password_status").is_some());
    }
}

fn account(snapshot: &ClassSnapshot, name: &str) -> Account {
    let accounts = snapshot.items.iter().filter_map(|item| match item {
        Item::Account(account) => Some(account),
        _ => None,
    });
    accounts.clone().find(|account| account.name == name).unwrap().clone()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\nbob:x:1001:100::/home/bob:/usr/sbin/nologin\n";

#[test]
fn groups_passwords_keys_rules_and_logins_come_together() {
    let time = if IS_WIDE { 8 } else { 4 };
    let mut lastlog = vec![0_u8; (time + 288) * 1001];
    let ann = &mut lastlog[(time + 288) * 1000..];
    ann[..4].copy_from_slice(&1_700_000_000_u32.to_le_bytes());
    ann[time..][..5].copy_from_slice(b"pts/0");
    ann[time + 32..][..9].copy_from_slice(b"192.0.2.9");
    let host = Host::new()
        .with("etc/passwd", PASSWD)
        .with("etc/group", "root:x:0:\nann:x:1000:\nusers:x:100:\ndocker:x:200:ann,bob\nsudo:x:27:\n")
        .with("etc/shadow", "root:*:20000:0:99999:7:::\nann:$y$secret:20000:0:800:7::20900:\nbob:!:20000::::::\n")
        .with("etc/sudoers", "@includedir /etc/sudoers.d\n")
        .with("etc/sudoers.d/ops", "%users ALL=(ALL) ALL\n")
        .with("var/log/lastlog", lastlog)
        .with("home/ann/.ssh/authorized_keys", "# mine\nssh-ed25519 AAAA ann@laptop\n");
    let snapshot = host.read(Class::Account);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    assert!(snapshot.unread_sources.is_empty());

    let ann = account(&snapshot, "ann");
    assert_eq!((ann.group.as_deref(), ann.groups.as_slice()), (Some("ann"), &["docker".to_owned()][..]));
    assert_eq!((ann.is_sudo, ann.is_interactive, ann.is_enabled), (Some(false), true, Some(true)));
    assert_eq!((ann.login_type, ann.authorized_keys), (Some(LoginType::Both), Some(1)));
    // Changed on day 20,000, 2024-10-04; today is day 20,781.
    assert_eq!(ann.password_status, Some(PasswordStatus::Normal));
    assert_eq!(ann.password_changed_time.unwrap().to_string(), "2024-10-04 00:00:00 UTC");
    assert_eq!(ann.password_expire_time.unwrap().to_string(), "2026-12-13 00:00:00 UTC");
    assert_eq!(ann.last_login_time.unwrap().timestamp(), 1_700_000_000);
    assert_eq!(
        (ann.last_login_address.as_deref(), ann.last_login_terminal.as_deref()),
        (Some("192.0.2.9"), Some("pts/0"))
    );

    let bob = account(&snapshot, "bob");
    assert_eq!((bob.is_sudo, bob.is_interactive, bob.is_enabled), (Some(true), false, Some(false)));
    assert_eq!((bob.login_type, bob.password_status), (Some(LoginType::None), Some(PasswordStatus::Locked)));
    assert_eq!(bob.last_login_time, None);
    assert!(!serde_json::to_string(&snapshot.items).unwrap().contains("secret"));
}

/// The wide times of machines that never ran programs of 32 bits.
const IS_WIDE: bool = cfg!(target_arch = "aarch64");

/// A record of `wtmp`.
fn record(kind: i16, user: &str, line: &str, host: &str, seconds: u32) -> Vec<u8> {
    let mut record = vec![0_u8; if IS_WIDE { 400 } else { 384 }];
    let time = if IS_WIDE { 344 } else { 340 };
    record[..2].copy_from_slice(&kind.to_ne_bytes());
    for (at, text) in [(8, line), (44, user), (76, host)] {
        record[at..][..text.len()].copy_from_slice(text.as_bytes());
    }
    record[time..][..4].copy_from_slice(&seconds.to_le_bytes());
    record
}

/// Last logins as `lastlog2` keeps them.
fn lastlog2(host: &Host, rows: &str) {
    let path = host.path().join("var/lib/lastlog/lastlog2.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(path).unwrap();
    let table = "CREATE TABLE Lastlog2(Name TEXT PRIMARY KEY, Time INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT);";
    database.execute_batch(&format!("{table} INSERT INTO Lastlog2 VALUES {rows};")).unwrap();
}

#[test]
fn the_newest_login_counts_wherever_it_is_told() {
    let login = |host: &Host, name: &str| {
        let account = account(&host.read(Class::Account), name);
        (account.last_login_time.map(|time| time.timestamp()), account.last_login_terminal, account.last_login_address)
    };
    let some = |seconds, terminal: &str, address: Option<&str>| {
        (Some(seconds), Some(terminal.to_owned()), address.map(str::to_owned))
    };
    // A login, a later one of a dead process, one of a user that is none, one before the first.
    let wtmp = [
        record(7, "ann", "pts/1", "192.0.2.1", 1_700_000_100),
        record(8, "ann", "pts/1", "", 1_700_000_900),
        record(7, "eve", "pts/2", "192.0.2.2", 1_700_000_950),
        record(7, "ann", "pts/3", "", 1_700_000_050),
        record(2, "reboot", "~", "6.1", 1_700_000_000),
    ];
    let host = Host::new().with("etc/passwd", PASSWD).with("var/log/wtmp", wtmp.concat());
    assert_eq!(login(&host, "ann"), some(1_700_000_100, "pts/1", Some("192.0.2.1")));
    assert_eq!(login(&host, "bob"), (None, None, None));
    assert!(!host.read(Class::Account).unread_sources.iter().any(|source| source.contains("login")));
    lastlog2(
        &host,
        "('ann', 1700000200, 'pts/4', '2001:db8::1', 'sshd'), ('bob', 1700000300, 'tty1', NULL, 'login'), ('root', 0, NULL, NULL, NULL)",
    );
    assert_eq!(login(&host, "ann"), some(1_700_000_200, "pts/4", Some("2001:db8::1")));
    assert_eq!(login(&host, "bob"), some(1_700_000_300, "tty1", None));
    assert_eq!(login(&host, "root"), (None, None, None));
    let machine = cwpp_collector::machine::Machine::read(&host.root());
    assert_eq!(machine.last_login_time.map(|time| time.timestamp()), Some(1_700_000_300));
    let snapshot = host.read(Class::Account);
    assert_eq!((snapshot.skipped_count, snapshot.unread_sources.len()), (0, 0), "{snapshot:?}");
}

#[test]
fn wtmp_is_read_as_last_reads_it() {
    let host = Host::new().with("etc/passwd", PASSWD);
    let host = host.with("var/log/wtmp", record(7, "ann", "pts/1", "192.0.2.1", 1_700_000_100));
    let output = Command::new("last")
        .args(["--time-format=iso", "-f"])
        .arg(host.path().join("var/log/wtmp"))
        .env("TZ", "UTC")
        .output();
    // Newer distributions have none.
    let Ok(output) = output else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words[..4], ["ann", "pts/1", "192.0.2.1", "2023-11-14T22:15:00+00:00"]);
    let ann = account(&host.read(Class::Account), "ann");
    assert_eq!(ann.last_login_time.unwrap().to_rfc3339(), words[3]);
}

#[test]
fn hostile_sources_of_logins_are_counted() {
    let read = |path: &str, bytes: &[u8]| {
        let snapshot = Host::new().with("etc/passwd", PASSWD).with(path, bytes).read(Class::Account);
        assert_eq!((snapshot.outcome.clone(), snapshot.items.len()), (Outcome::Complete, 3));
        assert_eq!(account(&snapshot, "ann").last_login_time, None);
        (snapshot.skipped_count, snapshot.unread_sources)
    };
    let garbage: Vec<u8> = (0..=255_u8).cycle().take(384 * 400 + 7).collect();
    let nothing: [&str; 0] = [];
    assert_eq!(read("var/log/wtmp", b""), (0, vec![]));
    assert_eq!(read("var/log/wtmp", b"short"), (1, vec![]));
    let (counted, unread) = read("var/log/wtmp", &garbage);
    assert!(counted > 100 && unread == nothing, "{counted} {unread:?}");
    assert_eq!(read("var/log/wtmp", &record(7, "ann", "", "", 0)), (1, vec![]));
    assert_eq!(read("var/log/lastlog", &garbage[..500]), (0, vec![]));
    for bytes in [&garbage[..], b"", b"SQLite format 3\0"] {
        let path = "/var/lib/lastlog/lastlog2.db";
        assert_eq!(read(path.trim_start_matches('/'), bytes), (0, vec![path.to_owned()]));
    }
    let host = Host::new().with("etc/passwd", PASSWD);
    lastlog2(&host, "('ann', 'soon', 'x', 'y', 'z'), (x'ff00', 1, 2, 3, 4), ('bob', 9223372036854775807, '', '', '')");
    let snapshot = host.read(Class::Account);
    assert_eq!((snapshot.skipped_count, snapshot.unread_sources.len()), (2, 0), "{snapshot:?}");
    // More than is read: the newest are at the end.
    let mut long = record(7, "ann", "pts/1", "", 1_700_000_100).repeat(50_000);
    long[..384].copy_from_slice(&record(7, "bob", "pts/1", "", 1_700_000_100)[..384]);
    let snapshot = Host::new().with("etc/passwd", PASSWD).with("var/log/wtmp", long).read(Class::Account);
    assert!(account(&snapshot, "ann").last_login_time.is_some() && account(&snapshot, "bob").last_login_time.is_none());
    // None at all is told.
    let told = Host::new().with("etc/passwd", PASSWD).read(Class::Account).unread_sources;
    assert_eq!(told, ["last logins: neither lastlog, lastlog2 nor wtmp is there"]);
}

#[test]
fn keys_have_the_fingerprints_that_ssh_keygen_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let keygen = |arguments: &[&str]| {
        let output = Command::new(tool("ssh-keygen")).args(arguments).arg("-f").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "ann at her laptop"]);
    let told = keygen(&["-l"]);
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let file = format!("# mine\ncommand=\"echo \\\"a b\\\"\",no-pty {public}{public}ssh-rsa no!base64 x\n");
    let host = Host::new().with("etc/passwd", PASSWD).with("home/ann/.ssh/authorized_keys", file);
    let ann = account(&host.read(Class::Account), "ann");
    // Three lines open the account or would; two are one key, one is none that can be made out.
    assert_eq!((ann.authorized_keys, ann.keys.len()), (Some(3), 1));
    let key = &ann.keys[0];
    assert_eq!((key.kind.as_str(), key.comment.as_str()), ("ssh-ed25519", "ann at her laptop"));
    assert_eq!(told.split_whitespace().nth(1), Some(key.fingerprint.as_str()));
}

#[test]
fn without_a_shadow_file_what_comes_from_it_is_absent() {
    let host = Host::new().with("etc/passwd", PASSWD);
    let ann = account(&host.read(Class::Account), "ann");
    assert_eq!((ann.is_enabled, ann.login_type, ann.password_status), (None, None, None));
    assert_eq!((ann.group, ann.is_sudo), (None, Some(false)));
}

#[test]
fn a_broken_file_costs_only_its_broken_lines() {
    let long = format!("long:x:3:3:{}:/:/bin/sh\n", "c".repeat(5_000));
    let mut file = b"root:x:0:0:root:/root:/bin/bash\r\n+@netgroup\nno colons\nroot:x:9:9::/x:/bin/sh\nbad:x:one:1::/:/bin/sh\nwide:x:99999999999:1::/:/bin/sh\nb\xffd:x:2:2:\xfe:/home/b\xffd:/bin/sh\n".to_vec();
    file.extend_from_slice(long.as_bytes());
    let snapshot = Host::new().with("etc/passwd", file).read(Class::Account);
    assert_eq!(snapshot.items.len(), 3);
    assert_eq!(snapshot.skipped_count, 5);
    assert_eq!(snapshot.skipped.iter().map(|skipped| skipped.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    let root = account(&snapshot, "root");
    assert_eq!((root.shell.as_str(), root.uid, root.escaped), ("/bin/bash", 0, false));
    let escaped = account(&snapshot, "b\\xffd");
    assert!(escaped.escaped && escaped.comment == "\\xfe");
    let long = account(&snapshot, "long");
    assert_eq!((long.comment.len(), long.truncated), (1_024, vec!["comment".to_owned()]));
}

#[test]
fn what_cannot_be_read_is_never_reported_as_empty() {
    let outcome = |host: Host| host.read(Class::Account).outcome;
    assert!(matches!(outcome(Host::new()), Outcome::NotPresent { .. }));
    assert!(matches!(outcome(Host::new().with("etc/passwd", "")), Outcome::Unreadable { .. }));
    assert!(matches!(outcome(Host::new().with("etc/passwd", [0_u8; 512])), Outcome::Unreadable { .. }));
    let directory = Host::new().with("etc/passwd/file", "");
    assert!(matches!(outcome(directory), Outcome::Unreadable { .. }));
}

#[test]
fn a_link_in_another_root_never_leads_out_of_it() {
    let host = Host::new().with("data/passwd", "inside:x:1:1::/:/bin/sh\n").with("etc/group", "");
    std::os::unix::fs::symlink("/data/passwd", host.path().join("etc/passwd")).unwrap();
    assert_eq!(account(&host.read(Class::Account), "inside").uid, 1);

    let host = Host::new().with("etc/group", "");
    std::os::unix::fs::symlink("../../../../../../../../../etc/passwd", host.path().join("etc/passwd")).unwrap();
    assert!(matches!(host.read(Class::Account).outcome, Outcome::Unreadable { .. }));
}

#[test]
fn more_items_than_the_cap_are_reported_as_truncated() {
    let file: String = (0..30_010).map(|n| format!("u{n:05}:x:{n}:1::/:/bin/sh\n")).collect();
    let snapshot = Host::new().with("etc/passwd", file).read(Class::Account);
    assert_eq!((snapshot.outcome, snapshot.items.len()), (Outcome::Truncated { total: 30_010 }, 30_000));
}

#[test]
fn the_digest_depends_on_the_content_and_not_on_the_order() {
    let digest = |file: &str| Host::new().with("etc/passwd", file).read(Class::Account).digest();
    let (a, b) = ("a:x:1:1::/:/bin/sh\n", "b:x:2:2::/:/bin/sh\n");
    assert_eq!(digest(&format!("{a}{b}")), digest(&format!("{b}{a}")));
    assert_ne!(digest(a), digest(b));
    assert_ne!(digest(a), digest(&format!("{a}{b}")));
    assert_ne!(digest(a), digest("a:x:1:1::/:/bin/bash\n"));
}

/// Accounts with what opens each: ann a password and a key, bob a password, carl a key, dora nothing, root both.
fn ssh(config: &str) -> Host {
    let names = ["root", "ann", "bob", "carl", "dora"];
    let passwd: String =
        names.iter().enumerate().map(|(n, name)| format!("{name}:x:{n}:{n}::/h/{name}:/bin/sh\n")).collect();
    let shadow = "root:$y$x:1::::::\nann:$y$x:1::::::\nbob:$y$x:1::::::\ncarl:*:1::::::\ndora:*:1::::::\n";
    let key = "ssh-ed25519 AAAA x\n";
    Host::new()
        .with("etc/passwd", passwd)
        .with("etc/shadow", shadow)
        .with("etc/group", "root:x:0:\nops:x:20:ann,carl\n")
        .with("h/root/.ssh/authorized_keys", key)
        .with("h/ann/.ssh/authorized_keys", key)
        .with("h/carl/.ssh/authorized_keys2", key)
        .with("var/log/wtmp", "")
        .with("etc/ssh/sshd_config", config)
}

/// Those whom sshd lets in, and those of whom that is unknown.
fn let_in(snapshot: &ClassSnapshot) -> (String, String) {
    let of = |known: Option<bool>| {
        let accounts = snapshot.items.iter().filter_map(|item| match item {
            Item::Account(account) if account.is_ssh_login == known => Some(account.name.as_str()),
            _ => None,
        });
        accounts.collect::<Vec<_>>().join(" ")
    };
    (of(Some(true)), of(None))
}

#[test]
fn sshd_lets_in_whom_its_configuration_admits() {
    let all = "ann bob carl root";
    for (config, expected) in [
        ("# nothing is changed\n", all),
        ("PermitRootLogin no\nPermitRootLogin yes\n", "ann bob carl"),
        ("PasswordAuthentication no\n", "ann carl root"),
        ("PubkeyAuthentication=no\n", "ann bob"),
        ("PubkeyAuthentication no\nPermitRootLogin \"yes\" # really\n", "ann bob root"),
        ("PasswordAuthentication no\nUsePAM yes\n", all),
        ("PasswordAuthentication no\nUsePAM yes\nKbdInteractiveAuthentication no\n", "ann carl root"),
        ("allowusers a* bob@192.0.2.*\nAllowUsers d?ra\n", "ann bob"),
        ("DenyUsers *o* carl@192.0.2.1 ann@*\n", "carl"),
        ("AllowGroups op* none\n", "ann carl"),
        ("DenyGroups ops\n", "bob root"),
        ("AllowUsers [ab]*\n", ""),
        ("AllowUsers **\n", all),
        ("AllowUsers ann\nMatch User bob\n AllowUsers bob\nMatch group ops,x\n DenyUsers carl\n", "ann bob"),
        (
            "PasswordAuthentication no\nMatch user !ann,*\n PasswordAuthentication yes\nMatch all\n PasswordAuthentication no\n",
            "ann bob carl root",
        ),
        ("Match Address 192.0.2.0/24\n PermitRootLogin no\n DenyUsers *\n", all),
        ("AuthorizedKeysFile none\nMatch User carl\n AuthorizedKeysFile .ssh/authorized_keys2\n", "ann bob carl"),
        // What is included under a condition holds under it, and its own conditions end with its file.
        ("Include a.conf\nMatch User ann\nInclude /etc/ssh/b.conf\nDenyUsers ann\n", "bob carl root"),
    ] {
        let host = ssh(config)
            .with("etc/ssh/a.conf", "Match User nobody\nDenyUsers nobody\n")
            .with("etc/ssh/b.conf", "DenyUsers bob\nMatch User bob\nDenyUsers bob\n");
        assert_eq!(let_in(&host.read(Class::Account)), (expected.to_owned(), String::new()), "{config}");
    }
    // Dora has nothing, and might have what others keep for her.
    for config in ["AuthorizedKeysCommand /x\n", "TrustedUserCAKeys /etc/ssh/ca.pub\n"] {
        let (known, unknown) = let_in(&ssh(config).read(Class::Account));
        assert_eq!((known.as_str(), unknown.as_str()), (all, "dora"), "{config}");
    }
    let (known, unknown) = let_in(&ssh("AuthenticationMethods publickey,password\n").read(Class::Account));
    assert_eq!((known.as_str(), unknown.as_str()), ("", all));
}

#[test]
fn sshd_takes_neither_empty_passwords_nor_locked_accounts_nor_every_key_of_root() {
    let shadow = "root:*:1::::::\nann:!$y$x:1::::::\nbob::1::::::\ncarl:!:1::::::\ndora:*:1::::::\n";
    for (config, known, unknown) in [
        ("", "root", ""),
        ("UsePAM no\n", "root", ""),
        ("UsePAM yes\n", "ann carl root", ""),
        ("UsePAM yes\nPermitEmptyPasswords yes\n", "ann bob carl root", ""),
        ("PermitEmptyPasswords yes\nPasswordAuthentication no\n", "root", ""),
        ("Match User bob\nPermitEmptyPasswords yes\n", "bob root", ""),
        ("PermitRootLogin forced-commands-only\n", "", "root"),
        ("PermitRootLogin forced-commands-only\nPubkeyAuthentication no\n", "", ""),
    ] {
        let snapshot = ssh(config).with("etc/shadow", shadow).read(Class::Account);
        assert_eq!(let_in(&snapshot), (known.to_owned(), unknown.to_owned()), "{config}");
    }
}

#[test]
fn whom_sshd_lets_in_is_unknown_where_its_configuration_is() {
    let everybody = "ann bob carl dora root";
    let none = ssh("");
    std::fs::remove_file(none.path().join("etc/ssh/sshd_config")).unwrap();
    let snapshot = none.read(Class::Account);
    assert_eq!((let_in(&snapshot).1.as_str(), snapshot.unread_sources.len()), (everybody, 0));
    std::fs::create_dir(none.path().join("etc/ssh/sshd_config")).unwrap();
    let loop_of_files = ssh("Include sshd_config\n");
    let words = ssh(&format!("AllowUsers{}\n", " x".repeat(5_000)));
    for host in [&none, &loop_of_files, &words] {
        let snapshot = host.read(Class::Account);
        assert_eq!(let_in(&snapshot), (String::new(), everybody.to_owned()));
        assert_eq!(snapshot.unread_sources, ["/etc/ssh/sshd_config"]);
    }
    // Keys that cannot be read leave it open, unless something else decides.
    let host = ssh("DenyUsers carl\n")
        .with("h/dora/.ssh/authorized_keys/folder", "")
        .with("h/bob/.ssh/authorized_keys/folder", "");
    assert_eq!(let_in(&host.read(Class::Account)), ("ann bob root".to_owned(), "dora".to_owned()));
    // Without the shadow file neither passwords nor expiry are known.
    let host = ssh("AllowGroups ops\n");
    std::fs::remove_file(host.path().join("etc/shadow")).unwrap();
    assert_eq!(let_in(&host.read(Class::Account)), (String::new(), "ann carl".to_owned()));
}

#[test]
fn sources_of_accounts_that_are_not_read_are_told() {
    let with = |text: &str, file: &str| {
        let host =
            Host::new().with("etc/passwd", PASSWD).with("var/log/lastlog", [0; 292]).with("etc/nsswitch.conf", text);
        host.with(file, "").read(Class::Account).unread_sources
    };
    let unread = |text: &str| with(text, "etc/sssd/sssd.conf");
    let plain =
        "passwd: files systemd\ngroup: compat [SUCCESS=merge] systemd\nshadow:files\nhosts: files dns\n# passwd: sss\n";
    assert!(unread(plain).is_empty(), "{:?}", unread(plain));
    let more = "passwd:\tsss files systemd # ldap\ngroup: files [NOTFOUND=return] winbind\nshadow: files nis\nsudoers: files sss\n";
    assert_eq!(unread(more), ["passwd of sss", "group of winbind", "shadow of nis", "sudoers of sss"]);
    assert_eq!(with(more, "etc/sssd/conf.d/corp.conf"), unread(more));
    assert_eq!(with(more, "etc/motd"), ["group of winbind", "shadow of nis"], "SSSD is not set up");
    let made_up: String = (0..1_000).map(|number| format!("passwd: s{number}\n")).collect();
    assert_eq!(unread(&made_up).len(), 21);
    let long = format!("passwd: files\n{}", "# long\n".repeat(20_000));
    assert_eq!(unread(&long), ["/etc/nsswitch.conf"]);
}

#[test]
fn further_users_of_systemd_are_told() {
    let host = Host::new()
        .with("etc/passwd", PASSWD)
        .with("var/log/lastlog", [0; 292])
        .with("usr/etc/nsswitch.conf", "passwd: files systemd\n");
    assert!(host.read(Class::Account).unread_sources.is_empty());
    let host = host.with("etc/userdb/eve.user", "{}");
    assert_eq!(host.read(Class::Account).unread_sources, ["passwd of systemd's userdb"]);
    // Only the first that is there counts.
    let host = host.with("etc/nsswitch.conf", "passwd: files\n");
    assert!(host.read(Class::Account).unread_sources.is_empty());
}
