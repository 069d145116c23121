use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cwpp_collector::class::{Class, ClassSnapshot, Item, JarKind, JarPackage, JarProcess, Outcome};

use crate::archive::archive;
use crate::proc_tree::Fake;
use crate::{Host, is_root, read_here, tool};

fn pom(group: &str, artifact: &str, version: &str) -> String {
    format!("#Generated\ngroupId={group}\nartifactId={artifact}\nversion={version}\n")
}

fn jars(snapshot: &ClassSnapshot) -> Vec<JarPackage> {
    let jar = |item: &Item| match item {
        Item::JarPackage(jar) => Some(JarPackage::clone(jar)),
        _ => None,
    };
    snapshot.items.iter().filter_map(jar).collect()
}

fn rows(snapshot: &ClassSnapshot) -> Vec<(String, String, String, String)> {
    jars(snapshot).into_iter().map(|jar| (jar.path, jar.inner_path, jar.name, jar.version)).collect()
}

fn row(path: &str, inner: &str, name: &str, version: &str) -> (String, String, String, String) {
    (path.into(), inner.into(), name.into(), version.into())
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn an_archive_of_the_zip_tool_with_archives_inside_is_found_with_its_hash() {
    let made = tempfile::tempdir().unwrap();
    let zip = |arguments: &[&str]| {
        let output = Command::new(tool("zip")).args(arguments).current_dir(made.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let write = |path: &str, content: &str| {
        let path = made.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("META-INF/maven/org.x/lib/pom.properties", &pom("org.x", "lib", "1.4"));
    zip(&["-q", "-r", "lib-1.4.jar", "META-INF"]);
    let lib = sha256(&made.path().join("lib-1.4.jar"));
    fs::remove_dir_all(made.path().join("META-INF")).unwrap();
    write(
        "META-INF/MANIFEST.MF",
        "Manifest-Version: 1.0\r\nMain-Class: org.Loader\r\nImplementation-Version: 2.0\r\n\r\n",
    );
    fs::create_dir_all(made.path().join("BOOT-INF/lib")).unwrap();
    fs::rename(made.path().join("lib-1.4.jar"), made.path().join("BOOT-INF/lib/lib-1.4.jar")).unwrap();
    zip(&["-q", "-0", "-r", "app.jar", "META-INF", "BOOT-INF"]);
    fs::create_dir_all(made.path().join("WEB-INF/lib")).unwrap();
    fs::copy(made.path().join("app.jar"), made.path().join("WEB-INF/lib/app.jar")).unwrap();
    zip(&["-q", "-9", "-r", "shop.war", "WEB-INF"]);

    let host = Host::new().with("opt/app.jar", fs::read(made.path().join("app.jar")).unwrap());
    let host = host.with("srv/shop.war", fs::read(made.path().join("shop.war")).unwrap());
    let snapshot = host.read(Class::JarPackage);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped.as_slice()), (Outcome::Complete, &[][..]));
    assert_eq!(
        rows(&snapshot),
        [
            row("/opt/app.jar", "", "app", "2.0"),
            row("/opt/app.jar", "BOOT-INF/lib/lib-1.4.jar", "lib", "1.4"),
            row("/srv/shop.war", "", "shop", ""),
            row("/srv/shop.war", "WEB-INF/lib/app.jar", "app", "2.0"),
            row("/srv/shop.war", "WEB-INF/lib/app.jar!BOOT-INF/lib/lib-1.4.jar", "lib", "1.4"),
        ]
    );
    let found = jars(&snapshot);
    assert_eq!(found[0].sha256.as_deref(), Some(sha256(&made.path().join("app.jar")).as_str()));
    assert_eq!((found[1].sha256.as_deref(), found[4].sha256.as_deref()), (Some(lib.as_str()), Some(lib.as_str())));
    assert_eq!((found[0].executable, found[1].executable), (Some(true), Some(false)));
    assert_eq!((found[0].kind, found[1].purl.as_str()), (JarKind::Application, "pkg:maven/org.x/lib@1.4"));
}

#[test]
fn artifacts_packed_into_another_are_items_of_their_own() {
    let own = pom("org.x", "all-in-one", "3");
    let other = pom("com.y", "json", "2.9");
    let bytes = archive(&[
        ("META-INF/maven/com.y/json/pom.properties", other.as_bytes(), true),
        ("META-INF/maven/org.x/all-in-one/pom.properties", own.as_bytes(), true),
    ]);
    let snapshot = Host::new().with("opt/all-in-one-3.jar", bytes).read(Class::JarPackage);
    assert_eq!(
        rows(&snapshot),
        [
            row("/opt/all-in-one-3.jar", "", "all-in-one", "3"),
            row("/opt/all-in-one-3.jar", "META-INF/maven/com.y/json/pom.properties", "json", "2.9"),
        ]
    );
    let packed = &jars(&snapshot)[1];
    assert_eq!((packed.sha256.as_deref(), packed.executable, packed.group_id.as_str()), (None, None, "com.y"));
}

#[test]
fn broken_archives_are_counted_and_cost_only_themselves() {
    let good = archive(&[("META-INF/MANIFEST.MF", b"Implementation-Version: 1\n", true)]);
    let mut torn = good.clone();
    torn.truncate(good.len() - 30);
    let mut garbled = archive(&[("META-INF/MANIFEST.MF", &[b'x'; 4_000], true)]);
    for byte in &mut garbled[40..60] {
        *byte = 0xff;
    }
    // The central directory is said to lie somewhere else.
    let mut lying = good.clone();
    let at = lying.len() - 6;
    lying[at..at + 4].copy_from_slice(&0xffff_0000_u32.to_le_bytes());
    let outer = archive(&[("lib/broken.jar", b"no archive", false), ("lib/good.jar", &good, true)]);
    let host = Host::new()
        .with("opt/a/empty.jar", "")
        .with("opt/a/text.jar", "this is no archive")
        .with("opt/a/torn.jar", &torn)
        .with("opt/a/garbled.jar", &garbled)
        .with("opt/a/lying.jar", &lying)
        .with("opt/a/good.jar", &good)
        .with("opt/a/outer.jar", &outer);
    let snapshot = host.read(Class::JarPackage);
    let found = rows(&snapshot);
    for wanted in [
        row("/opt/a/good.jar", "", "good", "1"),
        row("/opt/a/outer.jar", "", "outer", ""),
        row("/opt/a/outer.jar", "lib/good.jar", "good", "1"),
    ] {
        assert!(found.contains(&wanted), "{found:?}");
    }
    for broken in ["empty.jar", "text.jar", "torn.jar", "garbled.jar", "lying.jar", "outer.jar!lib/broken.jar"] {
        let named = snapshot.skipped.iter().filter(|skipped| skipped.source.ends_with(broken)).count();
        assert_eq!(named, 1, "{broken}: {:?}", snapshot.skipped);
    }
    assert_eq!((found.len(), snapshot.skipped_count), (3, 6));
}

#[test]
fn bombs_depth_and_lies_about_sizes_end_within_the_bounds() {
    let zeros = vec![0_u8; 64 << 20];
    let bomb = archive(&[("META-INF/MANIFEST.MF", &zeros, true), ("lib/huge.jar", &zeros, true)]);
    let mut nested = archive(&[("META-INF/MANIFEST.MF", b"Implementation-Version: 7\n", true)]);
    for level in 0..6 {
        nested = archive(&[(&format!("{level}.jar"), &nested, level % 2 == 0)]);
    }
    let host = Host::new().with("opt/bomb.jar", &bomb).with("opt/deep.jar", &nested);
    let snapshot = host.read(Class::JarPackage);
    let found = jars(&snapshot);
    let huge = found.iter().find(|jar| jar.inner_path == "lib/huge.jar").unwrap();
    // Known by name and hash; 64 MiB of zeros are not kept to look for more.
    let zeros = tempfile::NamedTempFile::new().unwrap();
    zeros.as_file().set_len(64 << 20).unwrap();
    assert_eq!((huge.name.as_str(), huge.sha256.as_deref()), ("huge", Some(sha256(zeros.path()).as_str())));
    let deepest =
        found.iter().filter(|jar| jar.path == "/opt/deep.jar").map(|jar| jar.inner_path.matches('!').count()).max();
    assert_eq!(deepest, Some(2));
    let reasons: Vec<&str> = snapshot.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    assert_eq!(reasons, ["too large to be looked into", "too many archives, or too deep in others"]);
}

#[test]
fn names_that_are_no_text_are_escaped_and_long_ones_cut() {
    let long = format!("Implementation-Title: {}\n", "t".repeat(400));
    let inner = archive(&[("META-INF/MANIFEST.MF", long.as_bytes(), true)]);
    let bytes = archive(&[("lib/x\n\u{1b}[31m.jar", &inner, true)]);
    let host = Host::new();
    let folder = host.path().join("opt");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"od\xffd.jar")), bytes).unwrap();
    let found = jars(&host.read(Class::JarPackage));
    assert_eq!((found[0].path.as_str(), found[0].escaped), ("/opt/od\\xffd.jar", true));
    assert_eq!((found[1].name.len(), found[1].truncated.as_slice()), (255, &["name".to_owned()][..]));
}

#[test]
fn links_caches_and_other_systems_files_are_not_walked() {
    let jar = archive(&[("a", b"", false)]);
    let host = Host::new()
        .with("opt/real.jar", &jar)
        .with("var/lib/docker/overlay2/x/other.jar", &jar)
        .with("home/ann/.m2/repository/cached.jar", &jar)
        .with("etc/not-walked.jar", &jar)
        .with("usr/share/java/system.jar", &jar);
    std::os::unix::fs::symlink("real.jar", host.path().join("opt/link.jar")).unwrap();
    std::os::unix::fs::symlink("/", host.path().join("opt/loop")).unwrap();
    let found = jars(&host.read(Class::JarPackage));
    let kinds: Vec<_> = found.iter().map(|jar| (jar.path.as_str(), jar.kind)).collect();
    assert_eq!(kinds, [("/opt/real.jar", JarKind::Other), ("/usr/share/java/system.jar", JarKind::SystemLibrary)]);
}

#[test]
fn archives_that_processes_hold_are_found_wherever_they_lie() {
    let jar = archive(&[("a", b"", false)]);
    let host = Host::new()
        .with("opt/app.jar", &jar)
        .with("strange/place/hidden.jar", &jar)
        .process(&Fake { pid: 77, name: b"java", args: &[b"java"], ..Fake::default() })
        .process(&Fake { pid: 78, name: b"other", args: &[b"other"], ..Fake::default() })
        .with("proc/77/maps", "7f00-7f01 r--s 0 fe:01 12    /strange/place/hidden.jar\n7f01-7f02 r--p 0 0:0 0\n");
    for (target, path) in [
        ("/opt/app.jar", "proc/77/fd/4"),
        ("/dev/null", "proc/77/fd/0"),
        ("/opt/gone.jar (deleted)", "proc/77/fd/5"),
        ("/opt/gone.jar", "proc/77/fd/6"),
    ] {
        std::os::unix::fs::symlink(target, host.path().join(path)).unwrap();
    }
    let snapshot = host.read(Class::JarPackage);
    let java = vec![JarProcess { pid: 77, name: "java".to_owned() }];
    let found: Vec<_> = jars(&snapshot).into_iter().map(|jar| (jar.path, jar.processes)).collect();
    assert_eq!(found, [("/opt/app.jar".to_owned(), java.clone()), ("/strange/place/hidden.jar".to_owned(), java)]);
    // A process that comes or goes is no change of an archive.
    fs::rename(host.path().join("proc/77"), host.path().join("proc/79")).unwrap();
    let again = host.read(Class::JarPackage);
    assert_eq!(jars(&again)[0].processes[0].pid, 79);
    assert_eq!(again.digest(), snapshot.digest());
}

#[test]
fn a_real_process_is_found_by_the_file_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.jar");
    fs::write(&path, archive(&[("a", b"", false)])).unwrap();
    let mut child = Command::new("sleep").arg("60").stdin(fs::File::open(&path).unwrap()).spawn().unwrap();
    let found = Class::JarPackage.read(&cwpp_collector::Host::new(&cwpp_collector::Root::default(), crate::noon()));
    child.kill().unwrap();
    child.wait().unwrap();
    let path = path.canonicalize().unwrap();
    let held = jars(&found).into_iter().find(|jar| Path::new(&jar.path) == path).unwrap();
    assert_eq!(held.processes, [JarProcess { pid: child.id(), name: "sleep".to_owned() }]);
}

#[test]
fn a_real_service_with_mounts_of_its_own_is_found_by_what_it_holds() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("held.jar");
    fs::write(&path, archive(&[("a", b"", false)])).unwrap();
    let script = format!("exec < '{}'; echo up; exec sleep 60", path.display());
    let mut child =
        Command::new("unshare").args(["--mount", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
    let found = read_here(Class::JarPackage);
    child.kill().unwrap();
    child.wait().unwrap();
    let held = jars(&found).into_iter().find(|jar| Path::new(&jar.path) == path).unwrap();
    let pids: Vec<u32> = held.processes.iter().map(|process| process.pid).collect();
    assert_eq!((pids, held.container_id), (vec![child.id()], None));
}
