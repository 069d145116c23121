//! rpm's database as Berkeley DB keeps it: as rpm reads it, and damaged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use cwpp_collector::class::{Class, ClassSnapshot, Outcome};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::proc_tree::Fake;
use crate::rpm::{header, install, names, owner, owning, package, packages, rows, running, told};
use crate::{Host, tool};

const PATH: &str = "var/lib/rpm/Packages";

/// How a database is made: the size of its pages, and whether its numbers have the high byte first.
type Make = (usize, bool);

/// Lets Berkeley DB's own tool make a database of these headers below a host, behind the counter that rpm keeps there.
fn load(host: &Host, (size, is_high): Make, headers: &[Vec<u8>]) -> Vec<u8> {
    let key = |number: usize| {
        let number = u32::try_from(number).unwrap();
        hex(&if is_high { number.to_be_bytes() } else { number.to_le_bytes() })
    };
    let order = if is_high { 4321 } else { 1234 };
    let mut dump = format!(
        "VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\ndb_pagesize={size}\nHEADER=END\n {}\n {}\n",
        key(0),
        key(headers.len())
    );
    for (index, header) in headers.iter().enumerate() {
        dump.push_str(&format!(" {}\n {}\n", key(index + 1), hex(header)));
    }
    dump.push_str("DATA=END\n");
    let path = host.path().join(PATH);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let from = host.path().join("dump");
    std::fs::write(&from, dump).unwrap();
    let status = Command::new(tool("berkeley-db")).args(["load", "-f"]).args([&from, &path]).status().unwrap();
    assert!(status.success());
    std::fs::read(path).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(database: impl AsRef<[u8]>) -> ClassSnapshot {
    Host::new().with(PATH, database).read(Class::SystemPackage)
}

/// Packages of many files and of one, and one so large that its header is on pages of its own in every form.
fn spec() -> String {
    let mut spec = "Name: tool\nVersion: 1.2\nRelease: 3\nEpoch: 2\nSummary: x\nLicense: MIT\nVendor: Example\nBuildArch: noarch\n%description\nx\n".to_owned();
    let mut files = "%files\n/usr/share/tool\n".to_owned();
    for part in 0..40 {
        spec += &format!("%package -n part-{part}\nSummary: Part {part}\n%description -n part-{part}\nx\n");
        files += &format!("%files -n part-{part}\n/usr/bin/part-{part}\n");
    }
    spec += "%install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/tool\n";
    spec += "for n in $(seq 0 39); do echo x > %{buildroot}/usr/bin/part-$n; done\n";
    spec += "for n in $(seq 1000); do echo x > %{buildroot}/usr/share/tool/a-file-of-a-long-name-$n; done\n";
    spec + &files
}

#[test]
fn it_reads_as_rpm_reads_it_in_any_page_size_and_byte_order() {
    let original = Host::new();
    install(&original, &spec());
    let expected = original.read(Class::SystemPackage);
    assert_eq!(expected.items.len(), 41);
    let sqlite = original.path().join("var/lib/rpm/rpmdb.sqlite");
    let connection = Connection::open(&sqlite).unwrap();
    let mut statement = connection.prepare("SELECT blob FROM Packages ORDER BY hnum").unwrap();
    let headers: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for size in [512, 4_096, 65_536] {
        for is_high in [false, true] {
            let host = Host::new().started().process(&Fake { pid: 1, name: b"init", ..Fake::default() });
            load(&host, (size, is_high), &headers);
            let snapshot = host.read(Class::SystemPackage);
            assert_eq!(snapshot.items, expected.items, "{size} {is_high}");
            assert_eq!((&snapshot.outcome, snapshot.skipped_count), (&Outcome::Complete, 0));
            assert_eq!(rows(&packages(&snapshot)), told(&host, Some("bdb_ro")));

            let fake = Fake { pid: 5, name: b"part-7", exe: Some("/usr/bin/part-7"), ..Fake::default() };
            let snapshot = host.process(&fake).read(Class::Process);
            assert_eq!(owner(&snapshot, 5), Some("part-7 2:1.2-3".to_owned()));
            assert_eq!(snapshot.unread_sources, [""; 0]);
        }
    }
}

#[test]
fn databases_of_real_hosts_read_as_rpm_reads_them() {
    let output = Command::new(tool("rpm-databases")).output().unwrap();
    assert!(output.status.success());
    let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let hosts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(hosts.len() >= 10, "{hosts:?}");
    for name in hosts {
        let host = Host::new().started().process(&Fake { pid: 1, name: b"init", ..Fake::default() });
        let host = host.with(PATH, std::fs::read(name.join("Packages")).unwrap());
        let snapshot = host.read(Class::SystemPackage);
        let found = packages(&snapshot);
        assert_eq!((&snapshot.outcome, &snapshot.skipped), (&Outcome::Complete, &Vec::new()));
        assert_eq!(rows(&found), told(&host, Some("bdb_ro")), "{name:?}");
        assert!(found.len() > 100, "{name:?}");

        let host = host.process(&Fake { pid: 5, name: b"bash", exe: Some("/bin/bash"), ..Fake::default() });
        let host = host.process(&Fake { pid: 6, name: b"bash", exe: Some("/usr/bin/bash"), ..Fake::default() });
        let snapshot = host.read(Class::Process);
        let owners: Vec<String> = [5, 6].into_iter().filter_map(|pid| owner(&snapshot, pid)).collect();
        let bash = found.iter().find(|package| package.name == "bash").unwrap();
        assert_eq!(owners, [format!("bash {}", bash.version)], "{name:?}");
    }
}

/// Headers in place and on pages of their own.
fn few() -> Vec<Vec<u8>> {
    let summary = "x".repeat(1_500);
    let large = |name| header(&[(1000, name), (1001, "1"), (1002, "1"), (1022, "x"), (1004, &summary)], &[]);
    let small = (0..20).map(|n| package(&format!("small-{n}"), "1", "1"));
    small.chain([large("large-1"), large("large-2"), owning("tool", "1", "tool-1")]).collect()
}

static FEW: LazyLock<[Vec<u8>; 2]> =
    LazyLock::new(|| [false, true].map(|high| load(&Host::new(), (512, high), &few())));

#[test]
fn headers_stand_in_place_and_on_pages_of_their_own_in_several_buckets() {
    let types: Vec<u8> = FEW[0].chunks(512).map(|page| page[25]).collect();
    assert!(types.iter().filter(|&&kind| kind == 13).count() > 4, "{types:?}");
    assert!(types.iter().filter(|&&kind| kind == 7).count() > 6, "{types:?}");
    let expected: BTreeSet<String> = (0..20).map(|n| format!("small-{n}=1-1")).collect();
    for database in &*FEW {
        let snapshot = read(database);
        let mut found: BTreeSet<String> = names(&snapshot).into_iter().collect();
        assert!(["large-1=1-1", "large-2=1-1", "tool=1-1"].iter().all(|name| found.remove(*name)));
        assert_eq!((found, snapshot.skipped_count), (expected.clone(), 0));
    }
}

/// The first page of a kind that fits.
fn page(database: &[u8], kind: u8, fits: impl Fn(&[u8]) -> bool) -> usize {
    database.chunks(512).position(|page| page[25] == kind && fits(page)).unwrap()
}

fn put(database: &mut [u8], page: usize, at: usize, bytes: &[u8]) {
    database[page * 512 + at..][..bytes.len()].copy_from_slice(bytes);
}

#[test]
fn a_damaged_header_costs_only_itself() {
    // The first of an overflow chain, which goes on.
    let first = page(&FEW[0], 7, |page| page[12..16] == [0; 4] && page[16..20] != [0; 4]);
    let number = u32::try_from(first).unwrap().to_le_bytes();
    let item = |page: &[u8]| page.windows(8).position(|item| item[0] == 3 && item[4..] == number);
    let bucket = page(&FEW[0], 13, |page| item(page).is_some());
    let item = item(&FEW[0][bucket * 512..][..512]).unwrap();
    let damages: [(usize, usize, &[u8]); 9] = [
        (first, 16, &number),                 // A loop.
        (first, 16, &u32::MAX.to_le_bytes()), // A page that is not there.
        (first, 22, &u16::MAX.to_le_bytes()), // More than a page holds.
        (first, 8, &[9; 4]),                  // Another page's number.
        (first, 25, &[13]),                   // Another kind.
        (bucket, item + 4, &u32::MAX.to_le_bytes()),
        (bucket, item + 8, &u32::MAX.to_le_bytes()), // As long as can be told.
        (bucket, item + 8, &(30_u32 << 20).to_le_bytes()),
        (bucket, item, &[2]), // A kind that rpm has no use for.
    ];
    for (page, at, bytes) in damages {
        let mut database = FEW[0].clone();
        put(&mut database, page, at, bytes);
        let snapshot = read(&database);
        assert_eq!(snapshot.outcome, Outcome::Complete, "{page} {at}");
        assert_eq!((snapshot.items.len(), snapshot.skipped_count), (22, 1), "{page} {at}");
        let host = running(Host::new()).with(PATH, &database);
        assert_eq!(host.read(Class::Process).unread_sources, ["/var/lib/rpm/Packages: 1 headers"]);
    }
}

#[test]
fn a_damaged_database_is_not_read_and_told() {
    let bucket = page(&FEW[0], 13, |page| page[20] > 2);
    let zeros = [0; 512];
    let number = u32::try_from(bucket).unwrap().to_le_bytes();
    let damages: [(usize, usize, &[u8], &str); 10] = [
        (0, 12, &[0], "not a database"),
        (0, 16, &[7], "not a database"),       // An older version.
        (0, 20, &[0xff, 1], "not a database"), // Pages of 511 bytes.
        (0, 24, &[1], "not a database"),       // Encrypted.
        (0, 25, &[9], "not a database"),       // A tree.
        (0, 32, &[0xff; 4], "not a database"), // More pages than any host's has.
        (0, 32, &[0xff, 0xff, 0], "cut off"),
        (0, 72, &[0xff; 4], "page "),   // More buckets than pages.
        (bucket, 16, &number, "page "), // A loop.
        (bucket, 0, &zeros, "page "),   // Never written.
    ];
    for (page, at, bytes, expected) in damages {
        let mut database = FEW[0].clone();
        put(&mut database, page, at, bytes);
        let outcome = read(&database).outcome;
        let is_told = |reason: &str| reason.starts_with("/var/lib/rpm/Packages: ") && reason.contains(expected);
        assert!(matches!(&outcome, Outcome::Unreadable { reason } if is_told(reason)), "{page} {at} {outcome:?}");
        let unread = running(Host::new()).with(PATH, &database).read(Class::Process).unread_sources;
        assert!(unread.len() == 1 && is_told(&unread[0]), "{unread:?}");
    }
    for length in [0, 1, 511, 512, FEW[0].len() / 2, FEW[0].len() - 1] {
        assert!(matches!(read(&FEW[0][..length]).outcome, Outcome::Unreadable { .. }), "{length}");
    }
}

#[test]
fn of_several_databases_the_newest_form_is_read() {
    let host = Host::new();
    load(&host, (512, false), &few());
    assert_eq!(names(&host.read(Class::SystemPackage)).len(), 23);
    // That of SUSE stands before it, and that of SQLite before both.
    let host = host.with("var/lib/rpm/Packages.db", "x");
    assert!(
        matches!(host.read(Class::SystemPackage).outcome, Outcome::Unreadable { reason } if reason.contains(".db"))
    );
    crate::rpm::database(&host, "var/lib/rpm/rpmdb.sqlite", &[&package("new", "2", "1")]);
    assert_eq!(names(&host.read(Class::SystemPackage)), ["new=2-1"]);
}

/// Bytes that change, mostly where pages have their heads and offsets.
fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let page = 0..FEW[0].len() / 512;
    let at = prop_oneof![3 => 8_usize..40, 1 => 72_usize..128, 2 => 0_usize..512];
    let value = prop_oneof![Just(0), Just(1), Just(0xff), 0_u8..40, any::<u8>()];
    prop::collection::vec((page, at, value).prop_map(|(page, at, value)| (page * 512 + at, value)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_bytes_make_the_reader_fail(high: bool, changes in changes(), cut in prop::option::weighted(0.1, 0_usize..20_000)) {
        let mut database = FEW[usize::from(high)].clone();
        for (at, value) in changes {
            database[at] = value;
        }
        database.truncate(cut.unwrap_or(usize::MAX));
        let host = running(Host::new()).with(PATH, &database);
        let snapshot = host.read(Class::SystemPackage);
        // No page is read twice: however the pages name each other, there cannot be more than they hold.
        prop_assert!(snapshot.items.len() + snapshot.skipped_count <= database.len() / 4);
        host.read(Class::Process);
    }
}
