use cwpp_collector::class::Class;
use cwpp_collector::machine::{Dmi, LoadSampler, Machine};
use cwpp_collector::{Root, collect, print_snapshot};
use serde_json::Value;

use crate::{Host, noon, read_here};

#[test]
fn this_machine_is_known() {
    let machine = Machine::read(&Root::default());
    assert!(machine.hostname.is_some() && machine.kernel.is_some() && machine.boot_id.is_some());
    assert!(machine.boot_time.unwrap() < chrono::Utc::now());
    assert!(machine.addresses.iter().all(|address| !address.is_loopback()));
}

#[test]
fn the_machine_id_itself_is_never_told() {
    let id = "0123456789abcdef0123456789abcdef";
    let host = Host::new().with("etc/machine-id", format!("{id}\n")).with("etc/hostname", "web-1\n");
    let machine = Machine::read(&host.root());
    let hash = machine.host_id_hash.clone().unwrap();
    assert_eq!(hash.len(), 64);
    assert_ne!(hash, blake3::hash(id.as_bytes()).to_hex().as_str());
    assert!(!serde_json::to_string(&machine).unwrap().contains(id));
    assert_eq!(machine.hostname.as_deref(), Some("web-1"));
    let image = Host::new().with("etc/machine-id", "uninitialized\n");
    assert_eq!(Machine::read(&image.root()).host_id_hash, None);
}

#[test]
fn the_cloud_is_known_by_the_firmware() {
    let of = |files: &[(&str, &str)]| {
        let host = files.iter().fold(Host::new(), |host, (name, text)| {
            host.with(&format!("sys/class/dmi/id/{name}"), format!("{text}\n"))
        });
        Machine::read(&host.root()).dmi
    };
    let cloud = |dmi: &Dmi| dmi.cloud.as_ref().map(|c| (c.provider.clone(), c.bare_metal));
    let aws = of(&[("sys_vendor", "Amazon EC2"), ("product_name", "m5.large"), ("board_asset_tag", "i-0abc")]);
    assert_eq!((cloud(&aws), aws.instance_id.as_deref()), (Some(("aws".into(), false)), Some("i-0abc")));
    let metal = of(&[("sys_vendor", "Amazon EC2"), ("product_name", "m5.metal")]);
    assert_eq!(cloud(&metal), Some(("aws".into(), true)));
    let azure =
        of(&[("sys_vendor", "Microsoft Corporation"), ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")]);
    assert_eq!(cloud(&azure), Some(("azure".into(), false)));
    assert_eq!(
        cloud(&of(&[("sys_vendor", "Tencent Cloud"), ("product_name", "CVM")])),
        Some(("tencent".into(), false))
    );
    let own = of(&[
        ("sys_vendor", "Dell Inc."),
        ("product_name", "PowerEdge R740"),
        ("product_serial", "To Be Filled By O.E.M."),
    ]);
    assert_eq!((cloud(&own), own.vendor.as_deref(), own.serial), (None, Some("Dell Inc."), None));
    assert_eq!(of(&[]), Dmi::default());
}

#[test]
fn what_cloud_init_knows_counts_in_a_cloud() {
    let of = |vendor: &str, data: &str| {
        let host =
            Host::new().with("sys/class/dmi/id/sys_vendor", vendor).with("run/cloud-init/instance-data.json", data);
        let machine = Machine::read(&host.root());
        (machine.dmi.cloud.map(|cloud| cloud.provider), machine.dmi.instance_id, machine.region)
    };
    let some = |provider: &str, id: &str, region: &str| {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (text(provider), text(id), text(region))
    };
    let v1 = |name: &str| {
        format!(
            r#"{{"ds":{{}},"v1":{{"cloud_name":"{name}","instance_id":"ins-1","region":"ap-guangzhou","platform":"x"}}}}"#
        )
    };
    assert_eq!(of("Tencent Cloud", &v1("unknown")), some("tencent", "ins-1", "ap-guangzhou"));
    assert_eq!(of("QEMU", &v1("Aliyun")), some("alibaba", "ins-1", "ap-guangzhou"));
    assert_eq!(of("QEMU", &v1("nocloud")), some("", "", ""));
    let dashes = r#"{"v1":{"cloud-name":"aws","instance-id":"i-0abc","region":null}}"#;
    assert_eq!(of("Amazon EC2", dashes), some("aws", "i-0abc", ""));
    let long = v1("aws").replace("guangzhou", &"x".repeat(5_000));
    assert_eq!(of("Amazon EC2", &long).2.unwrap().len(), 63);
    for broken in
        ["", "{", "[]", r#"{"v1":7}"#, r#"{"v1":{"cloud_name":["aws"],"region":{},"instance_id":1}}"#, "\u{0}"]
    {
        assert_eq!(of("Amazon EC2", broken), some("aws", "", ""), "{broken}");
    }
    let deep = "[".repeat(1 << 20);
    assert_eq!(of("Amazon EC2", &deep), some("aws", "", ""));
}

#[test]
fn the_public_address_is_the_one_that_the_cloud_tells_and_no_interface_has() {
    let of = |data: &str| {
        let host = Host::new().with("run/cloud-init/instance-data.json", data);
        Machine::read(&host.root()).public_address.map(|address| address.to_string())
    };
    let aws = r#"{"ds":{"meta_data":{"public-ipv4":"203.0.113.7"}},"v1":{"cloud_name":"aws"}}"#;
    assert_eq!(of(aws).as_deref(), Some("203.0.113.7"));
    let azure = r#"{"ds":{"meta_data":{"imds":{"network":{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4","publicIpAddress":"203.0.113.8"}]}}]}}}},"v1":{"cloud_name":"azure"}}"#;
    assert_eq!(of(azure).as_deref(), Some("203.0.113.8"));
    let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 203.0.113.7\n        /32 host LOCAL\n";
    let has_it = Host::new().with("run/cloud-init/instance-data.json", aws).with("proc/net/fib_trie", trie);
    let machine = Machine::read(&has_it.root());
    assert_eq!((machine.addresses.len(), machine.public_address), (1, None));
    for unknown in [
        aws.replace("aws", "nocloud"),
        aws.replace("203.0.113.7", "redacted for non-root user"),
        aws.replace("203.0.113.7", ""),
        azure.replace("203.0.113.8", ""),
    ] {
        assert_eq!(of(&unknown), None, "{unknown}");
    }
}

#[test]
fn the_load_is_between_two_samples() {
    let mut sampler = LoadSampler::new(Root::default());
    let first = sampler.sample();
    assert_eq!(first.cpu_percent, None);
    assert!(first.memory_total_bytes > first.memory_used_bytes);
    assert!((0.0..=100.0).contains(&first.disk_percent.unwrap()));
    assert!(first.load_average.unwrap() >= 0.0);
    for (text, average) in [("0.20 0.18 0.12 1/80 11206\n", Some(0.2)), ("nan 1 1", None), ("-1 0 0", None), ("", None)]
    {
        let host = Host::new().with("proc/loadavg", text);
        assert_eq!(LoadSampler::new(host.root()).sample().load_average, average, "{text:?}");
    }
    assert!(sampler.sample().cpu_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
}

#[test]
fn a_snapshot_prints_the_machine_then_items_then_classes() {
    let host = Host::new().with("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1:1::/:/bin/sh\n");
    let mut out = Vec::new();
    print_snapshot(&collect(&host.root(), noon()), &mut out).unwrap();
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
    assert_eq!(kinds[..3], ["machine", "item", "item"]);
    assert_eq!(kinds[3..], vec!["class"; Class::ALL.len()]);
    assert_eq!((&lines[1]["class"], &lines[1]["name"]), (&"account".into(), &"ann".into()));
    let class = |name: &str| lines.iter().find(|line| line["record"] == "class" && line["class"] == name).unwrap();
    assert_eq!((&class("account")["outcome"], &class("account")["items"]), (&"complete".into(), &2.into()));
    assert_eq!(class("system_package")["outcome"], "not_present");
}

#[test]
fn reading_this_host_twice_gives_equal_digests_where_nothing_changed() {
    for class in
        [Class::Account, Class::EnvironmentVariable, Class::KernelModule, Class::SystemPackage, Class::Resource]
    {
        let (first, second) = (read_here(class), read_here(class));
        assert_eq!(first.digest(), second.digest(), "{class:?}");
    }
}
