//! Many archives, services, tasks and distributions of Python.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::archive::archive;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Single archives, and others with archives inside, each with a manifest, Maven's properties and classes.
pub(crate) fn archives(root: &Path, single: usize, outer: usize, inner: usize) {
    // Bytes that do not deflate to nothing.
    let mut seed = 1_u32;
    let classes: Vec<u8> = (0..20_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_le_bytes()[3]
        })
        .collect();
    let make = |name: &str, version: usize, more: &[(String, Vec<u8>)], deflated: bool| {
        let manifest =
            format!("Manifest-Version: 1.0\r\nImplementation-Version: {version}\r\nMain-Class: org.x.Main\r\n\r\n");
        let pom = format!("groupId=org.x\nartifactId={name}\nversion={version}\n");
        let pom_path = format!("META-INF/maven/org.x/{name}/pom.properties");
        let names: Vec<String> = (0..40).map(|n| format!("org/x/{name}/Class{n}.class")).collect();
        let mut entries: Vec<(&str, &[u8], bool)> =
            vec![("META-INF/MANIFEST.MF", manifest.as_bytes(), true), (&pom_path, pom.as_bytes(), true)];
        entries.extend(names.iter().map(|name| (name.as_str(), &classes[..500], true)));
        entries.push(("org/x/Large.class", &classes, false));
        entries.extend(more.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), deflated)));
        archive(&entries)
    };
    for n in 0..single {
        write(root, &format!("opt/service-{}/lib/single-{n:05}.jar", n % 50), make("single", n, &[], false));
    }
    for n in 0..outer {
        let inside: Vec<(String, Vec<u8>)> = (0..inner)
            .map(|m| (format!("BOOT-INF/lib/inner-{m}.jar"), make("inner", n * inner + m, &[], false)))
            .collect();
        write(root, &format!("srv/app-{n:04}.jar"), make("outer", n, &inside, n % 2 == 0));
    }
}

/// Units of systemd, half of them enabled.
pub(crate) fn services(root: &Path, count: usize) {
    for target in ["sysinit", "basic", "multi-user"] {
        write(root, &format!("usr/lib/systemd/system/{target}.target"), "[Unit]\nDefaultDependencies=no\n");
    }
    symlink("multi-user.target", root.join("usr/lib/systemd/system/default.target")).unwrap();
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    for n in 0..count {
        let unit = format!(
            "[Unit]\nDescription=Unit {n}\n[Service]\nUser=u{n}\nExecStart=/usr/bin/u{n} --token=x{n}\n[Install]\nWantedBy=multi-user.target\n"
        );
        write(root, &format!("usr/lib/systemd/system/unit-{n}.service"), unit);
        if n % 2 == 0 {
            symlink(format!("/usr/lib/systemd/system/unit-{n}.service"), wants.join(format!("unit-{n}.service")))
                .unwrap();
        }
    }
}

/// Distributions of Python, a hundred in each of many places, with descriptions as long as they often are.
pub(crate) fn distributions(root: &Path, count: usize) {
    let long = "Classifier: one of many\n".repeat(100) + "\n" + &"What it does, at length. ".repeat(1_000);
    for n in 0..count {
        let folder = format!("opt/service-{}/venv/lib/python3.11/site-packages", n / 100);
        let metadata = format!("Metadata-Version: 2.1\nName: Tool_{n}\nVersion: 1.{n}\nSummary: One of many\n{long}");
        write(root, &format!("{folder}/tool_{n}-1.{n}.dist-info/METADATA"), metadata);
    }
}

/// Lines of crontabs.
pub(crate) fn tasks(root: &Path, count: usize) {
    let lines: String = (0..count).map(|n| format!("{} 4 * * * root /usr/bin/job --number {n}\n", n % 60)).collect();
    write(root, "etc/crontab", lines);
}
