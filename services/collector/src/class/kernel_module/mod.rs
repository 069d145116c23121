//! Loaded modules of the kernel: `/proc/modules`, `/sys/module`, what `modules.dep` says of their files, and what these
//! say of themselves.
//!
//! What is built into the kernel is no module. A kernel that cannot load any has no `/proc/modules`: the class is then
//! not present. Without the folder of the modules' files (a container) path, description and needs by file are absent.

mod modinfo;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{Class, ClassSnapshot, Item, Outcome};
use crate::text::{self, Fields};
use crate::{ReadError, Root};

const MODULES: &str = "/proc/modules";
const NAME_CAP: usize = 255;
const TEXT_CAP: usize = 1_024;
const PATH_CAP: usize = 4_096;
/// The most dependencies, users and parameters of one module.
const LIST_CAP: usize = 256;

/// A module. Optional fields are absent when their source could not be read or has no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelModule {
    /// The name, unique on the host.
    pub name: String,
    /// What it says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version that its author gave it; most have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its size in memory in bytes.
    pub size_bytes: u32,
    /// How often it is in use; absent where the kernel does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_count: Option<u32>,
    /// Modules that it needs, sorted.
    pub dependencies: Vec<String>,
    /// Modules that need it, sorted.
    pub used_by: Vec<String>,
    /// Its parameters that can be read, by name.
    pub parameters: BTreeMap<String, String>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

pub(super) fn read(root: &Root) -> ClassSnapshot {
    let bytes = match root.read(MODULES) {
        Ok(bytes) => bytes,
        Err(e @ ReadError::Missing { .. }) => {
            return ClassSnapshot::failed(Class::KernelModule, Outcome::NotPresent { reason: e.to_string() });
        }
        Err(e) => return ClassSnapshot::failed(Class::KernelModule, Outcome::Unreadable { reason: e.to_string() }),
    };
    let mut snapshot = ClassSnapshot::new(Class::KernelModule);
    let mut modules: BTreeMap<String, KernelModule> = BTreeMap::new();
    for (number, line) in text::lines(&bytes).filter(|(_, line)| !line.trim_ascii().is_empty()) {
        match module(line) {
            None => snapshot.skip(MODULES, number, "malformed"),
            Some(module) if modules.contains_key(&module.name) => {
                snapshot.skip(MODULES, number, "the name stands there before");
            }
            Some(module) => {
                modules.insert(module.name.clone(), module);
            }
        }
    }
    if modules.is_empty() && snapshot.skipped_count > 0 {
        snapshot.outcome = Outcome::Unreadable { reason: format!("{MODULES} holds no module that can be understood") };
        return snapshot;
    }
    let files = Files::read(root, &mut snapshot);
    let needs = needs(&modules);
    let mut hidden = false;
    for module in modules.values_mut() {
        let file = files.by_name.get(&module.name);
        let own = needs.get(&module.name).into_iter().flatten();
        let listed: BTreeSet<String> = own.chain(file.into_iter().flat_map(|file| &file.needs)).cloned().collect();
        module.dependencies = listed.into_iter().collect();
        cap_list(&mut module.dependencies, "dependencies", &mut module.truncated);
        module.path = file.map(|file| file.path.clone());
        details(root, module, &mut hidden);
    }
    if hidden {
        snapshot.unread_sources.push("/sys/module/*/parameters".to_owned());
    }
    describe(root, &mut modules);
    snapshot.fill(modules.into_values().map(Item::KernelModule).collect());
    snapshot
}

/// A line is name, size, use count or `-`, users or `-`, state, address.
fn module(line: &[u8]) -> Option<KernelModule> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (name, size) = (words.next()?, words.next()?);
    let size_bytes = std::str::from_utf8(size).ok()?.parse::<u64>().ok()?;
    let use_count = std::str::from_utf8(words.next()?).ok()?;
    let mut fields = Fields::default();
    let name = fields.text("name", name, NAME_CAP);
    let users = words.next().unwrap_or(b"-");
    // `[permanent]` marks a module that cannot be unloaded; it is no module.
    let users = users.split(|&byte| byte == b',').filter(|user| !matches!(*user, b"" | b"-" | b"[permanent]"));
    let used_by: BTreeSet<String> = users.map(|user| fields.text("used_by", user, NAME_CAP)).collect();
    let mut used_by: Vec<String> = used_by.into_iter().collect();
    cap_list(&mut used_by, "used_by", &mut fields.truncated);
    Some(KernelModule {
        name,
        description: None,
        path: None,
        version: None,
        size_bytes: u32::try_from(size_bytes).unwrap_or(u32::MAX),
        use_count: use_count.parse().ok(),
        dependencies: Vec::new(),
        used_by,
        parameters: BTreeMap::new(),
        escaped: fields.escaped,
        truncated: fields.truncated,
    })
}

fn cap_list(list: &mut Vec<String>, name: &str, truncated: &mut Vec<String>) {
    if list.len() > LIST_CAP {
        list.truncate(LIST_CAP);
        truncated.push(name.to_owned());
    }
}

/// Turns "is used by" around.
fn needs(modules: &BTreeMap<String, KernelModule>) -> HashMap<String, BTreeSet<String>> {
    let mut needs: HashMap<String, BTreeSet<String>> = HashMap::new();
    for module in modules.values() {
        for user in &module.used_by {
            needs.entry(user.clone()).or_default().insert(module.name.clone());
        }
    }
    needs
}

/// What the kernel shows of a module in `/sys/module`.
fn details(root: &Root, module: &mut KernelModule, hidden: &mut bool) {
    // A name out of a file is no path.
    if module.name.contains(['/', '\\']) || module.name.starts_with('.') {
        return;
    }
    let mut fields = Fields { escaped: module.escaped, truncated: std::mem::take(&mut module.truncated) };
    let directory = format!("/sys/module/{}", module.name);
    if let Ok((version, _)) = root.read_head(&format!("{directory}/version"), PATH_CAP) {
        let version = fields.text("version", version.trim_ascii(), NAME_CAP);
        module.version = (!version.is_empty()).then_some(version);
    }
    let parameters = format!("{directory}/parameters");
    match root.list(&parameters) {
        Ok(names) => {
            if names.len() > LIST_CAP {
                fields.truncated.push("parameters".to_owned());
            }
            for name in names.iter().take(LIST_CAP) {
                // A page is all that the kernel shows; what is cut before it is redacted may no longer look like a secret.
                match root.read_head(&format!("{parameters}/{name}"), 4096) {
                    Ok((value, _)) => {
                        let name = fields.text("parameters", name.as_bytes(), TEXT_CAP);
                        let (value, escaped) = text::decode(value.trim_ascii_end());
                        fields.escaped |= escaped;
                        let value =
                            fields.text("parameters", cwpp_redaction::named(&name, &value).as_bytes(), TEXT_CAP);
                        module.parameters.insert(name, value);
                    }
                    Err(e) => *hidden |= !e.is_missing(),
                }
            }
        }
        Err(e) => *hidden |= !e.is_missing(),
    }
    fields.truncated.dedup();
    (module.escaped, module.truncated) = (fields.escaped, fields.truncated);
}

/// Adds what the modules' files say. The version that the kernel shows is that of what runs, and comes first.
fn describe(root: &Root, modules: &mut BTreeMap<String, KernelModule>) {
    let mut with_file: Vec<&mut KernelModule> = modules.values_mut().filter(|module| module.path.is_some()).collect();
    let paths: Vec<String> = with_file.iter().filter_map(|module| module.path.clone()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    modinfo::read(root, &paths, |at, info| {
        let module = &mut with_file[at];
        let mut fields = Fields { escaped: module.escaped, truncated: std::mem::take(&mut module.truncated) };
        module.description = info.description.map(|text| fields.text("description", &text, TEXT_CAP));
        if module.version.is_none() {
            module.version = info.version.map(|text| fields.text("version", &text, NAME_CAP));
        }
        (module.escaped, module.truncated) = (fields.escaped, fields.truncated);
    });
}

/// The modules' files, out of `modules.dep` of the running kernel.
#[derive(Debug, Default)]
struct Files {
    by_name: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    path: String,
    needs: Vec<String>,
}

impl Files {
    fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Self {
        let release = root.read_trimmed("/proc/sys/kernel/osrelease");
        let Some(release) = release.filter(|release| !release.contains('/') && !release.starts_with('.')) else {
            return Files::default();
        };
        let directory = format!("/lib/modules/{release}");
        let path = format!("{directory}/modules.dep");
        match root.read(&path) {
            Ok(bytes) => Files::parse(&directory, &bytes),
            Err(e) => {
                if !e.is_missing() {
                    snapshot.unread_sources.push(path);
                }
                Files::default()
            }
        }
    }

    /// A line is `kernel/fs/a.ko.xz: kernel/lib/b.ko.xz kernel/lib/c.ko.xz`.
    fn parse(directory: &str, bytes: &[u8]) -> Self {
        let mut by_name = HashMap::new();
        for (_, line) in text::lines(bytes) {
            let line = text::decode(line).0;
            let Some((file, needs)) = line.split_once(':') else { continue };
            let Some(name) = name_of(file) else { continue };
            let mut path = if file.starts_with('/') { file.to_owned() } else { format!("{directory}/{file}") };
            text::cap(&mut path, PATH_CAP);
            let needs = needs.split_whitespace().filter_map(name_of).collect();
            by_name.entry(name).or_insert(File { path, needs });
        }
        Files { by_name }
    }
}

/// The kernel writes `-` in a file's name as `_` in the module's.
fn name_of(file: &str) -> Option<String> {
    let name = file.trim().rsplit('/').next()?;
    Some(name.split_once(".ko")?.0.replace('-', "_"))
}
