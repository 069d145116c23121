use std::collections::BTreeSet;
use std::process::Command;

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, PackageKind, SystemPackage};
use rusqlite::Connection;

use crate::proc_tree::Fake;
use crate::{Host, command, items, tool};

/// The tags of a file's name and of its folder, which are lists of strings.
const FILES: [u32; 2] = [1117, 1118];

/// A header as the database keeps it: strings by their tag, numbers by theirs.
pub(crate) fn header(texts: &[(u32, &str)], numbers: &[(u32, u32)]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, at: usize| {
        for number in [tag, kind, u32::try_from(at).unwrap(), 1] {
            index.extend_from_slice(&number.to_be_bytes());
        }
    };
    for (tag, number) in numbers {
        entry(*tag, 4, store.len());
        store.extend_from_slice(&number.to_be_bytes());
    }
    for (tag, text) in texts {
        entry(*tag, if FILES.contains(tag) { 8 } else { 6 }, store.len());
        store.extend_from_slice(text.as_bytes());
        store.push(0);
    }
    let entries = u32::try_from(texts.len() + numbers.len()).unwrap();
    let length = u32::try_from(store.len()).unwrap();
    [&entries.to_be_bytes()[..], &length.to_be_bytes(), &index, &store].concat()
}

pub(crate) fn package(name: &str, version: &str, release: &str) -> Vec<u8> {
    header(&[(1000, name), (1001, version), (1002, release), (1022, "x86_64")], &[])
}

/// A package with one file in `/usr/bin`.
pub(crate) fn owning(name: &str, version: &str, file: &str) -> Vec<u8> {
    let texts =
        [(1000, name), (1001, version), (1002, "1"), (1022, "x86_64"), (FILES[0], file), (FILES[1], "/usr/bin/")];
    header(&texts, &[(1116, 0)])
}

/// A database in the form of SQLite below `path`.
pub(crate) fn database(host: &Host, path: &str, headers: &[&[u8]]) {
    let path = host.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Connection::open(path).unwrap();
    database
        .execute_batch("PRAGMA synchronous = OFF; CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        .unwrap();
    for header in headers {
        database.execute("INSERT INTO Packages (blob) VALUES (?1)", [header]).unwrap();
    }
}

pub(crate) fn packages(snapshot: &ClassSnapshot) -> Vec<SystemPackage> {
    let package = |item: &Item| match item {
        Item::SystemPackage(package) => Some(package.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(package).collect()
}

pub(crate) fn names(snapshot: &ClassSnapshot) -> Vec<String> {
    packages(snapshot).into_iter().map(|package| format!("{}={}", package.name, package.version)).collect()
}

/// Runs one of rpm's tools on a host's database.
pub(crate) fn rpm(host: &Host, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tool("rpm"));
    command.current_dir(host.path()).args([program, "--dbpath"]).arg(host.path().join("var/lib/rpm")).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds the packages of a description and installs them: into the database alone, in the form of SQLite.
pub(crate) fn install(host: &Host, spec: &str) {
    std::fs::create_dir_all(host.path().join("var/lib/rpm")).unwrap();
    std::fs::write(host.path().join("tool.spec"), spec).unwrap();
    let build = host.path().join("build");
    // Neither the scripts that clean a built tree nor the best compression: nothing here needs them.
    let defines = [
        format!("_topdir {}", build.display()),
        "__spec_install_post %{nil}".to_owned(),
        "_binary_payload w0.gzdio".to_owned(),
    ];
    let mut arguments = vec!["-bb", "tool.spec"];
    arguments.extend(defines.iter().flat_map(|define| ["--define", define]));
    rpm(host, "rpmbuild", &arguments);
    rpm(host, "rpmdb", &["--initdb"]);
    let packages = std::fs::read_dir(build.join("RPMS/noarch")).unwrap();
    let packages: Vec<String> = packages.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    let mut arguments = vec!["-i", "--justdb", "--nodeps"];
    arguments.extend(packages.iter().map(String::as_str));
    rpm(host, "rpm", &arguments);
}

/// What rpm tells of the packages in a database, by the backend named or its own choice.
pub(crate) fn told(host: &Host, backend: Option<&str>) -> BTreeSet<String> {
    let format = "%{NAME} %{ARCH} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{INSTALLTIME} %|PACKAGER?{%{PACKAGER}}:{%{VENDOR}}| %{SUMMARY}\n";
    let define = backend.map(|backend| format!("_db_backend {backend}"));
    let mut arguments = vec!["-qa", "--qf", format];
    arguments.extend(define.iter().flat_map(|define| ["--define", define]));
    let told = rpm(host, "rpm", &arguments);
    told.lines().filter(|line| !line.starts_with("gpg-pubkey ")).map(str::to_owned).collect()
}

/// What was read, as rpm tells it.
pub(crate) fn rows(packages: &[SystemPackage]) -> BTreeSet<String> {
    let row = |p: &SystemPackage| {
        let epoch = if p.version.contains(':') { "" } else { "0:" };
        let time = p.install_time.unwrap().timestamp();
        let texts = [&p.maintainer, &p.description].map(|text| text.clone().unwrap_or("(none)".to_owned())).join(" ");
        format!("{} {} {epoch}{} {time} {texts}", p.name, p.architecture, p.version)
    };
    packages.iter().map(row).collect()
}

const SPEC: &str = "Name: tool\nVersion: 1.2\nRelease: 3\nEpoch: 2\nSummary: x\nLicense: MIT\nVendor: Example\nBuildArch: noarch\n%description\nx\n%package -n libtool-x\nSummary: y\n%description -n libtool-x\ny\n%install\nmkdir -p %{buildroot}/bin\necho x > %{buildroot}/bin/tool\n%files\n%files -n libtool-x\n/bin/tool\n";

#[test]
fn a_database_that_rpm_itself_wrote_reads_as_rpm_reads_it() {
    let host = Host::new().with("etc/os-release", "ID=fedora\nVERSION_ID=40\n");
    install(&host, SPEC);
    let found = packages(&host.read(Class::SystemPackage));
    assert_eq!(rows(&found), told(&host, None));
    assert_eq!(found.len(), 2);
    let library = &found[0];
    assert_eq!(
        (library.kind, library.source.as_str(), library.source_version.as_str()),
        (PackageKind::Rpm, "tool", "2:1.2-3")
    );
    assert_eq!(library.purl, "pkg:rpm/fedora/libtool-x@1.2-3?arch=noarch&distro=fedora-40&epoch=2");

    // A program that runs belongs to the package that holds its file, by whichever path the list names it.
    std::os::unix::fs::symlink("usr/bin", host.path().join("bin")).unwrap();
    let host = host.started().process(&Fake { pid: 1, name: b"init", ..Fake::default() });
    let host = host.process(&Fake { pid: 5, name: b"tool", exe: Some("/usr/bin/tool"), ..Fake::default() });
    let host = host.process(&Fake { pid: 6, name: b"other", exe: Some("/usr/bin/other"), ..Fake::default() });
    let snapshot = host.read(Class::Process);
    assert_eq!(owner(&snapshot, 5), Some("libtool-x 2:1.2-3".to_owned()));
    assert_eq!(owner(&snapshot, 6), None);
}

/// The package of a process, with its version.
pub(crate) fn owner(snapshot: &ClassSnapshot, pid: u32) -> Option<String> {
    let process = snapshot.items.iter().find_map(|item| match item {
        Item::Process(process) if process.pid == pid => Some(process),
        _ => None,
    });
    let process = process.unwrap();
    Some(format!("{} {}", process.package_name.as_ref()?, process.package_version.as_deref().unwrap_or("?")))
}

/// Two programs that run.
pub(crate) fn running(host: Host) -> Host {
    let fake = |pid: u32, exe| Fake { pid, name: b"tool", args: &[b"tool"], exe: Some(exe), ..Fake::default() };
    let host = host.started().with("proc/net/tcp", "header\n").with("proc/net/udp", "header\n");
    host.process(&fake(1, "/usr/bin/tool-1")).process(&fake(2, "/usr/bin/tool-2"))
}

#[test]
fn each_of_two_installed_versions_owns_its_files() {
    let host = running(Host::new());
    let headers = [owning("tool", "1", "tool-1"), owning("tool", "2", "tool-2")];
    database(&host, "var/lib/rpm/rpmdb.sqlite", &[&headers[0], &headers[1]]);
    let snapshot = host.read(Class::Process);
    let owners = [1, 2].map(|pid| owner(&snapshot, pid).unwrap());
    assert_eq!(owners, ["tool 1-1", "tool 2-1"]);
    assert_eq!(snapshot.unread_sources, [""; 0]);
}

#[test]
fn software_is_what_its_package_says() {
    let texts = [
        (1000, "redis"),
        (1001, "7.2"),
        (1002, "1"),
        (1004, "A persistent key-value database"),
        (FILES[0], "redis-server"),
        (FILES[1], "/usr/bin/"),
    ];
    let redis = Fake { pid: 1, args: &[b"redis-server"], exe: Some("/usr/bin/redis-server"), ..Fake::default() };
    let host = Host::new().started().process(&redis);
    database(&host, "var/lib/rpm/rpmdb.sqlite", &[&header(&texts, &[(1116, 0)])]);
    let items = host.read(Class::SoftwareApplication).items;
    let [Item::SoftwareApplication(application)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(
        (application.version.as_deref(), application.description.as_deref()),
        (Some("7.2"), Some("A persistent key-value database"))
    );
}

#[test]
fn a_database_that_cannot_be_read_owns_nothing_and_is_told() {
    let classes = [Class::Process, Class::ListeningPort, Class::SoftwareApplication];
    let berkeley = running(Host::new()).with("var/lib/rpm/Packages", "x").with("usr/sbin/nginx", "x");
    let torn = running(Host::new()).with("usr/sbin/nginx", "x");
    for host in [&berkeley, &torn] {
        let nginx = host.path().join("usr/sbin/nginx");
        std::fs::set_permissions(nginx, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let headers: Vec<Vec<u8>> = (0..500).map(|n| owning("tool", &n.to_string(), &format!("tool-{n}"))).collect();
    database(&torn, "var/lib/rpm/rpmdb.sqlite", &headers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(owner(&torn.read(Class::Process), 1), Some("tool 1-1".to_owned()));
    let path = torn.path().join("var/lib/rpm/rpmdb.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len() - 8 * 4096;
    bytes[end..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    for (host, reason) in [(&berkeley, "/var/lib/rpm/Packages: "), (&torn, "/var/lib/rpm/rpmdb.sqlite: ")] {
        for class in classes {
            let unread = host.read(class).unread_sources;
            assert!(unread.len() == 1 && unread[0].starts_with(reason), "{class:?}: {unread:?}");
        }
        assert_eq!(owner(&host.read(Class::Process), 1), None);
    }
}

#[test]
fn headers_that_are_malformed_cost_only_themselves_and_keys_are_no_packages() {
    let host = Host::new();
    let kernel = [package("kernel", "6.1", "1"), package("kernel", "6.2", "1")];
    let torn = &kernel[0][..30];
    let nameless = header(&[(1001, "1")], &[]);
    let key = package("gpg-pubkey", "abcd", "1");
    let bytes: Vec<&[u8]> = vec![&kernel[0], &kernel[1], torn, b"", &nameless, &key, &kernel[0]];
    database(&host, "usr/lib/sysimage/rpm/rpmdb.sqlite", &bytes);
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!(names(&snapshot), ["kernel=6.1-1", "kernel=6.2-1"]);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 4));
}

#[test]
fn a_database_that_cannot_be_read_is_never_an_empty_one() {
    let outcome = |host: &Host| host.read(Class::SystemPackage).outcome;
    let garbage = Host::new().with("var/lib/rpm/rpmdb.sqlite", [7_u8; 9_000]);
    assert!(matches!(outcome(&garbage), Outcome::Unreadable { .. }));
    let empty = Host::new();
    database(&empty, "var/lib/rpm/rpmdb.sqlite", &[]);
    assert!(matches!(outcome(&empty), Outcome::Unreadable { .. }));
    let berkeley = Host::new().with("var/lib/rpm/Packages", "x");
    assert!(
        matches!(outcome(&berkeley), Outcome::Unreadable { reason } if reason.starts_with("/var/lib/rpm/Packages: "))
    );
    // A view of the table's name would make the reader compute.
    let view = Host::new().with("var/lib/rpm/x", "");
    let connection = Connection::open(view.path().join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    connection.execute_batch("CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, x'00' AS blob FROM n").unwrap();
    assert!(matches!(outcome(&view), Outcome::Unreadable { .. }));
}

#[test]
fn what_lies_in_the_journal_counts_and_nothing_is_written() {
    let host = Host::new();
    database(&host, "var/lib/rpm/rpmdb.sqlite", &[&package("old", "1", "1")]);
    let folder = host.path().join("var/lib/rpm");
    let writer = Connection::open(folder.join("rpmdb.sqlite")).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.execute("INSERT INTO Packages (blob) VALUES (?1)", [package("new", "2", "1")]).unwrap();
    let listing = || {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        let file = |entry: std::fs::DirEntry| {
            let content = std::fs::read(entry.path()).unwrap();
            (entry.file_name(), content)
        };
        entries.map(file).collect::<BTreeSet<_>>()
    };
    let before = listing();
    // By a process of its own: connections of one process share the journal's index.
    let lines = command(None, &["collect", "--json", "--root", host.path().to_str().unwrap()]);
    let found: Vec<String> = items(&lines, "system_package").iter().map(|item| item["name"].to_string()).collect();
    assert_eq!(found, ["\"new\"", "\"old\""]);
    assert!(before == listing());
    drop(writer);
    assert_eq!(names(&host.read(Class::SystemPackage)), ["new=2-1", "old=1-1"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn the_form_of_suse_is_read_and_its_lies_cost_only_themselves() {
    let mut file = vec![0_u8; 4096];
    let put = |file: &mut Vec<u8>, at: usize, words: [&[u8]; 4]| {
        for (index, word) in words.iter().enumerate() {
            file[at + index * 4..at + index * 4 + 4].copy_from_slice(word);
        }
    };
    put(&mut file, 0, [b"RpmP", &[0; 4], &7_u32.to_le_bytes(), &1_u32.to_le_bytes()]);
    let header = package("zypper", "1.14", "2");
    let blocks = u32::try_from(file.len() / 16).unwrap();
    put(&mut file, 32, [b"Slot", &1_u32.to_le_bytes(), &blocks.to_le_bytes(), &9_u32.to_le_bytes()]);
    put(&mut file, 48, [b"Slot", &2_u32.to_le_bytes(), &u32::MAX.to_le_bytes(), &1_u32.to_le_bytes()]);
    put(&mut file, 64, [b"Slot", &[0; 4], &[0; 4], &[0; 4]]);
    let at = file.len();
    file.resize(at + 16, 0);
    put(
        &mut file,
        at,
        [b"BlbS", &1_u32.to_le_bytes(), &7_u32.to_le_bytes(), &u32::try_from(header.len()).unwrap().to_le_bytes()],
    );
    file.extend_from_slice(&header);
    let snapshot = Host::new().with("usr/lib/sysimage/rpm/Packages.db", &file).read(Class::SystemPackage);
    assert_eq!((names(&snapshot), snapshot.skipped_count), (vec!["zypper=1.14-2".to_owned()], 1));
    // A length that is not there is no reason to allocate it.
    file[at + 12..at + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    let host = Host::new().with("var/lib/rpm/Packages.db", &file);
    assert!(matches!(host.read(Class::SystemPackage).outcome, Outcome::Unreadable { .. }));
}

#[test]
fn a_host_with_both_managers_has_the_packages_of_both() {
    let status = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
    let host = Host::new().with("var/lib/dpkg/status", status);
    database(&host, "var/lib/rpm/rpmdb.sqlite", &[&package("b", "1", "1")]);
    assert_eq!(names(&host.read(Class::SystemPackage)), ["a=1", "b=1-1"]);
    let host = Host::new().with("var/lib/dpkg/status", status).with("var/lib/rpm/Packages", "x");
    assert!(matches!(host.read(Class::SystemPackage).outcome, Outcome::Unreadable { .. }));
}
