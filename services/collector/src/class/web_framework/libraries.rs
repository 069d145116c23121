//! Where programs keep the packages that they use, language by language.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::table::{FRAMEWORKS, Framework};
use super::{Found, ProgrammingLanguage};
use crate::class::WebServiceKind;
use crate::class::python::{Folders, Program, is_python};
use crate::product::Instance;
use crate::{Host, Root};

/// The most folders of libraries that are looked into on one host.
const FOLDERS_CAP: usize = 2_000;
const FILE_CAP: usize = 8 << 20;
/// Folders above a program in which its packages may lie.
const LEVELS: usize = 4;

type Pattern = LazyLock<Option<Regex>>;
/// `Django-4.2.1.dist-info`, `Django-4.2.1-py3.11.egg-info`.
static METADATA: Pattern = LazyLock::new(|| {
    Regex::new(r"^([A-Za-z0-9._]+)-([^-]+)(?:-py[\d.]+)?(?:-[\w.]+)?\.(?:dist-info|egg-info|egg)$").ok()
});
static GEM: Pattern = LazyLock::new(|| Regex::new(r"(?m)^    ([\w.-]+) \(([\w.-]+)\)").ok());
static VERSION: Pattern = LazyLock::new(|| Regex::new(r#""version"\s*:\s*"([^"]{1,128})""#).ok());

/// All frameworks of the programs that run.
pub(super) fn find(host: &Host<'_>) -> Vec<Found> {
    let mut search = Search { seen: HashSet::new(), found: Vec::new() };
    for instance in host.programs().iter().filter(|instance| instance.is_running()) {
        let service = WebServiceKind::of(instance);
        match language(instance) {
            Some(ProgrammingLanguage::Python) => search.python(instance, service),
            Some(ProgrammingLanguage::Node) => search.node(instance, service),
            Some(ProgrammingLanguage::Ruby) => search.ruby(instance, service),
            _ => {}
        }
    }
    for site in &host.sites().all {
        for folder in site.root.iter().chain(site.paths.iter().filter_map(|(_, folder)| folder.as_ref())) {
            // A site's root is often a folder of the application, such as its `public`.
            for folder in upwards(folder).into_iter().take(2) {
                search.php(&site.view, &folder, site.service, site.pid);
            }
        }
    }
    search.java(host);
    search.found
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

struct Search {
    seen: HashSet<(Root, String)>,
    found: Vec<Found>,
}

impl Search {
    /// True when the folder was not looked into before.
    fn is_new(&mut self, view: &Root, folder: &str) -> bool {
        self.seen.len() < FOLDERS_CAP && self.seen.insert((view.clone(), folder.to_owned()))
    }

    fn python(&mut self, instance: &Instance, service: Option<WebServiceKind>) {
        let view = &instance.view;
        for folder in Folders::of(view, &Program::of_instance(instance)).found {
            if !self.is_new(view, &folder) {
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
            if instance.view.metadata(&modules).is_err() || !self.is_new(&instance.view, &modules) {
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
            if !self.is_new(&instance.view, &path) {
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

    fn php(&mut self, view: &Root, folder: &str, service: WebServiceKind, pid: u32) {
        let vendor = format!("{}/vendor", folder.trim_end_matches('/'));
        let Ok((bytes, _)) = view.read_head(&format!("{vendor}/composer/installed.json"), FILE_CAP) else { return };
        if !self.is_new(view, &vendor) {
            return;
        }
        let Ok(installed) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return };
        // The first form of the file is the list itself.
        let packages = installed.get("packages").unwrap_or(&installed).as_array();
        for package in packages.into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            if let Some(framework) = Framework::of(ProgrammingLanguage::Php, text("name")) {
                let version = text("version").trim_start_matches('v').to_owned();
                self.push(framework, &version, format!("{vendor}/{}", framework.package), Some(service), pid);
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

    /// By the files that Java's processes name in their class paths; what is inside archives is told by their own class.
    fn java(&mut self, host: &Host<'_>) {
        let is_java = |instance: &&Instance| instance.exe.as_deref().is_some_and(|exe| exe.ends_with("/java"));
        for instance in host.programs().iter().filter(|one| one.is_running()).filter(is_java) {
            let service = WebServiceKind::of(instance);
            for path in jars(instance).into_iter().take(FOLDERS_CAP) {
                let Some((package, version)) = path.rsplit('/').next().and_then(artifact) else { continue };
                let Some(framework) = Framework::of(ProgrammingLanguage::Java, package) else { continue };
                let version = version.to_owned();
                self.found.push(Found { framework, version, path: path.clone(), service, pid: instance.pid, jars: 1 });
            }
        }
    }
}

/// The archives of a process: those of its class path, of folders named in it, and of Tomcat's applications.
fn jars(instance: &Instance) -> Vec<String> {
    let view = &instance.view;
    let absolute = |path: &str| match &instance.cwd {
        Some(cwd) if !path.starts_with('/') => format!("{cwd}/{path}"),
        _ => path.to_owned(),
    };
    let mut folders: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let class_path = instance.options.value(&["-cp", "-classpath", "--class-path", "-Djava.class.path="]);
    for entry in class_path.unwrap_or_default().split(':').filter(|entry| !entry.is_empty()) {
        match entry.strip_suffix("/*") {
            Some(folder) => folders.push(absolute(folder)),
            None if entry.ends_with(".jar") => found.push(absolute(entry)),
            None => {}
        }
    }
    let bases = [instance.options.value(&["-Dcatalina.base="]).map(str::to_owned), instance.home.clone()];
    for base in bases.into_iter().flatten() {
        folders.push(format!("{base}/lib"));
        for name in view.list(&format!("{base}/webapps")).unwrap_or_default() {
            folders.push(format!("{base}/webapps/{name}/WEB-INF/lib"));
        }
    }
    folders.sort();
    folders.dedup();
    for folder in folders.iter().take(FOLDERS_CAP) {
        let names = view.list(folder).unwrap_or_default();
        found.extend(names.iter().filter(|name| name.ends_with(".jar")).map(|name| format!("{folder}/{name}")));
    }
    found
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
