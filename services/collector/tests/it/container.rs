//! What runs in containers, beside the same on the host and in other containers.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::process::{Command, Stdio};

use cwpp_collector::class::{Class, ClassSnapshot, Item};

use crate::archive::archive;
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

#[test]
fn archives_of_containers_are_read_once_each_through_their_own_root() {
    let ([one, two], groups) = boxes();
    let java = Fake { name: b"java", args: &[b"java"], exe: Some("/usr/bin/java"), mounts: Some(1), ..Fake::default() };
    let jar = |name: &str| {
        let manifest = format!("Implementation-Title: {name}\nImplementation-Version: 1\n");
        archive(&[("META-INF/MANIFEST.MF", manifest.as_bytes(), false)])
    };
    let pom = "groupId=org.x\nartifactId=lib\nversion=2\n";
    let lib = archive(&[("META-INF/maven/org.x/lib/pom.properties", pom.as_bytes(), false)]);
    let fat = archive(&[("BOOT-INF/lib/lib-2.jar", &lib, false)]);
    let host = Host::new()
        .with("opt/app.jar", jar("host"))
        .with("proc/20/root/opt/app.jar", jar("one"))
        .with("proc/20/root/images/fat.jar", &fat)
        .with("proc/30/root/opt/app.jar", jar("two"))
        .with("proc/50/root/opt/app.jar", jar("apart"))
        .process(&Fake { pid: 1, ..java.clone() })
        .process(&Fake { pid: 20, cgroup: &groups[0], mounts: Some(2), ..java.clone() })
        .process(&Fake { pid: 21, cgroup: &groups[0], mounts: Some(2), ..java.clone() })
        .process(&Fake { pid: 30, cgroup: &groups[1], mounts: Some(3), ..java.clone() })
        // A service with a temporary folder of its own, and a tree that is no container's.
        .process(&Fake { pid: 40, mounts: Some(4), ..java.clone() })
        .process(&Fake { pid: 50, mounts: Some(5), ..java });
    let holds = |pid: u32, number: u32, path: &str| {
        symlink(path, host.path().join(format!("proc/{pid}/fd/{number}"))).unwrap();
    };
    for pid in [1, 20, 21, 30, 40, 50] {
        holds(pid, 4, "/opt/app.jar");
    }
    holds(20, 5, "/images/fat.jar");
    // More than is read of all of them, but an archive: known by its name, not by its hash.
    holds(30, 5, "/huge.jar");
    let (huge, bytes) = (fs::File::create(host.path().join("proc/30/root/huge.jar")).unwrap(), jar("huge"));
    huge.write_all_at(&bytes, (2 << 30) - bytes.len() as u64).unwrap();
    // The second process of the container sees the same tree, the service the host's.
    symlink("../20/root", host.path().join("proc/21/root")).unwrap();
    symlink("../..", host.path().join("proc/40/root")).unwrap();
    let snapshot = host.read(Class::JarPackage);
    let found = told(&snapshot, |item| match item {
        Item::JarPackage(jar) => {
            let pids: Vec<u32> = jar.processes.iter().map(|process| process.pid).collect();
            (jar.container_id.clone(), (jar.path.clone(), jar.name.clone(), pids))
        }
        other => panic!("{other:?}"),
    });
    let app = |name: &str, pids: &[u32]| ("/opt/app.jar".to_owned(), name.to_owned(), pids.to_vec());
    let fat = |name: &str, pids: &[u32]| ("/images/fat.jar".to_owned(), name.to_owned(), pids.to_vec());
    let expected = [
        (None, app("host", &[1, 40])),
        (Some(one.clone()), fat("fat", &[20])),
        (Some(one.clone()), fat("lib", &[])),
        (Some(one), app("one", &[20, 21])),
        (Some(two.clone()), ("/huge.jar".to_owned(), "huge".to_owned(), vec![30])),
        (Some(two), app("two", &[30])),
    ];
    assert_eq!(found, expected);
    let is_hashed = |item: &Item| matches!(item, Item::JarPackage(jar) if jar.sha256.is_some());
    assert_eq!(snapshot.items.iter().map(is_hashed).collect::<Vec<_>>(), [true, true, true, true, false, true]);
    fs::write(host.path().join("proc/30/root/opt/app.jar"), "broken").unwrap();
    let skipped = host.read(Class::JarPackage).skipped;
    assert_eq!(skipped[0].source, format!("container {}: /opt/app.jar", boxes().0[1]));
    let [apart, over] = snapshot.unread_sources.as_slice() else { panic!("{:?}", snapshot.unread_sources) };
    assert!(apart.contains("no container's") && over.starts_with("archives of containers"), "{apart}, {over}");
}

#[test]
fn which_containers_have_names_goes_by_no_number_of_a_process_and_is_told_when_they_are_too_many() {
    // Each takes the most that one may; the last by number is the first by id.
    let lines: String = (0..9_000).map(|n| format!("user-of-a-long-name-{n}:x:{n}:{n}::/:/bin/sh\n")).collect();
    let accounts = &lines[..(256 << 10) - 100];
    let accounts = &accounts[..=accounts.rfind('\n').unwrap()];
    let read = |count: u32| {
        let mut host = Host::large().started().with("etc/passwd", "root:x:0:0::/:/bin/sh\n");
        for pid in 1..=count {
            let cgroup = format!("0::/docker/{:064x}", count - pid);
            host = host.with(&format!("proc/{pid}/root/etc/passwd"), accounts).process(&Fake {
                pid,
                args: &[b"sleep"],
                user: 7,
                cgroup: &cgroup,
                ..Fake::default()
            });
        }
        host.read(Class::Process)
    };
    let named = |snapshot: &ClassSnapshot| {
        let pid = |item: &Item| match item {
            Item::Process(process) if process.user == "user-of-a-long-name-7" => Some(process.pid),
            _ => None,
        };
        snapshot.items.iter().filter_map(pid).collect::<Vec<_>>()
    };
    let is_told =
        |snapshot: &ClassSnapshot| snapshot.unread_sources.iter().any(|source| source.starts_with("names of"));
    let few = read(10);
    assert_eq!((named(&few).len(), is_told(&few)), (10, false));
    let many = read(60);
    let with_names = named(&many);
    assert!(with_names.len() < 60 && with_names.contains(&60) && !with_names.contains(&1), "{with_names:?}");
    assert!(is_told(&many));
}
