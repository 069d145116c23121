use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, Resource, ResourceKind};

use crate::{Host, read_here};

fn resources(snapshot: &ClassSnapshot) -> Vec<Resource> {
    let resource = |item: &Item| match item {
        Item::Resource(resource) => Some(Resource::clone(resource)),
        _ => None,
    };
    snapshot.items.iter().filter_map(resource).collect()
}

fn of(all: &[Resource], kind: ResourceKind) -> Vec<&Resource> {
    all.iter().filter(|resource| resource.kind == kind).collect()
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn this_hosts_hardware_and_partitions_are_those_of_nproc_and_df() {
    let snapshot = read_here(Class::Resource);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let all = resources(&snapshot);
    let hardware = of(&all, ResourceKind::Hardware);
    assert_eq!(hardware.len(), 1);
    let count = run("nproc", &["--all"]).unwrap();
    assert_eq!(hardware[0].cpu_count, count.trim().parse().ok());
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(hardware[0].size_bytes, Some(total * 1024));
    assert!(hardware[0].used_bytes < hardware[0].size_bytes);

    let found: BTreeMap<&str, Option<u64>> = of(&all, ResourceKind::DiskPartition)
        .into_iter()
        .map(|disk| (disk.mount_path.as_deref().unwrap(), disk.size_bytes))
        .collect();
    let listed = run("df", &["--output=fstype,size,target", "-B1", "/"]).unwrap();
    let words: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(found.get(words[2]), Some(&words[1].parse().ok()));
    assert!(!found.contains_key("/proc") && !found.contains_key("/sys") && !found.contains_key("/dev"));
}

#[test]
fn this_hosts_interfaces_are_those_of_the_kernel_and_of_ip() {
    let snapshot = read_here(Class::Resource);
    let all = resources(&snapshot);
    let interfaces = of(&all, ResourceKind::NetworkInterface);
    for interface in &interfaces {
        let mac = fs::read_to_string(format!("/sys/class/net/{}/address", interface.name)).unwrap();
        assert_eq!(interface.mac_address.as_deref().unwrap_or("00:00:00:00:00:00"), mac.trim());
    }
    let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let mut expected: Vec<String> = fs::read_dir("/sys/class/net")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name != "lo" && name != "bonding_masters")
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    let Some(json) = run("ip", &["-j", "addr"]) else { return };
    let listed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    for interface in &interfaces {
        let known = listed.iter().find(|known| known["ifname"] == interface.name.as_str()).unwrap();
        let mut expected: Vec<String> = known["addr_info"]
            .as_array()
            .unwrap()
            .iter()
            .map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"]))
            .collect();
        expected.sort();
        let mut found = interface.ip_addresses.clone();
        found.sort();
        assert_eq!(found, expected, "{}", interface.name);
    }
}

fn host() -> Host {
    let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let route = format!(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
         eth0\t{}\t{}\t3\t0\t0\t0\t{}\neth0\t{}\t{}\t1\t0\t0\t0\t{}\neth1\t{}\t{}\t1\t0\t0\t0\t{}\n",
        word([0; 4]),
        word([192, 0, 2, 1]),
        word([0; 4]),
        word([192, 0, 0, 0]),
        word([0; 4]),
        word([255, 255, 0, 0]),
        word([192, 0, 3, 0]),
        word([0; 4]),
        word([255, 255, 255, 0]),
    );
    Host::new()
        .with("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nSwapTotal: 50 kB\n")
        .with("proc/cpuinfo", "processor\t: 0\nmodel name\t: CPU X\n")
        .with("proc/stat", "cpu 1\ncpu0 1\ncpu1 1\nintr 5\n")
        .with("sys/class/dmi/id/sys_vendor", "Maker\n")
        .with("proc/1/mountinfo", "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 254:1 / /data\\040a rw - xfs /dev/vdb rw\n3 1 0:5 / /proc rw - proc proc rw\nbroken\n4 1 0:9 / /net rw - nfs server:/x rw\n")
        .with("proc/1/net/dev", "Inter-|\n face |\n    lo: 1 2\n  eth0: 1 2\n  eth1: 1 2\n")
        .with("proc/1/net/route", route)
        .with("proc/1/net/fib_trie", "Main:\n  |-- 127.0.0.1\n    /32 host LOCAL\n  |-- 192.0.2.2\n    /32 host LOCAL\n  |-- 192.0.3.9\n    /32 host LOCAL\n")
        .with("sys/class/net/eth0/address", "02:00:00:00:00:01\n")
        .with("sys/class/net/eth0/operstate", "up\n")
        .with("sys/class/net/eth1/operstate", "down\n")
        .with("etc/resolv.conf", "search x\nnameserver 127.0.0.53\n")
        .with("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\nnameserver nonsense\n")
}

#[test]
fn each_address_is_its_interfaces() {
    let host = host();
    let snapshot = host.read(Class::Resource);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 1));
    let all = resources(&snapshot);
    let interfaces = of(&all, ResourceKind::NetworkInterface);
    let shown: Vec<(&str, &[String], Option<bool>)> =
        interfaces.iter().map(|i| (i.name.as_str(), i.ip_addresses.as_slice(), i.is_up)).collect();
    assert_eq!(
        shown,
        [
            ("eth0", &["192.0.2.2/16".to_owned()][..], Some(true)),
            ("eth1", &["192.0.3.9/24".to_owned()][..], Some(false))
        ]
    );
    assert_eq!(interfaces[0].gateway, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(interfaces[0].dns_servers, ["192.0.2.53".parse::<std::net::IpAddr>().unwrap()]);
    assert!(
        interfaces[1].gateway.is_none() && interfaces[1].dns_servers.is_empty() && interfaces[1].mac_address.is_none()
    );
    let disks: Vec<&str> =
        of(&all, ResourceKind::DiskPartition).iter().map(|d| d.mount_path.as_deref().unwrap()).collect();
    assert_eq!(disks, ["/", "/data a", "/net"]);
    // In a tree that was copied nothing is mounted: sizes would be those of another disk.
    assert!(of(&all, ResourceKind::DiskPartition).iter().all(|disk| disk.size_bytes.is_none()));
    let hardware = of(&all, ResourceKind::Hardware)[0];
    assert_eq!((hardware.cpu_model.as_deref(), hardware.cpu_count), (Some("CPU X"), Some(2)));
    assert_eq!((hardware.partition_count, interfaces[0].partition_count), (Some(3), None));
    assert_eq!(
        (hardware.size_bytes, hardware.used_bytes, hardware.swap_bytes),
        (Some(1_024_000), Some(614_400), Some(51_200))
    );
    assert_eq!((hardware.manufacturer.as_deref(), hardware.serial_number.as_deref()), (Some("Maker"), None));
}

#[test]
fn buckets_and_pools_of_file_systems_in_user_space_are_partitions_without_a_size() {
    let mounts = "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 0:40 / /srv/bucket rw - fuse.gcsfuse bucket rw\n3 1 0:41 / /srv/pool rw - fuse.mergerfs a:b rw\n4 1 0:42 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw\n";
    let all = resources(&host().with("proc/1/mountinfo", mounts).read(Class::Resource));
    let disks = of(&all, ResourceKind::DiskPartition).into_iter();
    let found: Vec<_> =
        disks.map(|disk| (disk.name.as_str(), disk.filesystem.as_deref().unwrap(), disk.size_bytes)).collect();
    assert_eq!(found, [("/dev/vda", "ext4", None), ("a:b", "fuse.mergerfs", None), ("bucket", "fuse.gcsfuse", None)]);
}

#[test]
fn memory_in_use_is_no_change() {
    let digest = |host: &Host| host.read(Class::Resource).digest();
    let first = digest(&host());
    let busier = host().with("proc/meminfo", "MemTotal:  1000 kB\nMemAvailable: 40 kB\nSwapTotal: 50 kB\n");
    assert_eq!(digest(&busier), first);
    let larger = host().with("proc/meminfo", "MemTotal:  2000 kB\nMemAvailable: 400 kB\nSwapTotal: 50 kB\n");
    assert_ne!(digest(&larger), first);
}

#[test]
fn one_source_that_is_missing_makes_the_class_unreadable_and_none_at_all_not_present() {
    for source in ["proc/meminfo", "proc/1/mountinfo", "proc/1/net/dev"] {
        let host = host();
        fs::remove_file(host.path().join(source)).unwrap();
        assert!(matches!(host.read(Class::Resource).outcome, Outcome::Unreadable { .. }), "{source}");
    }
    assert!(matches!(Host::new().read(Class::Resource).outcome, Outcome::NotPresent { .. }));
}
