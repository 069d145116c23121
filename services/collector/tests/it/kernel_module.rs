use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use cwpp_collector::class::{Class, ClassSnapshot, Item, KernelModule, Outcome};

use crate::{Host, read_here};

fn modules(snapshot: &ClassSnapshot) -> Vec<KernelModule> {
    let module = |item: &Item| match item {
        Item::KernelModule(module) => Some(module.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(module).collect()
}

#[test]
fn this_hosts_modules_are_the_kernels_and_lsmods() {
    let snapshot = read_here(Class::KernelModule);
    let Ok(table) = fs::read_to_string("/proc/modules") else {
        // A kernel without loadable modules.
        assert!(matches!(snapshot.outcome, Outcome::NotPresent { .. }));
        return;
    };
    let found: BTreeSet<(String, u64)> =
        modules(&snapshot).into_iter().map(|module| (module.name, u64::from(module.size_bytes))).collect();
    let first_two = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap())
    };
    assert_eq!(found, table.lines().map(first_two).collect());
    if let Ok(output) = Command::new("lsmod").output() {
        let listed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(found, listed.lines().skip(1).map(first_two).collect());
    }
}

const TABLE: &str = "xfs 2027520 1 - Live 0x0000000000000000\nlibcrc32c 12288 2 xfs,nf_tables, Live 0x0\nnf_tables 372736 0 - Live 0x0 (E)\nsnd_hda_intel 61440 - [permanent], Live 0x0\n";

fn host() -> Host {
    Host::new()
        .with("proc/modules", TABLE)
        .with("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
        .with("sys/module/xfs/version", "2.1\n")
        .with("sys/module/snd_hda_intel/parameters/power_save", "1\n")
        .with("sys/module/snd_hda_intel/parameters/model", b"(null),\xff\n")
}

#[test]
fn modules_have_their_files_what_they_need_and_their_parameters() {
    let directory = "usr/lib/modules/6.1.0-18-amd64";
    let dep = "kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/lib/libcrc32c.ko.xz:\nkernel/sound/snd-hda-intel.ko: kernel/sound/snd-pcm.ko kernel/sound/snd.ko\n";
    let host = host().with(&format!("{directory}/modules.dep"), dep);
    std::os::unix::fs::symlink("usr/lib", host.path().join("lib")).unwrap();
    let snapshot = host.read(Class::KernelModule);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 0));
    let all = modules(&snapshot);
    assert_eq!(
        all.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["libcrc32c", "nf_tables", "snd_hda_intel", "xfs"]
    );
    let xfs = &all[3];
    assert_eq!((xfs.size_bytes, xfs.use_count, xfs.version.as_deref()), (2_027_520, Some(1), Some("2.1")));
    assert_eq!((xfs.dependencies.as_slice(), xfs.used_by.len()), (&["libcrc32c".to_owned()][..], 0));
    assert_eq!(xfs.path.as_deref(), Some("/lib/modules/6.1.0-18-amd64/kernel/fs/xfs/xfs.ko.xz"));
    assert_eq!(all[0].used_by, ["nf_tables", "xfs"]);
    // Not in `modules.dep`, but the kernel says so.
    assert_eq!((all[1].dependencies.as_slice(), &all[1].path), (&["libcrc32c".to_owned()][..], &None));
    let sound = &all[2];
    assert_eq!((sound.use_count, sound.used_by.len(), sound.dependencies.len()), (None, 0, 2));
    assert_eq!(sound.parameters["power_save"], "1");
    assert_eq!(host.read(Class::KernelModule).digest(), snapshot.digest());
}

#[test]
fn without_the_folder_of_the_files_the_modules_are_there_without_paths() {
    let all = modules(&host().read(Class::KernelModule));
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|module| module.path.is_none()));
    assert_eq!(all[3].dependencies, ["libcrc32c"]);
}

#[test]
fn a_broken_table_costs_its_lines_and_a_missing_one_is_told() {
    let outcome = |table: &[u8]| Host::new().with("proc/modules", table).read(Class::KernelModule);
    let broken =
        outcome(b"a 1 0 - Live 0x0\nnonsense\na 2 0 - Live 0x0\n\xff 7 0 ../../etc, Live\n../x 1 0 - Live 0x0\n");
    assert_eq!((broken.outcome.clone(), broken.items.len(), broken.skipped_count), (Outcome::Complete, 3, 2));
    assert!(matches!(outcome(b"\0\0\0\0").outcome, Outcome::Unreadable { .. }));
    let none = outcome(b"");
    assert_eq!((none.outcome, none.items.len()), (Outcome::Complete, 0));
    assert!(matches!(Host::new().read(Class::KernelModule).outcome, Outcome::NotPresent { .. }));
    let directory = Host::new().with("proc/modules/x", "");
    assert!(matches!(directory.read(Class::KernelModule).outcome, Outcome::Unreadable { .. }));
}
