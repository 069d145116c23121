//! Java archives: files on the disk, archives inside them, and artifacts that were packed into another.
//!
//! An archive comes from anybody. Nothing that it declares is believed: entries, inflated bytes, memory and depth are
//! bounded, and what goes over is counted.

mod archive;
mod meta;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use self::archive::{Archive, Budget, Bytes, Contents, Inner, Left, Part};
use self::meta::{Manifest, Pom};
use super::{Class, ClassSnapshot, ITEM_CAP, Item, Outcome, purl};
use crate::Host;
use crate::text::{self, Fields};

const TEXT_CAP: usize = 255;
const PATH_CAP: usize = 4096;
const PURL_CAP: usize = 1024;
/// Archives inside archives, the file itself not counted.
const DEPTH_CAP: usize = 3;
/// Folders that could not be entered, as far as they are named.
const UNREAD_CAP: usize = 20;
/// Longer files are not hashed: a report waits for no disk image.
const HASH_CAP: u64 = 2 << 30;
/// So much is read of all archives of containers together, of each container its share of what those before it left; and of
/// an archive of which only the names inside are wanted.
const CONTAINERS_CAP: u64 = 2 << 30;
const NAMES_CAP: u64 = 256 << 20;
const MANIFEST_CAP: u64 = 256 << 10;
const POM_CAP: u64 = 16 << 10;

/// What an archive belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JarKind {
    /// An application, or a part of one.
    Application,
    /// A library of the system.
    SystemLibrary,
    /// Came with a web service.
    WebService,
    /// Anything else.
    Other,
}

/// A process that holds an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JarProcess {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// A Java archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JarPackage {
    /// The artifact, else what the manifest or the file is called.
    pub name: String,
    /// The version; empty where unknown.
    pub version: String,
    /// Maven's group; empty where unknown.
    pub group_id: String,
    /// The file.
    pub path: String,
    /// The path inside the file, with `!` between levels; empty for the file itself.
    pub inner_path: String,
    /// The SHA-256 of the archive, in hex; absent where it could not be computed or there is no archive of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it belongs to.
    pub kind: JarKind,
    /// Whether it names a main class; absent where that cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
    /// The package URL; empty without a group.
    pub purl: String,
    /// The container that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The processes that hold the file; at most 64. They come and go and are no change of it.
    pub processes: Vec<JarProcess>,
    /// True when a field held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// The fields that were too long and were cut.
    pub truncated: Vec<String>,
}

/// True for a name that an archive of Java has.
fn is_archive(name: &[u8]) -> bool {
    [&b".jar"[..], b".war", b".ear", b".hpi", b".jpi"]
        .iter()
        .any(|end| name.len() > end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end))
}

pub(super) fn read(host: &Host<'_>) -> ClassSnapshot {
    let root = host.root();
    let mut snapshot = ClassSnapshot::new(Class::JarPackage);
    let files = walk::files(root, &mut snapshot);
    snapshot.unread_sources.extend(host.unseen());
    let processes = host.processes().ok();
    let mut archives = processes.map(|all| walk::loaded(root, all, &mut snapshot)).unwrap_or_default();
    for path in files {
        archives.entry((None, path)).or_default().ways.insert(0, root.clone());
    }
    let mut jars = Jars { snapshot, found: BTreeMap::new(), total: 0 };
    let containers: BTreeSet<String> = archives.keys().filter_map(|(container, _)| container.clone()).collect();
    let mut shares = Shares { left: CONTAINERS_CAP, containers: containers.len() as u64, is_over: false };
    // The host's own come first: no container pushes them out.
    let (mut container, mut left): (Option<String>, Rc<Left>) = (None, Left::new(u64::MAX));
    for ((of, path), held) in archives {
        if of != container {
            let before = container.is_some().then_some(&*left);
            (left, container) = (shares.next(before), of);
        }
        jars.file(container.as_deref(), &path, held, &left);
    }
    if (shares.is_over || left.is_short())
        && !jars.snapshot.unread_sources.iter().any(|source| source == walk::TOO_MUCH)
    {
        jars.snapshot.unread_sources.push(walk::TOO_MUCH.to_owned());
    }
    let Jars { mut snapshot, found, total } = jars;
    snapshot.fill(found.into_values().map(|jar| Item::JarPackage(Box::new(jar))).collect());
    if total > ITEM_CAP {
        snapshot.outcome = Outcome::Truncated { total };
    }
    snapshot
}

/// What may still be read of containers' archives.
struct Shares {
    left: u64,
    /// How many have not had their share.
    containers: u64,
    is_over: bool,
}

impl Shares {
    /// The share of the next container; of the one before it, if any, so much is left.
    fn next(&mut self, before: Option<&Left>) -> Rc<Left> {
        self.is_over |= before.is_some_and(Left::is_short);
        self.left += before.map_or(0, Left::bytes);
        let share = self.left / self.containers.max(1);
        self.containers = self.containers.saturating_sub(1);
        self.left -= share;
        Left::new(share)
    }
}

struct Jars {
    snapshot: ClassSnapshot,
    /// By container, path and inner path.
    found: BTreeMap<(Option<String>, String, String), JarPackage>,
    total: usize,
}

/// Where an archive is.
struct Place<'a> {
    container: Option<&'a str>,
    path: &'a [u8],
    /// Inside the file; empty for itself.
    inner: Vec<u8>,
    depth: usize,
    /// The kind of what it lies in.
    outer: Option<JarKind>,
}

impl Jars {
    fn file(&mut self, container: Option<&str>, path: &[u8], held: walk::Held, left: &Rc<Left>) {
        let source = source(container, path);
        let mut opened = Err(std::io::ErrorKind::NotFound.into());
        for way in &held.ways {
            opened = way.open_bytes(Path::new(OsStr::from_bytes(path)));
            if opened.is_ok() {
                break;
            }
        }
        let bytes = match opened {
            Ok(file) => Bytes::File(file, Rc::clone(left)),
            // Gone since it was listed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
            Err(e) => return self.snapshot.skip(&source, 0, &e.to_string()),
        };
        let place = Place { container, path, inner: Vec::new(), depth: 0, outer: None };
        let scanned = Part::whole(&bytes)
            .map_err(|e| e.to_string())
            .and_then(|part| self.archive(part, &place, held.processes, &mut Budget::new()));
        if let Err(reason) = scanned {
            self.snapshot.skip(&source, 0, &reason);
        }
    }

    /// Reads one archive and all in it.
    fn archive(
        &mut self,
        part: Part<'_>,
        place: &Place<'_>,
        processes: Vec<JarProcess>,
        budget: &mut Budget,
    ) -> Result<(), String> {
        let archive = Archive::open(part)?;
        let contents = archive.contents()?;
        let manifest = match &contents.manifest {
            Some(found) => Manifest::parse(&archive.head(found, MANIFEST_CAP, budget)?),
            None => Manifest::default(),
        };
        let mut poms = Vec::new();
        for found in &contents.poms {
            match archive.head(found, POM_CAP, budget) {
                Ok(bytes) => poms.extend(Pom::parse(&bytes).map(|pom| (found.name.clone(), pom))),
                Err(reason) => self.skip_inner(place, &found.name, &reason),
            }
        }
        let file = last(if place.inner.is_empty() { place.path } else { &place.inner });
        let own = meta::own_pom(file, &poms);
        let identity = meta::identity(file, own, &manifest);
        let kind = kind(place, file, manifest.main_class);
        // Only what is an archive is read as a whole.
        let hash = if part.length() <= HASH_CAP { part.sha256().ok() } else { None };
        self.add(place, &place.inner, identity, hash, kind, Some(manifest.main_class), processes);
        for (name, pom) in poms.iter().filter(|(_, pom)| own != Some(pom)) {
            if budget.inner == 0 {
                break;
            }
            budget.inner -= 1;
            let identity =
                meta::Identity { name: pom.artifact.clone(), version: pom.version.clone(), group: pom.group.clone() };
            self.add(place, &join(&place.inner, name), identity, None, kind, None, Vec::new());
        }
        self.inner(&archive, &contents, place, kind, budget);
        if let Some(reason) = contents.cut {
            self.skip_inner(place, b"", reason);
        }
        Ok(())
    }

    fn inner(
        &mut self,
        archive: &Archive<'_>,
        contents: &Contents,
        place: &Place<'_>,
        kind: JarKind,
        budget: &mut Budget,
    ) {
        for found in &contents.archives {
            if place.depth >= DEPTH_CAP || budget.inner == 0 {
                self.skip_inner(place, &found.name, "too many archives, or too deep in others");
                continue;
            }
            budget.inner -= 1;
            let inner = Place {
                container: place.container,
                path: place.path,
                inner: join(&place.inner, &found.name),
                depth: place.depth + 1,
                outer: Some(kind),
            };
            let scanned = match archive.inner(found, budget) {
                Ok(Inner::Stored(part)) => self.archive(part, &inner, Vec::new(), budget),
                Ok(Inner::Inflated(bytes)) => {
                    let scanned = Part::whole(&bytes)
                        .map_err(|e| e.to_string())
                        .and_then(|part| self.archive(part, &inner, Vec::new(), budget));
                    if let Bytes::Memory(bytes) = bytes {
                        budget.give_back(bytes.len());
                    }
                    scanned
                }
                // Known by its name and hash only.
                Ok(Inner::TooLarge(hash)) => {
                    let identity = meta::identity(last(&found.name), None, &Manifest::default());
                    self.add(&inner, &inner.inner, identity, hash, kind, None, Vec::new());
                    Err("too large to be looked into".to_owned())
                }
                Err(reason) => Err(reason),
            };
            if let Err(reason) = scanned {
                self.skip_inner(place, &found.name, &reason);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        place: &Place<'_>,
        inner: &[u8],
        identity: meta::Identity,
        hash: Option<[u8; 32]>,
        kind: JarKind,
        executable: Option<bool>,
        processes: Vec<JarProcess>,
    ) {
        let mut fields = Fields::default();
        let name = fields.text("name", &identity.name, TEXT_CAP);
        let version = fields.text("version", &identity.version, TEXT_CAP);
        let group_id = fields.text("group_id", &identity.group, TEXT_CAP);
        let mut purl = if group_id.is_empty() { String::new() } else { purl::maven(&group_id, &name, &version) };
        if text::cap(&mut purl, PURL_CAP) {
            fields.truncated.push("purl".to_owned());
        }
        let jar = JarPackage {
            name,
            version,
            group_id,
            path: fields.text("path", place.path, PATH_CAP),
            inner_path: fields.text("inner_path", inner, PATH_CAP),
            sha256: hash.map(hex::encode),
            kind,
            executable,
            purl,
            container_id: place.container.map(str::to_owned),
            processes,
            escaped: fields.escaped,
            truncated: fields.truncated,
        };
        let key = (jar.container_id.clone(), jar.path.clone(), jar.inner_path.clone());
        if self.found.contains_key(&key) {
            return self.skip_inner(place, inner, "the archive stands there before");
        }
        self.total += 1;
        self.found.insert(key, jar);
        if self.found.len() > ITEM_CAP {
            self.found.pop_last();
        }
    }

    fn skip_inner(&mut self, place: &Place<'_>, name: &[u8], reason: &str) {
        let inner = join(&place.inner, name);
        let mut source = source(place.container, &[place.path, b"!", &inner].concat());
        text::cap(&mut source, PATH_CAP);
        self.snapshot.skip(&source, 0, reason);
    }
}

/// An archive as it is named where it is left out.
fn source(container: Option<&str>, path: &[u8]) -> String {
    let path = text::decode(path).0;
    container.map_or_else(|| path.to_string(), |id| format!("container {id}: {path}"))
}

/// The names of the archives in an archive, as its own table has them; nothing is inflated.
pub(super) fn inner_names(file: File) -> Result<Vec<Vec<u8>>, String> {
    let bytes = Bytes::File(file, Left::new(NAMES_CAP));
    let archive = Archive::open(Part::whole(&bytes).map_err(|e| e.to_string())?)?;
    Ok(archive.contents()?.archives.into_iter().map(|found| found.name).collect())
}

fn join(outer: &[u8], inner: &[u8]) -> Vec<u8> {
    if outer.is_empty() { inner.to_vec() } else { [outer, b"!", inner].concat() }
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/' || byte == b'!').next().unwrap_or(path)
}

fn kind(place: &Place<'_>, file: &[u8], has_main: bool) -> JarKind {
    const SYSTEM: [&str; 4] = ["/usr/lib/jvm/", "/usr/share/java/", "/usr/share/maven-repo/", "/usr/lib/java/"];
    const SERVICES: [&str; 10] =
        ["tomcat", "jetty", "wildfly", "jboss", "glassfish", "payara", "weblogic", "websphere", "wlp", "resin"];
    if let Some(outer) = place.outer {
        return outer;
    }
    let path = String::from_utf8_lossy(place.path);
    if SYSTEM.iter().any(|system| path.starts_with(system)) {
        return JarKind::SystemLibrary;
    }
    let deployed = !file.to_ascii_lowercase().ends_with(b".jar");
    if deployed || has_main {
        return JarKind::Application;
    }
    let mut folders = path.split('/').map(str::to_ascii_lowercase);
    if folders.any(|folder| SERVICES.iter().any(|service| folder.starts_with(service))) {
        return JarKind::WebService;
    }
    JarKind::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_share_and_what_those_before_it_left() {
        let mut shares = Shares { left: 90, containers: 3, is_over: false };
        let first = shares.next(None);
        let second = shares.next(Some(&Left::new(10)));
        assert_eq!((first.bytes(), second.bytes(), shares.next(Some(&second)).bytes()), (30, 35, 70));
        assert!(!shares.is_over);
    }

    #[test]
    fn what_is_no_archive_is_not_read_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("a.jar")).unwrap().set_len(1 << 30).unwrap();
        let mut jars = Jars { snapshot: ClassSnapshot::new(Class::JarPackage), found: BTreeMap::new(), total: 0 };
        let held = walk::Held { ways: vec![crate::Root::new(folder.path())], processes: Vec::new() };
        let left = Left::new(1 << 40);
        jars.file(None, b"/a.jar", held, &left);
        assert!((1 << 40) - left.bytes() < 4 << 20, "{}", left.bytes());
        assert_eq!((jars.found.len(), jars.snapshot.skipped_count), (0, 1));
    }
}
