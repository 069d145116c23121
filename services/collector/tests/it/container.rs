//! What runs in containers, beside the same on the host and in other containers.

use std::fs;

use cwpp_collector::class::{Class, ClassSnapshot, Item};

use crate::Host;
use crate::proc_tree::Fake;

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
