use std::collections::BTreeSet;
use std::process::Command;

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, SystemPackage};

use crate::{Host, command, is_root, items};

fn packages(snapshot: &ClassSnapshot) -> Vec<SystemPackage> {
    let package = |item: &Item| match item {
        Item::SystemPackage(package) => Some(package.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(package).collect()
}

#[test]
fn this_hosts_software_is_what_dpkg_query_says() {
    let found = items(&command(None, &["collect", "--json"]), "software_application");
    let owned: Vec<_> =
        found.iter().filter_map(|item| Some((item["package"].as_str()?, &item["description"]))).collect();
    assert!(!owned.is_empty());
    for (package, description) in owned {
        let output = Command::new("dpkg-query").args(["-W", "-f", "${binary:Summary}\n", package]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(description.as_str(), text.lines().next(), "{package}");
    }
}

#[test]
fn this_hosts_packages_are_those_of_dpkg_query() {
    let format = "${db:Status-Abbrev} ${Package} ${Architecture} ${Version} ${binary:Summary}\n";
    let output = Command::new("dpkg-query").args(["-W", "-f", format]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The second letter is the state: i installed, W and t triggers, F half configured, U unpacked.
    let expected: BTreeSet<String> = text
        .lines()
        .filter(|line| matches!(line.as_bytes()[1], b'i' | b'W' | b't' | b'F' | b'U'))
        .map(|line| line[3..].trim().to_owned())
        .collect();
    assert!(!expected.is_empty());
    for user in [None, Some(65_534)] {
        if user.is_some() && !is_root() {
            continue;
        }
        let found = items(&command(user, &["collect", "--json"]), "system_package");
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let found: BTreeSet<String> = found
            .iter()
            .filter(|p| p["kind"] == "dpkg")
            .map(|p| {
                [&p["name"], &p["architecture"], &p["version"], &p["description"]].map(word).join(" ").trim().to_owned()
            })
            .collect();
        assert_eq!(found, expected);
    }
}

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nSource: glibc (2.36-9+deb12u4)\nVersion: 2.36-9\nMaintainer: A <a@example.org>\nDescription: text\n Version: 9.9\n Package: forged\n\nPackage: held\nStatus: hold ok installed\nArchitecture: all\nVersion: 1:2~rc1\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\nPackage: going\nStatus: deinstall ok installed\nArchitecture: all\nVersion: 1\n";

#[test]
fn fields_and_states_are_read_as_dpkg_means_them() {
    let host = Host::new()
        .with("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
        .with("var/lib/dpkg/status", STATUS)
        .with("var/lib/dpkg/info/libc6:amd64.list", "");
    let packages = packages(&host.read(Class::SystemPackage));
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["going", "held", "libc6"]);
    let libc = &packages[2];
    assert_eq!(
        (libc.version.as_str(), libc.source.as_str(), libc.source_version.as_str()),
        ("2.36-9", "glibc", "2.36-9+deb12u4")
    );
    assert_eq!(libc.purl, "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12");
    assert_eq!(libc.maintainer.as_deref(), Some("A <a@example.org>"));
    assert_eq!((libc.description.as_deref(), packages[1].description.as_deref()), (Some("text"), None));
    assert!(libc.install_time.is_some() && packages[1].install_time.is_none());
    assert_eq!((packages[1].source.as_str(), packages[1].source_version.as_str()), ("held", "1:2~rc1"));
    assert_eq!(packages[1].purl, "pkg:deb/debian/held@1:2~rc1?arch=all&distro=debian-12");
}

#[test]
fn a_run_of_dpkg_under_way_is_seen() {
    let host = Host::new()
        .with("var/lib/dpkg/status", STATUS)
        .with(
            "var/lib/dpkg/updates/0000",
            "Package: held\nStatus: install ok unpacked\nArchitecture: all\nVersion: 3\n",
        )
        .with(
            "var/lib/dpkg/updates/0001",
            "Package: going\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n",
        )
        .with("var/lib/dpkg/updates/tmp.i", "Package: nonsense\n");
    let packages = packages(&host.read(Class::SystemPackage));
    let found: Vec<_> = packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.status.as_str())).collect();
    assert_eq!(found, [("held", "3", "unpacked"), ("libc6", "2.36-9", "installed")]);
}

#[test]
fn an_image_without_dpkg_has_its_packages_in_single_files() {
    let host = Host::new()
        .with("var/lib/dpkg/status.d/base", "Package: base-files\nArchitecture: amd64\nVersion: 12\n")
        .with("var/lib/dpkg/status.d/base.md5sums", "abc  etc/x\n");
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!(
        (snapshot.outcome.clone(), packages(&snapshot).len(), snapshot.skipped_count),
        (Outcome::Complete, 1, 0)
    );
}

#[test]
fn broken_stanzas_cost_only_themselves() {
    let mut file = b"garbage\n\nVersion: 1\nStatus: install ok installed\n\nPackage: no-version\nStatus: install ok installed\n\nPackage: odd\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: J\xfcrgen\nDescription: \xfc\n more\n\nPackage: odd\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n\n".to_vec();
    file.extend_from_slice(
        format!(
            "Package: {}\nArchitecture: all\nVersion: 1\nDescription: {}\n\nPackage: torn\nStat",
            "n".repeat(400),
            "d".repeat(400)
        )
        .as_bytes(),
    );
    let snapshot = Host::new().with("var/lib/dpkg/status", file).read(Class::SystemPackage);
    let packages = packages(&snapshot);
    let odd = packages.iter().find(|package| package.name == "odd").unwrap();
    assert_eq!((odd.version.as_str(), odd.maintainer.as_deref(), odd.escaped), ("1", Some("J\\xfcrgen"), true));
    assert_eq!(odd.description.as_deref(), Some("\\xfc"));
    let long = packages.iter().find(|package| package.name.starts_with("nnn")).unwrap();
    assert_eq!((long.name.len(), long.description.as_ref().map(String::len)), (255, Some(255)));
    assert_eq!(long.truncated, ["name", "description"]);
    assert_eq!((packages.len(), snapshot.skipped_count), (2, 5));
}

#[test]
fn a_host_without_a_database_is_not_a_host_without_packages() {
    let outcome = |host: Host| host.read(Class::SystemPackage).outcome;
    assert!(matches!(outcome(Host::new()), Outcome::NotPresent { .. }));
    assert!(matches!(outcome(Host::new().with("var/lib/dpkg/status", "")), Outcome::Unreadable { .. }));
    assert!(matches!(outcome(Host::new().with("var/lib/dpkg/status", [0_u8; 4096])), Outcome::Unreadable { .. }));
    let host = Host::new().with("var/lib/dpkg/x", "");
    std::os::unix::fs::symlink("status", host.path().join("var/lib/dpkg/status")).unwrap();
    assert!(matches!(outcome(host), Outcome::Unreadable { .. }));
}
