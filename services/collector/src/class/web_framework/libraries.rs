//! Where programs keep the packages that they use, language by language.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::table::{FRAMEWORKS, Framework};
use super::{Found, ProgrammingLanguage};
use crate::class::python::{Folders, Program, is_python};
use crate::class::web_site::Site;
use crate::class::{WebServiceKind, jar_package};
use crate::product::Instance;
use crate::{Host, Root, text};

/// The most folders of libraries that are looked into on one host.
const FOLDERS_CAP: usize = 2_000;
/// The most folders of sites that are looked for packages of PHP.
const ASKED_CAP: usize = 100_000;
/// The most archives of one program, in all its places, and of all programs of a host.
const ARCHIVES_CAP: usize = 10_000;
const ALL_ARCHIVES_CAP: usize = 50_000;
const FILE_CAP: usize = 8 << 20;
/// Where archives that run, and those that a server deploys, have their libraries.
const PACKED: [&str; 4] = ["BOOT-INF/lib/", "WEB-INF/lib/", "WEB-INF/lib-provided/", "lib/"];
/// Folders above a program in which its packages may lie.
const LEVELS: usize = 4;

type Pattern = LazyLock<Option<Regex>>;
/// `Django-4.2.1.dist-info`, `Django-4.2.1-py3.11.egg-info`.
static METADATA: Pattern = LazyLock::new(|| {
    Regex::new(r"^([A-Za-z0-9._]+)-([^-]+)(?:-py[\d.]+)?(?:-[\w.]+)?\.(?:dist-info|egg-info|egg)$").ok()
});
static GEM: Pattern = LazyLock::new(|| Regex::new(r"(?m)^    ([\w.-]+) \(([\w.-]+)\)").ok());
static VERSION: Pattern = LazyLock::new(|| Regex::new(r#""version"\s*:\s*"([^"]{1,128})""#).ok());

/// All frameworks of the programs that run, and the archives that could not be looked into, each with the reason.
pub(super) fn find(host: &Host<'_>) -> (Vec<Found>, Vec<(String, String)>) {
    let mut search = Search { archives: ALL_ARCHIVES_CAP, ..Search::default() };
    for instance in host.programs().iter().filter(|instance| instance.is_running()) {
        let service = WebServiceKind::of(instance);
        match language(instance) {
            Some(ProgrammingLanguage::Python) => search.python(instance, service),
            Some(ProgrammingLanguage::Node) => search.node(instance, service),
            Some(ProgrammingLanguage::Ruby) => search.ruby(instance, service),
            _ => {}
        }
    }
    let mut shared = HashSet::new();
    for site in &host.sites().all {
        // Sites of one server may have all their paths from it.
        let paths = Some(&site.paths).filter(|paths| shared.insert(Rc::as_ptr(paths)));
        let folders = paths.into_iter().flat_map(|paths| paths.iter()).filter_map(|(_, folder)| folder.as_deref());
        for folder in site.root.as_deref().into_iter().chain(folders) {
            // A site's root is often a folder of the application, such as its `public`.
            for folder in upwards(folder).into_iter().take(2) {
                search.php(site, &folder);
            }
        }
    }
    search.java(host);
    if search.seen.len() >= FOLDERS_CAP || search.asked.len() >= ASKED_CAP || search.archives == 0 {
        search.unread.push(("/".to_owned(), "there may be more folders or archives than are looked into".to_owned()));
    }
    (search.found, search.unread)
}

/// The language that an instance is written in, where its packages tell something.
fn language(instance: &Instance) -> Option<ProgrammingLanguage> {
    let name = instance.exe.as_deref()?.rsplit('/').next()?;
    let starts = |text: &str| name.starts_with(text);
    if is_python(name) {
        Some(ProgrammingLanguage::Python)
    } else if starts("node") {
        Some(ProgrammingLanguage::Node)
    } else if starts("ruby") || starts("puma") {
        Some(ProgrammingLanguage::Ruby)
    } else {
        None
    }
}

/// A path in a file tree, which is told by its container and by the device and number of its root: each process of a
/// container has a view of its own of the same.
type Seen = (Option<String>, Option<(u64, u64)>, String);

fn seen(view: &Root, container: &Option<String>, path: &str) -> Seen {
    let root = view.metadata("/").ok().map(|root| (root.dev(), root.ino()));
    (container.clone(), root, path.to_owned())
}

#[derive(Default)]
struct Search {
    seen: HashSet<Seen>,
    /// The folders of sites, whether there is anything in them or not.
    asked: HashSet<Seen>,
    /// How many archives may still be looked at.
    archives: usize,
    found: Vec<Found>,
    unread: Vec<(String, String)>,
}

impl Search {
    /// True when the folder was not looked into before.
    fn is_new(&mut self, instance: &Instance, folder: &str) -> bool {
        self.seen.len() < FOLDERS_CAP && self.seen.insert(seen(&instance.view, &instance.container_id, folder))
    }

    fn python(&mut self, instance: &Instance, service: Option<WebServiceKind>) {
        let view = &instance.view;
        for folder in Folders::of(view, &Program::of_instance(instance)).found {
            if !self.is_new(instance, &folder) {
                continue;
            }
            for name in view.list(&folder).unwrap_or_default() {
                let Some(parts) = METADATA.as_ref().and_then(|pattern| pattern.captures(&name)) else { continue };
                let package = parts[1].to_ascii_lowercase().replace(['_', '.'], "-");
                if let Some(framework) = Framework::of(ProgrammingLanguage::Python, &package) {
                    self.push(framework, &parts[2], format!("{folder}/{name}"), service, instance.pid);
                }
            }
        }
    }

    fn node(&mut self, instance: &Instance, service: Option<WebServiceKind>) {
        for folder in program_folders(instance) {
            let modules = format!("{}/node_modules", folder.trim_end_matches('/'));
            if instance.view.metadata(&modules).is_err() || !self.is_new(instance, &modules) {
                continue;
            }
            for framework in FRAMEWORKS.iter().filter(|one| one.language == ProgrammingLanguage::Node) {
                let path = format!("{modules}/{}", framework.package);
                let Ok((bytes, _)) = instance.view.read_head(&format!("{path}/package.json"), FILE_CAP) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes);
                let version = VERSION.as_ref().and_then(|pattern| Some(pattern.captures(&text)?[1].to_owned()));
                self.push(framework, &version.unwrap_or_default(), path, service, instance.pid);
            }
        }
    }

    fn ruby(&mut self, instance: &Instance, service: Option<WebServiceKind>) {
        for folder in program_folders(instance) {
            let path = format!("{}/Gemfile.lock", folder.trim_end_matches('/'));
            let Ok((bytes, _)) = instance.view.read_head(&path, FILE_CAP) else { continue };
            if !self.is_new(instance, &path) {
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            for parts in GEM.iter().flat_map(|pattern| pattern.captures_iter(&text)) {
                if let Some(framework) = Framework::of(ProgrammingLanguage::Ruby, &parts[1]) {
                    self.push(framework, &parts[2], path.clone(), service, instance.pid);
                }
            }
        }
    }

    fn php(&mut self, site: &Site, folder: &str) {
        let vendor = format!("{}/vendor", folder.trim_end_matches('/'));
        let key = seen(&site.view, &site.container_id, &vendor);
        if self.asked.len() >= ASKED_CAP || !self.asked.insert(key.clone()) {
            return;
        }
        let Ok((bytes, _)) = site.view.read_head(&format!("{vendor}/composer/installed.json"), FILE_CAP) else {
            return;
        };
        if self.seen.len() >= FOLDERS_CAP || !self.seen.insert(key) {
            return;
        }
        let Ok(installed) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return };
        // The first form of the file is the list itself.
        let packages = installed.get("packages").unwrap_or(&installed).as_array();
        for package in packages.into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            if let Some(framework) = Framework::of(ProgrammingLanguage::Php, text("name")) {
                let version = text("version").trim_start_matches('v').to_owned();
                self.push(framework, &version, format!("{vendor}/{}", framework.package), Some(site.service), site.pid);
            }
        }
    }

    fn push(
        &mut self,
        framework: &'static Framework,
        version: &str,
        path: String,
        service: Option<WebServiceKind>,
        pid: u32,
    ) {
        self.found.push(Found { framework, version: version.to_owned(), path, service, pid, jars: 0 });
    }

    /// By the archives of Java's processes.
    fn java(&mut self, host: &Host<'_>) {
        let is_java = |instance: &&Instance| instance.exe.as_deref().is_some_and(|exe| exe.ends_with("/java"));
        for instance in host.programs().iter().filter(|one| one.is_running()).filter(is_java) {
            let service = WebServiceKind::of(instance);
            for place in self.places(instance) {
                let artifacts = || place.iter().filter_map(|path| Some((path, file_name(path).and_then(artifact)?)));
                let mut jars: HashMap<&str, u32> = HashMap::new();
                for (_, (name, _)) in artifacts() {
                    for framework in FRAMEWORKS.iter().filter(|one| one.language == ProgrammingLanguage::Java) {
                        *jars.entry(framework.package).or_default() += u32::from(framework.has(name));
                    }
                }
                for (path, (name, version)) in artifacts() {
                    let Some(framework) = Framework::of(ProgrammingLanguage::Java, name) else { continue };
                    let jars = jars.get(framework.package).copied().unwrap_or_default();
                    let (version, path) = (version.to_owned(), path.clone());
                    self.found.push(Found { framework, version, path, service, pid: instance.pid, jars });
                }
            }
        }
    }

    /// The archives of a process, place by place: those that its class path names, those of each folder named in it or of
    /// Tomcat's applications, and those inside the one that it runs.
    fn places(&mut self, instance: &Instance) -> Vec<Vec<String>> {
        let view = &instance.view;
        let absolute = |path: &str| match &instance.cwd {
            Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
            _ => path.to_owned(),
        };
        let mut folders: Vec<String> = Vec::new();
        let mut named = Vec::new();
        let class_path = instance.options.value(&["-cp", "-classpath", "--class-path", "-Djava.class.path="]);
        for entry in class_path.unwrap_or_default().split(':').filter(|entry| !entry.is_empty()) {
            match entry.strip_suffix("/*") {
                Some(folder) => folders.push(absolute(folder)),
                None if entry.ends_with(".jar") => named.push(absolute(entry)),
                None => {}
            }
        }
        let bases = [instance.options.value(&["-Dcatalina.base="]).map(str::to_owned), instance.home.clone()];
        for base in bases.into_iter().flatten() {
            folders.push(format!("{base}/lib"));
            for name in view.list(&format!("{base}/webapps")).unwrap_or_default().iter().take(FOLDERS_CAP) {
                folders.push(format!("{base}/webapps/{name}/WEB-INF/lib"));
            }
        }
        folders.sort();
        folders.dedup();
        let mut left = ARCHIVES_CAP.min(self.archives);
        let mut places = vec![self.within(named, &mut left, instance)];
        for folder in folders.iter().take(FOLDERS_CAP) {
            if left == 0 || !self.is_new(instance, folder) {
                continue;
            }
            let names = view.list(folder).unwrap_or_default();
            let jars = names.iter().filter(|name| name.ends_with(".jar")).take(left + 1);
            let jars = jars.map(|name| format!("{folder}/{name}")).collect();
            places.push(self.within(jars, &mut left, instance));
        }
        // What stands behind it is the program's.
        let mut args = instance.options.all().iter().skip(1);
        if args.any(|arg| arg == "-jar")
            && let Some(path) = args.next()
        {
            let jars = self.inside(instance, &absolute(path));
            places.push(self.within(jars, &mut left, instance));
        }
        places
    }

    /// The first of a place's archives, so many as may still be looked at.
    fn within(&mut self, mut jars: Vec<String>, left: &mut usize, instance: &Instance) -> Vec<String> {
        if jars.len() > *left {
            let path = instance.exe.clone().unwrap_or_default();
            self.unread.push((path, format!("process {} has more archives than are looked at", instance.pid)));
            jars.truncate(*left);
        }
        *left -= jars.len();
        self.archives = self.archives.saturating_sub(jars.len());
        jars
    }

    /// The libraries inside an archive, each as `archive!name`; of an archive that was looked into before none.
    fn inside(&mut self, instance: &Instance, path: &str) -> Vec<String> {
        if !self.is_new(instance, path) {
            return Vec::new();
        }
        let names = instance.view.open(path).map_err(|e| e.to_string()).and_then(jar_package::inner_names);
        let names = names.unwrap_or_else(|reason| {
            self.unread.push((path.to_owned(), reason));
            Vec::new()
        });
        let names = names.iter().filter(|name| PACKED.iter().any(|folder| name.starts_with(folder.as_bytes())));
        names.map(|name| format!("{path}!{}", text::decode(name).0)).collect()
    }
}

fn file_name(path: &str) -> Option<&str> {
    path.rsplit(['/', '!']).next()
}

/// `spring-core-5.3.20.jar` is version 5.3.20 of spring-core.
fn artifact(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_suffix(".jar")?;
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    let at = dashes.find(|at| name.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit))?;
    Some((&name[..at], &name[at + 1..]))
}

/// Where a program and its packages may lie: the working folder, the script's, and those above them.
fn program_folders(instance: &Instance) -> Vec<String> {
    let script = instance.options.all().iter().skip(1).find(|arg| !arg.starts_with('-'));
    let cwd = instance.cwd.clone().unwrap_or_else(|| "/".to_owned());
    let script = script.map(|path| if path.starts_with('/') { path.clone() } else { format!("{cwd}/{path}") });
    let mut folders = upwards(&cwd);
    folders.extend(script.iter().flat_map(|path| upwards(path)));
    folders
}

/// A path and the folders above it.
fn upwards(path: &str) -> Vec<String> {
    let mut folders = vec![path.to_owned()];
    let mut rest = path;
    while let Some((folder, _)) = rest.rsplit_once('/')
        && !folder.is_empty()
        && folders.len() < LEVELS
    {
        folders.push(folder.to_owned());
        rest = folder;
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_archive_gives_artifact_and_version() {
        assert_eq!(artifact("spring-core-5.3.20.jar"), Some(("spring-core", "5.3.20")));
        assert_eq!(artifact("struts2-core-2.5.30-atlassian-1.jar"), Some(("struts2-core", "2.5.30-atlassian-1")));
        assert_eq!(artifact("app.jar"), None);
        assert_eq!(artifact("-.jar"), None);
    }

    #[test]
    fn every_form_of_pythons_metadata_is_read() {
        let Some(pattern) = &*METADATA else { panic!("the pattern is malformed") };
        for (name, version) in [
            ("Django-4.2.1.dist-info", "4.2.1"),
            ("Flask-0.12.egg-info", "0.12"),
            ("Django-3.2-py3.9.egg-info", "3.2"),
            ("aiohttp-3.8.1-py3.9-linux.egg-info", "3.8.1"),
        ] {
            assert_eq!(pattern.captures(name).map(|parts| parts[2].to_owned()).as_deref(), Some(version), "{name}");
        }
    }
}
