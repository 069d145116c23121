//! Distributions of Python, against what Python itself says of the same folders.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use cwpp_collector::class::{Class, ClassSnapshot, Item, Outcome, PackageKind, SystemPackage};

use crate::proc_tree::Fake;
use crate::{Host, read_here};

const STATUS: &str = "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
const SITE: &str = "usr/local/lib/python3.11/site-packages";

fn distributions(snapshot: &ClassSnapshot) -> Vec<SystemPackage> {
    let one = |item: &Item| match item {
        Item::SystemPackage(package) if package.kind == PackageKind::Pypi => Some(package.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(one).collect()
}

/// Name, version and folder of each.
fn shown(snapshot: &ClassSnapshot) -> Vec<String> {
    distributions(snapshot).into_iter().map(|p| format!("{} {} {}", p.name, p.version, p.path.unwrap())).collect()
}

/// Names and versions of the distributions in a folder, as Python reads them; none where there is no Python.
fn told(folder: &Path) -> Option<BTreeSet<String>> {
    let script = "import sys,re,importlib.metadata as m\nfor d in m.distributions(path=[sys.argv[1]]):\n  n=d.metadata['Name']\n  if n and d.version: print(re.sub(r'[-_.]+','-',n).lower(), d.version)";
    let output = Command::new("python3").args(["-c", script]).arg(folder).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn host() -> Host {
    Host::new().with("var/lib/dpkg/status", STATUS)
}

fn metadata(name: &str, version: &str) -> String {
    format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: What {name} is\nAuthor: x\n\nName: forged\n"
    )
}

#[test]
fn this_hosts_distributions_are_those_that_python_finds_in_the_same_folders() {
    // Where there is Python, so is at least one folder: that of an environment that is in use.
    let made = tempfile::tempdir().unwrap();
    let (home, site) = (made.path().canonicalize().unwrap(), "import sysconfig; print(sysconfig.get_path('purelib'))");
    let Ok(output) = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&home).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let python = home.join("bin/python");
    let site = String::from_utf8(Command::new(&python).args(["-c", site]).output().unwrap().stdout).unwrap();
    let metadata = Path::new(site.trim()).join("mine-1.dist-info/METADATA");
    fs::create_dir(metadata.parent().unwrap()).unwrap();
    fs::write(metadata, self::metadata("mine", "1")).unwrap();
    let waits = "import sys; print('up', flush=True); sys.stdin.read()";
    let mut runs = Command::new(&python);
    let mut runs = runs.args(["-c", waits]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(runs.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    let found = distributions(&read_here(Class::SystemPackage));
    drop(runs.stdin.take());
    runs.wait().unwrap();
    let folders: BTreeSet<&str> = found.iter().map(|one| one.path.as_deref().unwrap()).collect();
    assert!(folders.contains(site.trim()), "{site} is not among {folders:?}");
    for folder in &folders {
        let expected = told(Path::new(folder)).unwrap();
        let of_folder = found.iter().filter(|one| one.path.as_deref() == Some(folder));
        let of_folder: BTreeSet<String> = of_folder.map(|one| format!("{} {}", one.name, one.version)).collect();
        // Below it are those that the package manager owns.
        if folder.starts_with("/usr/lib/") {
            assert!(of_folder.is_subset(&expected), "{folder}");
        } else {
            assert_eq!(of_folder, expected, "{folder}");
        }
    }
    // Python's own folder is among them, if something is in it that no package owns.
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let Ok(output) = Command::new("python3").args(["-c", script]).output() else { return };
    let own = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if !own.starts_with("/usr/lib") && told(Path::new(&own)).is_some_and(|all| !all.is_empty()) {
        let own = fs::canonicalize(own).unwrap();
        assert!(folders.iter().any(|folder| fs::canonicalize(folder).unwrap() == own), "{own:?}");
    }
}

#[test]
fn every_form_of_metadata_is_read_as_python_reads_it() {
    let host = host()
        .with(format!("{SITE}/Zope.Interface-5.0.dist-info/METADATA").as_str(), metadata("Zope.Interface", "5.0"))
        .with(format!("{SITE}/torch-2.1+cpu.dist-info/METADATA").as_str(), metadata("torch", "2.1+cpu"))
        .with(format!("{SITE}/old.egg-info/PKG-INFO").as_str(), metadata("Old_Tool", "1!0.1rc1"))
        .with(
            format!("{SITE}/older-0.1-py3.11.egg-info").as_str(),
            "Name: older\r\nVersion: 0.1\r\nSummary: UNKNOWN\r\n",
        )
        .with(format!("{SITE}/old_tool.py").as_str(), "")
        .with(format!("{SITE}/~old-1.dist-info/METADATA").as_str(), metadata("old", "1"));
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 0), "{:?}", snapshot.skipped);
    let found = distributions(&snapshot);
    let names: BTreeSet<String> = found.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    let expected = ["old-tool 1!0.1rc1", "older 0.1", "torch 2.1+cpu", "zope-interface 5.0"];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    if let Some(mut told) = told(&host.path().join(SITE)) {
        // What pip is about to remove Python finds all the same, and pip does not.
        told.remove("old 1");
        assert_eq!(names, told);
    }
    let zope = &found[3];
    assert_eq!(zope.purl, "pkg:pypi/zope-interface@5.0");
    assert_eq!((zope.description.as_deref(), zope.source.as_str()), (Some("What Zope.Interface is"), "zope-interface"));
    assert!(zope.install_time.is_some() && found[1].description.is_none() && zope.architecture.is_empty());
}

#[test]
fn distributions_are_looked_for_where_they_are_put_and_what_a_package_owns_is_left_out() {
    let home = "home/ann";
    let mut host = host()
        .with("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nnobody:x:9:9::/:/bin/sh\n")
        .with("var/lib/dpkg/info/python3-owned.list", "/usr/lib/python3/dist-packages/owned-1.dist-info/METADATA\n/usr/lib/python3/dist-packages/older.egg-info\n")
        .with("srv/app/venv/pyvenv.cfg", "include-system-site-packages = false\n")
        .with("srv/idle/venv/pyvenv.cfg", "")
        .with("srv/site/.venv/pyvenv.cfg", "")
        .with("proc/9/root/srv/inside/pyvenv.cfg", "");
    for (folder, name) in [
        ("usr/lib/python3/dist-packages", "owned"),
        ("usr/lib/python3/dist-packages", "sudo-pip"),
        ("usr/lib64/python3.9/site-packages", "wide"),
        ("usr/local/lib/python3.11/dist-packages", "local"),
        ("opt/tool/lib/python3.8/site-packages", "tool"),
        ("opt/vendor/agent/lib/python3.8/site-packages", "agent"),
        ("opt/a/b/c/lib/python3.8/site-packages", "deep"),
        (&format!("{home}/.local/lib/python3.11/site-packages"), "user"),
        (&format!("{home}/.local/share/pipx/venvs/black/lib/python3.11/site-packages"), "black"),
        (&format!("{home}/.pyenv/versions/3.12.1/lib/python3.12/site-packages"), "pyenv"),
        ("root/.local/lib/python2.7/site-packages", "ancient"),
        ("srv/app/venv/lib/python3.11/site-packages", "called"),
        ("srv/site/.venv/lib/python3.11/site-packages", "working"),
        ("srv/idle/venv/lib/python3.11/site-packages", "idle"),
        ("proc/9/root/srv/inside/lib/python3.11/site-packages", "inside"),
    ] {
        host = host.with(format!("{folder}/{name}-1.dist-info/METADATA").as_str(), metadata(name, "1"));
    }
    host = host.with("usr/lib/python3/dist-packages/older.egg-info", metadata("older", "1"));
    // One folder by two names is one.
    symlink("lib", host.path().join("srv/app/venv/lib64")).unwrap();
    let python = Some("/usr/bin/python3.11");
    let called = |pid, args| Fake { pid, name: b"python", args, exe: python, ..Fake::default() };
    let host = host
        .started()
        .process(&Fake { pid: 1, name: b"init", args: &[b"init"], exe: Some("/sbin/init"), ..Fake::default() })
        .process(&called(5, &[b"/srv/app/venv/bin/python", b"app.py"]))
        .process(&called(6, &[b"/usr/bin/python3.11", b"/srv/app/venv/bin/gunicorn"]))
        .process(&called(7, &[b"python3", b"-m", b"site"]))
        .process(&called(9, &[b"/srv/inside/bin/python"]));
    symlink("/srv/site", host.path().join("proc/7/cwd")).unwrap();
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!((snapshot.skipped_count, snapshot.unread_sources.as_slice()), (0, &[][..]));
    let found: BTreeSet<String> = distributions(&snapshot).into_iter().map(|one| one.name).collect();
    let expected =
        ["agent", "ancient", "black", "called", "local", "pyenv", "sudo-pip", "tool", "user", "wide", "working"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn one_name_and_version_in_two_folders_are_two() {
    let again = "opt/tool/lib/python3.11/site-packages";
    let host = host()
        .with(format!("{SITE}/a-1.dist-info/METADATA").as_str(), metadata("a", "1"))
        .with(format!("{SITE}/A-1.egg-info/PKG-INFO").as_str(), metadata("A", "1"))
        .with(format!("{again}/a-1.dist-info/METADATA").as_str(), metadata("a", "1"));
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!(shown(&snapshot), [format!("a 1 /{again}"), format!("a 1 /{SITE}")]);
    assert_eq!(snapshot.skipped[0].reason, "the distribution stands there before");
}

#[test]
fn hostile_metadata_is_counted_and_costs_only_itself() {
    let long = "x".repeat(1 << 20);
    let mut host = host()
        .with(format!("{SITE}/good-1.dist-info/METADATA").as_str(), b"Name: good\nVersion: 1\xff\nSummary: \xfe\0\n");
    let bad: [Vec<u8>; 9] = [
        b"Version: 1\n".to_vec(),
        b"Name: \nVersion: 1\n".to_vec(),
        b"Name: a\n".to_vec(),
        b"\nName: a\nVersion: 1\n".to_vec(),
        b"Name: \xff\xfe\nVersion: 1\n".to_vec(),
        b"Name: ../../etc\nVersion: 1\n".to_vec(),
        format!("Name: {long}\nVersion: 1\n").into_bytes(),
        format!("{long}: x\nName: a\nVersion: 1\n").into_bytes(),
        (0..=255_u8).cycle().take(100_000).collect(),
    ];
    for (n, bytes) in bad.iter().enumerate() {
        host = host.with(format!("{SITE}/bad-{n}.dist-info/METADATA").as_str(), bytes);
    }
    fs::create_dir(host.path().join(SITE).join("empty-1.dist-info")).unwrap();
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, bad.len() + 1));
    let [good] = distributions(&snapshot).try_into().unwrap();
    assert_eq!(
        (good.version.as_str(), good.description.as_deref(), good.escaped),
        ("1\\xff", Some("\\xfe\\x00"), true)
    );
}

#[test]
fn a_folder_that_cannot_be_read_makes_the_class_read_in_part() {
    let host = host()
        .with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n")
        .with(format!("{SITE}/a-1.dist-info/METADATA").as_str(), metadata("a", "1"))
        .with(format!("{SITE}/b-1.dist-info/METADATA/folder").as_str(), "")
        .with("home/ann/.local/x", "");
    symlink("lib", host.path().join("home/ann/.local/lib")).unwrap();
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!((snapshot.outcome.clone(), distributions(&snapshot).len()), (Outcome::Complete, 1));
    let unread = ["/home/ann/.local/lib".to_owned(), format!("/{SITE}/b-1.dist-info/METADATA")];
    assert_eq!(snapshot.unread_sources, unread);
}

#[test]
fn a_host_of_another_package_manager_has_its_distributions_and_says_that_the_rest_is_not_read() {
    let host = Host::new().with(format!("{SITE}/a-1.dist-info/METADATA").as_str(), metadata("a", "1"));
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!((snapshot.outcome.clone(), shown(&snapshot).len()), (Outcome::Complete, 1));
    assert_eq!(snapshot.unread_sources, ["/var/lib/dpkg/status does not exist"]);
    // A database that is there and cannot be read is another matter.
    let host = host.with("var/lib/dpkg/status", "");
    assert!(matches!(host.read(Class::SystemPackage).outcome, Outcome::Unreadable { .. }));
}

#[test]
fn folders_of_very_many_names_are_read_up_to_a_bound() {
    let lib = "home/ann/.local/lib";
    let mut host = host().with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
    for n in 100..160 {
        let folder = format!("{lib}/python{n}/site-packages/a-1.dist-info/METADATA");
        host = host.with(&folder, metadata("a", "1"));
    }
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!(distributions(&snapshot).len(), 50);
    assert_eq!(snapshot.unread_sources, [format!("/{lib} (too many files)")]);
    // Names of any kind count: they are not even kept.
    let host = Host::large().with("var/lib/dpkg/status", STATUS).with(&format!("{SITE}/a"), "");
    (0..20_001).for_each(|n| _ = fs::File::create(host.path().join(SITE).join(n.to_string())).unwrap());
    let snapshot = host.read(Class::SystemPackage);
    assert_eq!(snapshot.unread_sources, [format!("/{SITE} (too many files)")]);
}

#[test]
fn what_another_package_manager_may_own_is_not_claimed_for_pypi() {
    let system = "usr/lib/python3.12/site-packages";
    let filled = |host: Host| {
        let host = host.with(&format!("{system}/theirs-1.dist-info/METADATA"), metadata("theirs", "1"));
        host.with(&format!("{SITE}/mine-1.dist-info/METADATA"), metadata("mine", "1"))
    };
    let told = |host: Host| {
        let snapshot = filled(host).read(Class::SystemPackage);
        let is_told = snapshot.unread_sources.iter().any(|source| source.starts_with(&format!("/{system} (perhaps")));
        (shown(&snapshot), is_told)
    };
    let both = (vec![format!("mine 1 /{SITE}"), format!("theirs 1 /{system}")], false);
    let mine = (vec![format!("mine 1 /{SITE}")], true);
    assert_eq!(told(host().with("var/lib/dpkg/info/base.list", "/.\n")), both);
    // No manager whose lists are known, another one's database, no lists, lists that cannot be read.
    assert_eq!(told(Host::new()), mine);
    assert_eq!(told(Host::new().with("lib/apk/db/installed", "P:a\n")), mine);
    let beside = host().with("var/lib/dpkg/info/base.list", "/.\n");
    assert_eq!(told(beside.with("var/lib/pacman/local/python-1/desc", "")), mine);
    assert_eq!(told(host()), mine);
    assert_eq!(told(host().with("var/lib/dpkg/info/base.list/folder", "")), mine);
}
