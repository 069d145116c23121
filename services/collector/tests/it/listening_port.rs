use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

use cwpp_collector::class::{Class, ClassSnapshot, Item, ListeningPort, Outcome, TransportProtocol};
use sha2::{Digest, Sha256};

use crate::proc_tree::Fake;
use crate::{Host, command, is_root, items, read_here};

fn ports(snapshot: &ClassSnapshot) -> Vec<ListeningPort> {
    let port = |item: &Item| match item {
        Item::ListeningPort(port) => Some(ListeningPort::clone(port)),
        _ => None,
    };
    snapshot.items.iter().filter_map(port).collect()
}

type Port = (TransportProtocol, IpAddr, u16);

/// What `ss` says: each port with the processes that hold it.
fn ss() -> BTreeMap<Port, BTreeSet<u32>> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/ss");
    let output = Command::new(tool).args(["-H", "-l", "-n", "-t", "-u", "-p"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found: BTreeMap<Port, BTreeSet<u32>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let protocol = if words[0] == "tcp" { TransportProtocol::Tcp } else { TransportProtocol::Udp };
        let (address, port) = words[4].rsplit_once(':').unwrap();
        let address = address.split('%').next().unwrap().trim_matches(['[', ']']);
        let address = if address == "*" { "::" } else { address };
        let pids = line.split("pid=").skip(1).map(|rest| rest.split(',').next().unwrap().parse().unwrap());
        found
            .entry((protocol, address.parse().unwrap(), port.parse().unwrap()))
            .or_default()
            .extend::<Vec<u32>>(pids.collect());
    }
    found
}

#[test]
fn this_hosts_ports_and_their_processes_are_those_of_ss() {
    let tcp = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap()];
    let six = TcpListener::bind("[::1]:0").ok();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect(udp.local_addr().unwrap()).unwrap();

    let before = ss();
    let snapshot = read_here(Class::ListeningPort);
    let after = ss();
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let ports = ports(&snapshot);
    let found: BTreeSet<Port> = ports.iter().map(|port| (port.protocol, port.bind_address, port.port)).collect();
    // Other tests open and close ports meanwhile: what is there before and after counts, and what is in neither.
    for port in before.keys().filter(|port| after.contains_key(port)) {
        assert!(found.contains(port), "{port:?} is missing");
    }
    let own = |port: &ListeningPort| port.pid == Some(std::process::id());
    for port in &ports {
        let key = (port.protocol, port.bind_address, port.port);
        let holders: Vec<&BTreeSet<u32>> = [&before, &after].into_iter().filter_map(|list| list.get(&key)).collect();
        let Some(pid) = port.pid else { continue };
        for holders in holders.iter().filter(|holders| !holders.is_empty()) {
            assert!(holders.contains(&pid) || holders.is_disjoint(&pids(&before)), "{port:?} {holders:?}");
        }
        assert!(!own(port) || !holders.is_empty(), "{port:?} is made up");
    }

    let mine: BTreeSet<Port> =
        ports.iter().filter(|port| own(port)).map(|p| (p.protocol, p.bind_address, p.port)).collect();
    let opened = tcp.iter().chain(&six).map(|listener| (TransportProtocol::Tcp, listener.local_addr().unwrap()));
    let opened = opened.chain([(TransportProtocol::Udp, udp.local_addr().unwrap())]);
    for (protocol, address) in opened {
        assert!(mine.contains(&(protocol, address.ip(), address.port())), "{protocol:?} {address}");
    }
    let address = connected.local_addr().unwrap();
    assert!(!mine.contains(&(TransportProtocol::Udp, address.ip(), address.port())));
    let port = ports.iter().find(|port| own(port)).unwrap();
    assert_eq!(port.process_path.as_deref(), std::env::current_exe().unwrap().canonicalize().unwrap().to_str());
    assert!(port.command_line.is_some() && port.user.is_some() && port.parent_pid.is_some());
}

fn pids(list: &BTreeMap<Port, BTreeSet<u32>>) -> BTreeSet<u32> {
    list.values().flatten().copied().collect()
}

#[test]
fn an_ordinary_user_sees_the_port_without_its_process() {
    if !is_root() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lines = command(Some(65_534), &["collect", "--json"]);
    let found = items(&lines, "listening_port");
    let port = found.iter().find(|port| port["port"] == listener.local_addr().unwrap().port()).unwrap();
    assert_eq!((port.get("pid"), port.get("process_name")), (None, None));
    let class = lines.iter().find(|line| line["record"] == "class" && line["class"] == "listening_port").unwrap();
    assert_eq!(class["outcome"], "complete");
    let unread = class["unread_sources"].as_array().unwrap();
    assert!(unread.iter().any(|source| source.as_str().unwrap().starts_with("/proc/*/fd of ")), "{unread:?}");
}

const HEADER: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

fn line(address: &str, state: &str, inode: u64) -> String {
    format!(
        "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
    )
}

fn table(lines: &[String]) -> String {
    format!("{HEADER}{}", lines.concat())
}

fn word(bytes: [u8; 4]) -> String {
    format!("{:08X}", u32::from_ne_bytes(bytes))
}

fn tree() -> Host {
    let any = word([0, 0, 0, 0]);
    let local = word([127, 0, 0, 1]);
    Host::new()
        .started()
        .with(
            "proc/1/net/tcp",
            table(&[
                line(&format!("{any}:0050"), "0A", 11),
                line(&format!("{local}:0051"), "01", 12),
                line(&format!("{any}:0016"), "0A", 13),
                "torn\n".to_owned(),
            ]),
        )
        .with("proc/1/net/tcp6", table(&[line(&format!("{any}{any}{any}{any}:0050"), "0A", 11)]))
        .with(
            "proc/1/net/udp",
            table(&[line(&format!("{local}:0035"), "07", 14), line(&format!("{local}:0036"), "01", 15)]),
        )
}

#[test]
fn a_shared_socket_is_the_oldest_process_of_each_program() {
    let nginx = Fake {
        pid: 9,
        name: b"nginx",
        args: &[b"nginx: master"],
        exe: Some("/usr/sbin/nginx"),
        start: 500,
        sockets: &[11, 11, 99],
        ..Fake::default()
    };
    let host = tree()
        .process(&Fake { args: &[b"/sbin/init"], exe: Some("/sbin/init"), sockets: &[13], ..Fake::default() })
        .process(&nginx)
        .process(&Fake { pid: 8, start: 600, args: &[b"nginx: worker"], ..nginx.clone() })
        .process(&Fake {
            pid: 20,
            name: b"sshd",
            args: &[b"sshd"],
            exe: Some("/usr/sbin/sshd"),
            start: 700,
            sockets: &[13],
            ..Fake::default()
        });
    let snapshot = host.read(Class::ListeningPort);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 1));
    let found: Vec<(String, u16, Option<u32>)> =
        ports(&snapshot).iter().map(|port| (port.bind_address.to_string(), port.port, port.pid)).collect();
    let any = || "0.0.0.0".to_owned();
    assert_eq!(
        found,
        [
            (any(), 22, Some(1)),
            (any(), 22, Some(20)),
            (any(), 80, Some(9)),
            ("::".to_owned(), 80, Some(9)),
            ("127.0.0.1".to_owned(), 53, None)
        ]
    );
    assert_eq!(host.read(Class::ListeningPort).digest(), snapshot.digest());
}

#[test]
fn a_port_has_the_digest_and_the_terminal_of_its_process() {
    let program = Fake { name: b"web", args: &[b"web"], exe: Some("/usr/bin/web"), tty: 34_816, ..Fake::default() };
    let host = tree()
        .with("usr/bin/web", "the program")
        .with("usr/bin/small", "x")
        .process(&Fake { sockets: &[11], ..program.clone() })
        .process(&Fake { pid: 8, exe: Some("/usr/bin/small"), ..program.clone() })
        .process(&Fake { pid: 9, exe: Some("/usr/bin/large"), sockets: &[13], ..program });
    // The budget is enough for it beside the other program that listens, but not beside all that run.
    let large = std::fs::File::create(host.path().join("usr/bin/large")).unwrap();
    large.set_len((128 << 20) - 11).unwrap();
    let told = |class: Class| {
        let items = host.read(class).items.into_iter().filter_map(|item| match item {
            Item::Process(process) => Some((process.pid, process.sha256, process.terminal)),
            Item::ListeningPort(port) => Some((port.pid?, port.sha256, port.terminal)),
            _ => None,
        });
        items.collect::<BTreeSet<_>>()
    };
    let (sum, terminal) = (hex::encode(Sha256::digest("the program")), Some("pts/0".to_owned()));
    assert_eq!(told(Class::ListeningPort), [(1, Some(sum), terminal.clone()), (9, None, terminal)].into());
    assert!(told(Class::Process).is_superset(&told(Class::ListeningPort)));
}

#[test]
fn a_table_that_cannot_be_read_is_never_an_empty_one() {
    assert!(matches!(Host::new().read(Class::ListeningPort).outcome, Outcome::NotPresent { .. }));
    let host = tree();
    std::fs::remove_file(host.path().join("proc/1/net/udp")).unwrap();
    std::fs::create_dir(host.path().join("proc/1/net/udp")).unwrap();
    assert!(matches!(host.read(Class::ListeningPort).outcome, Outcome::Unreadable { .. } | Outcome::NotPresent { .. }));
    let without_ipv6 = tree();
    std::fs::remove_file(without_ipv6.path().join("proc/1/net/tcp6")).unwrap();
    assert_eq!(ports(&without_ipv6.read(Class::ListeningPort)).len(), 3);
}

#[test]
fn ports_in_networks_of_their_own_are_found_by_container() {
    let any = word([0, 0, 0, 0]);
    let web = Fake { name: b"web", args: &[b"web"], exe: Some("/app/web"), ..Fake::default() };
    let (one, two) = ("a".repeat(64), "b".repeat(64));
    let cgroups = [format!("0::/system.slice/docker-{one}.scope"), format!("0::/system.slice/docker-{two}.scope")];
    let inside =
        |inode: u64| table(&[line(&format!("{any}:1F90"), "0A", inode), line(&format!("{any}:1F91"), "01", 99)]);
    let host = tree()
        .with("proc/30/net/tcp", inside(31))
        .with("proc/30/net/udp", table(&[]))
        .with("proc/40/net/tcp", inside(41))
        .with("proc/40/net/udp", table(&[]))
        .process(&Fake {
            args: &[b"/sbin/init"],
            exe: Some("/sbin/init"),
            sockets: &[13],
            network: Some(1),
            ..Fake::default()
        })
        // Its container is in the host's network.
        .process(&Fake { pid: 9, sockets: &[11], cgroup: &cgroups[0], network: Some(1), ..web.clone() })
        // The first of its network ended while it was read.
        .process(&Fake { pid: 29, cgroup: &cgroups[0], network: Some(3), ..web.clone() })
        .process(&Fake { pid: 30, sockets: &[31], cgroup: &cgroups[0], network: Some(3), ..web.clone() })
        .process(&Fake { pid: 40, sockets: &[41], cgroup: &cgroups[1], network: Some(4), ..web.clone() })
        .process(&Fake { pid: 50, network: None, ..web });
    let snapshot = host.read(Class::ListeningPort);
    let told: Vec<(u16, Option<u32>, bool, Option<String>)> =
        ports(&snapshot).into_iter().map(|port| (port.port, port.pid, port.own_network, port.container_id)).collect();
    let wanted = [
        (22, Some(1), false, None),
        (80, Some(9), false, Some(one.clone())),
        (80, Some(9), false, Some(one.clone())),
        (53, None, false, None),
        (8080, Some(30), true, Some(one)),
        (8080, Some(40), true, Some(two)),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_network_of_its_own_without_a_container_is_told_from_the_hosts() {
    let any = word([0, 0, 0, 0]);
    let web = Fake { name: b"web", args: &[b"web"], exe: Some("/app/web"), ..Fake::default() };
    let http = |inode: u64| table(&[line(&format!("{any}:0050"), "0A", inode)]);
    let mut host = tree().process(&Fake { sockets: &[11], network: Some(1), ..web.clone() });
    for (pid, inode) in [(30, [31]), (40, [41])] {
        host = host
            .with(&format!("proc/{pid}/net/tcp"), http(inode[0]))
            .with(&format!("proc/{pid}/net/udp"), table(&[]))
            .process(&Fake { pid, sockets: &inode, network: Some(pid.into()), ..web.clone() });
    }
    let snapshot = host.read(Class::ListeningPort);
    let found = ports(&snapshot).into_iter().filter(|port| port.port == 80 && port.bind_address.is_ipv4());
    let told: Vec<_> = found.map(|port| (port.pid, port.own_network)).collect();
    assert_eq!(told, [(Some(1), false), (Some(30), true)]);
    // That there is a third is told: the torn line of the tree, and this.
    assert_eq!(snapshot.skipped_count, 2, "{:?}", snapshot.skipped);
    assert!(snapshot.skipped[1].reason.contains("another network"), "{:?}", snapshot.skipped);
}

#[test]
fn a_container_of_very_many_ports_pushes_none_of_the_hosts_out() {
    let id = "a".repeat(64);
    let any = word([0, 0, 0, 0]);
    let many: Vec<String> = (1..=30_100).map(|port| line(&format!("{any}:{port:04X}"), "0A", 50)).collect();
    let cgroup = format!("0::/system.slice/docker-{id}.scope");
    let web = Fake { name: b"web", args: &[b"web"], exe: Some("/app/web"), ..Fake::default() };
    let host = tree()
        .with("proc/30/net/tcp", table(&many))
        .with("proc/30/net/udp", table(&[]))
        .process(&Fake { sockets: &[11], network: Some(1), ..web.clone() })
        .process(&Fake { pid: 30, sockets: &[50], network: Some(2), cgroup: &cgroup, ..web });
    let snapshot = host.read(Class::ListeningPort);
    assert!(matches!(snapshot.outcome, Outcome::Truncated { .. }));
    assert_eq!(ports(&snapshot).iter().filter(|port| !port.own_network).count(), 4);
}

#[test]
fn a_port_in_a_network_of_its_own_is_found_on_this_host() {
    if !is_root() {
        return;
    }
    let script = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 4711, Listen => 1) or die; $| = 1; print \"up\\n\"; <STDIN>";
    let mut inside = Command::new("unshare")
        .args(["--net", "perl", "-e", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(inside.stdout.as_mut().unwrap(), &mut up).unwrap();
    let found = ports(&read_here(Class::ListeningPort));
    let mine: Vec<_> = found.iter().filter(|port| port.pid == Some(inside.id())).collect();
    drop(inside.stdin.take());
    inside.wait().unwrap();
    assert_eq!(mine.len(), 1, "{mine:?}");
    assert_eq!((mine[0].port, mine[0].bind_address.to_string(), mine[0].own_network), (4711, "0.0.0.0".into(), true));
    assert!(mine[0].command_line.as_deref().unwrap().starts_with("perl -e "));
    assert!(found.iter().any(|port| !port.own_network) || found.len() == 1);
}
