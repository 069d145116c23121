//! What runs in containers, beside the same on the host and in other containers.

use std::fs;
use std::process::{Command, Stdio};

use cwpp_collector::class::{Class, ClassSnapshot, Item};

use crate::proc_tree::Fake;
use crate::{Host, is_root, read_here};

/// The ids of two containers, and the control groups of their processes.
fn boxes() -> ([String; 2], [String; 2]) {
    let ids = ["a".repeat(64), "b".repeat(64)];
    let groups = ids.clone().map(|id| format!("0::/system.slice/docker-{id}.scope"));
    (ids, groups)
}

/// The container of each item, and whatever else is asked for.
fn told<T>(snapshot: &ClassSnapshot, ask: impl Fn(&Item) -> (Option<String>, T)) -> Vec<(Option<String>, T)> {
    assert_eq!(snapshot.skipped, [], "{:?}", snapshot.class);
    snapshot.items.iter().map(ask).collect()
}

/// A table of sockets with one that listens on every address.
fn listening(port: &str, inode: u64) -> String {
    format!("  sl  local_address\n   0: 00000000:{port} 00000000:0000 0A 0:0 0:0 0 0 0 {inode} 1 0 100 0 0 10 0\n")
}

#[test]
fn the_same_program_in_several_containers_is_several_assets() {
    let ([one, two], groups) = boxes();
    let redis = Fake {
        name: b"redis-server",
        args: &[b"redis-server *:6379"],
        exe: Some("/usr/bin/redis-server"),
        ..Fake::default()
    };
    let version = |text: &str| format!("\0{text}box-17000000000abcdef01234\0");
    let host = Host::new()
        .started()
        .with("usr/bin/redis-server", "")
        .process(&Fake { pid: 10, sockets: &[1], ..redis.clone() })
        .process(&Fake { pid: 20, sockets: &[2], cgroup: &groups[0], ..redis.clone() })
        .process(&Fake { pid: 21, parent: 20, cgroup: &groups[0], ..redis.clone() })
        .process(&Fake { pid: 30, sockets: &[3], cgroup: &groups[1], ..redis })
        .with("proc/10/net/tcp", listening("18EB", 1))
        .with("proc/20/net/tcp", listening("18EB", 2))
        .with("proc/30/net/tcp", listening("18EB", 3))
        .with("proc/20/root/usr/bin/redis-server", version("7.2.4"))
        .with("proc/30/root/usr/bin/redis-server", version("6.2.0"));
    fs::create_dir_all(host.path().join("proc/21/root")).unwrap();
    let found = told(&host.read(Class::DatabaseInstance), |item| match item {
        Item::DatabaseInstance(one) => (one.container_id.clone(), (one.port, one.pid)),
        other => panic!("{other:?}"),
    });
    let port = Some(6379);
    assert_eq!(found, [(None, (port, 10)), (Some(one.clone()), (port, 20)), (Some(two.clone()), (port, 30))]);
    let found = told(&host.read(Class::SoftwareApplication), |item| match item {
        Item::SoftwareApplication(one) => (one.container_id.clone(), (one.process_count, one.version.clone())),
        other => panic!("{other:?}"),
    });
    let (new, old) = (Some("7.2.4".to_owned()), Some("6.2.0".to_owned()));
    assert_eq!(found, [(None, (1, None)), (Some(one), (2, new)), (Some(two), (1, old))]);
}

#[test]
fn the_same_site_application_and_framework_in_several_containers_are_several_assets() {
    let ([one, two], groups) = boxes();
    let args: [&[u8]; 1] = [b"nginx: master process nginx"];
    let nginx = Fake { name: b"nginx", args: &args, exe: Some("/usr/sbin/nginx"), ..Fake::default() };
    let mut host = Host::new()
        .process(&Fake { pid: 10, ..nginx.clone() })
        .process(&Fake { pid: 20, cgroup: &groups[0], ..nginx.clone() })
        .process(&Fake { pid: 30, cgroup: &groups[1], ..nginx });
    for root in ["", "proc/20/root/", "proc/30/root/"] {
        host = host
            .with(&format!("{root}etc/nginx/nginx.conf"), "http { server { listen 80; server_name a; root /srv; } }")
            .with(&format!("{root}srv/wp-includes/version.php"), "<?php $wp_version = '6.4.2';")
            .with(
                &format!("{root}srv/vendor/composer/installed.json"),
                "[{\"name\": \"laravel/framework\", \"version\": \"v10.1\"}]",
            );
    }
    for class in [Class::WebSite, Class::WebService, Class::WebApplication, Class::WebFramework] {
        let found = told(&host.read(class), |item| match item {
            Item::WebSite(item) => (item.container_id.clone(), ()),
            Item::WebService(item) => (item.container_id.clone(), ()),
            Item::WebApplication(item) => (item.container_id.clone(), ()),
            Item::WebFramework(item) => (item.container_id.clone(), ()),
            other => panic!("{other:?}"),
        });
        assert_eq!(found, [(None, ()), (Some(one.clone()), ()), (Some(two.clone()), ())], "{class:?}");
    }
}

#[test]
fn a_process_has_the_names_of_its_own_file_tree_in_every_class() {
    let ([one, _], groups) = boxes();
    let redis = Fake {
        name: b"redis-server",
        args: &[b"redis-server *:6379"],
        exe: Some("/usr/bin/redis-server"),
        user: 7,
        ..Fake::default()
    };
    let host = Host::new()
        .started()
        .with("etc/passwd", "ann:x:7:7::/:/bin/sh\n")
        .with("etc/group", "staff:x:7:\n")
        .with("proc/1/net/tcp", "header\n")
        .with("proc/1/net/udp", "header\n")
        .with("proc/20/net/tcp", listening("18EB", 2))
        .with("proc/20/net/udp", "header\n")
        .process(&Fake { pid: 1, name: b"init", args: &[b"init"], network: Some(1), ..Fake::default() })
        .process(&Fake { pid: 10, ..redis.clone() })
        .process(&Fake { pid: 20, sockets: &[2], cgroup: &groups[0], network: Some(2), ..redis.clone() })
        .with("proc/20/root/etc/passwd", "redis:x:7:8::/:/bin/sh\n")
        .with("proc/20/root/etc/group", "cache:x:7:\n")
        // Another of the container is chrooted, or cannot be looked at.
        .process(&Fake { pid: 21, cgroup: &groups[0], ..redis.clone() })
        .process(&Fake { pid: 22, cgroup: &groups[0], ..redis.clone() })
        .with("proc/22/root/var/empty", "")
        // A container without accounts.
        .process(&Fake { pid: 30, cgroup: &groups[1], ..redis.clone() })
        .with("proc/30/root/redis-server", "")
        // Chrooted on the host, without accounts and with some.
        .process(&Fake { pid: 40, ..redis.clone() })
        .with("proc/40/root/var/empty", "")
        .process(&Fake { pid: 41, ..redis.clone() })
        .with("proc/41/root/etc/passwd", "build:x:7:8::/:/bin/sh\n")
        // Its own numbers.
        .process(&Fake { pid: 50, cgroup: &groups[0].replace('a', "c"), user: 1_000, ..redis })
        .with("proc/50/uid_map", "0 1000 1\n1 100000 65536\n")
        .with("proc/50/gid_map", "0 1000 1\n")
        .with("proc/50/root/etc/passwd", "root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/:/bin/sh\n")
        .with("proc/50/root/etc/group", "node:x:1000:\n");
    let snapshot = host.read(Class::Process);
    let found: Vec<_> = snapshot
        .items
        .iter()
        .map(|item| match item {
            Item::Process(one) => (one.pid, one.user.as_str(), one.group.as_deref().unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (1, "0", "0"),
        (10, "ann", "staff"),
        (20, "redis", "cache"),
        (21, "redis", "cache"),
        (22, "redis", "cache"),
        (30, "7", "7"),
        (40, "ann", "staff"),
        (41, "build", "7"),
        (50, "root", "1000"),
    ];
    assert_eq!(found, expected);
    let redis = (Some(one), Some("redis".to_owned()));
    let found = told(&host.read(Class::ListeningPort), |item| match item {
        Item::ListeningPort(port) => (port.container_id.clone(), port.user.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(found, std::slice::from_ref(&redis));
    let databases = host.read(Class::DatabaseInstance);
    let users = databases.items.iter().filter_map(|item| match item {
        Item::DatabaseInstance(database) if database.pid == 20 => Some(database.user.clone()),
        _ => None,
    });
    assert_eq!(users.collect::<Vec<_>>(), [redis.1]);
}

#[test]
fn a_user_of_another_file_tree_is_named_on_this_host() {
    if !is_root() {
        return;
    }
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("etc")).unwrap();
    fs::write(tree.path().join("etc/passwd"), "inside:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(tree.path().join("etc/group"), "within:x:0:\n").unwrap();
    let script = format!("chroot '{}' or die; chdir '/'; $| = 1; print \"up\\n\"; <STDIN>", tree.path().display());
    let mut inside = Command::new("unshare")
        .args(["--mount", "perl", "-e", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(inside.stdout.as_mut().unwrap(), &mut up).unwrap();
    let found = read_here(Class::Process);
    drop(inside.stdin.take());
    inside.wait().unwrap();
    let users = |pid: u32| {
        found.items.iter().find_map(|item| match item {
            Item::Process(process) if process.pid == pid => Some((process.user.clone(), process.group.clone())),
            _ => None,
        })
    };
    assert_eq!(users(inside.id()), Some(("inside".to_owned(), Some("within".to_owned()))));
    assert_eq!(users(std::process::id()), Some(("root".to_owned(), Some("root".to_owned()))));
}
