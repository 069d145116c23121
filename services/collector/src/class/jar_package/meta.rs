//! What an archive says about itself: its manifest, Maven's properties, its file's name.

use crate::text;

/// Words inside a version.
const STAGES: [&str; 11] = ["alpha", "beta", "rc", "cr", "m", "milestone", "snapshot", "build", "pre", "sp", "final"];

/// The main section of a manifest, as far as it is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) main_class: bool,
    title: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
    vendor_id: Option<Vec<u8>>,
    bundle_name: Option<Vec<u8>>,
    bundle_version: Option<Vec<u8>>,
    specification_version: Option<Vec<u8>>,
}

/// Maven's properties of an artifact.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pom {
    pub(super) group: Vec<u8>,
    pub(super) artifact: Vec<u8>,
    pub(super) version: Vec<u8>,
}

/// What an archive is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: Vec<u8>,
    pub(super) version: Vec<u8>,
    pub(super) group: Vec<u8>,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut manifest = Manifest::default();
        let mut open: Vec<u8> = Vec::new();
        // A line that begins with a space goes on with the one before it; an empty one ends the section.
        for (_, line) in text::lines(bytes).take_while(|(_, line)| !line.is_empty()) {
            match line.strip_prefix(b" ") {
                Some(rest) => open.extend_from_slice(rest),
                None => manifest.header(&std::mem::replace(&mut open, line.to_vec())),
            }
        }
        manifest.header(&open);
        manifest
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let value = line[colon + 1..].trim_ascii();
        if value.is_empty() {
            return;
        }
        let slot = match line[..colon].to_ascii_lowercase().as_slice() {
            b"main-class" => {
                self.main_class = true;
                return;
            }
            b"implementation-title" => &mut self.title,
            b"implementation-version" => &mut self.version,
            b"implementation-vendor-id" => &mut self.vendor_id,
            b"bundle-symbolicname" => &mut self.bundle_name,
            b"bundle-version" => &mut self.bundle_version,
            b"specification-version" => &mut self.specification_version,
            _ => return,
        };
        *slot = Some(value.to_vec());
    }
}

impl Pom {
    /// Reads `pom.properties`; none without an artifact.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut pom = Pom::default();
        for (_, line) in text::lines(bytes) {
            let line = line.trim_ascii();
            let Some(equals) = line.iter().position(|&byte| byte == b'=' || byte == b':') else { continue };
            let value = line[equals + 1..].trim_ascii().to_vec();
            match line[..equals].trim_ascii() {
                b"groupId" => pom.group = value,
                b"artifactId" => pom.artifact = value,
                b"version" => pom.version = value,
                _ => {}
            }
        }
        (!pom.artifact.is_empty()).then_some(pom)
    }
}

/// The name and version of an archive: Maven's, else the manifest's, else the file's. `own` is the artifact that the
/// archive is, where Maven's properties tell.
pub(super) fn identity(file: &[u8], own: Option<&Pom>, manifest: &Manifest) -> Identity {
    let (stem, file_version) = file_name(file);
    if let Some(pom) = own {
        return Identity { name: pom.artifact.clone(), version: pom.version.clone(), group: pom.group.clone() };
    }
    // A title is a name only if it looks like one ("Apache Commons Lang" does not); a bundle's is that of its package.
    let title = manifest.title.as_ref().filter(|title| is_token(title));
    let bundle = manifest.bundle_name.as_ref().map(|name| name.split(|&byte| byte == b';').next().unwrap_or_default());
    let name = match (title, file_version.is_empty(), bundle) {
        (Some(title), _, _) => title.clone(),
        (None, true, Some(bundle)) if !bundle.is_empty() => bundle.trim_ascii().to_vec(),
        _ => stem.to_vec(),
    };
    let version = [&manifest.version, &manifest.bundle_version].into_iter().flatten().next().cloned();
    let version = version.or_else(|| (!file_version.is_empty()).then(|| file_version.to_vec()));
    let version = version.or_else(|| manifest.specification_version.clone());
    Identity { name, version: version.unwrap_or_default(), group: manifest.vendor_id.clone().unwrap_or_default() }
}

/// The artifact among several that an archive is itself: the only one, or the one whose name its file has.
pub(super) fn own_pom<'a>(file: &[u8], poms: &'a [(Vec<u8>, Pom)]) -> Option<&'a Pom> {
    if let [(_, only)] = poms {
        return Some(only);
    }
    let (stem, _) = file_name(file);
    poms.iter().map(|(_, pom)| pom).find(|pom| pom.artifact == stem)
}

/// `commons-lang3-3.12.0.jar` is a name and a version. The version begins with the last number behind a word, unless
/// that word is a stage of a version: `log4j-1.2-api-2.17`, but `core-1.0-beta-2`.
fn file_name(file: &[u8]) -> (&[u8], &[u8]) {
    let stem = match file.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => &file[..dot],
        None => file,
    };
    let is_number = |word: &[u8]| word.first().is_some_and(u8::is_ascii_digit);
    let is_stage = |word: &[u8]| STAGES.iter().any(|stage| word.eq_ignore_ascii_case(stage.as_bytes()));
    let (mut begin, mut at, mut before): (_, _, &[u8]) = (None, 0, b"");
    for word in stem.split(|&byte| byte == b'-') {
        if at > 0 && is_number(word) && !is_number(before) && (begin.is_none() || !is_stage(before)) {
            begin = Some(at);
        }
        (at, before) = (at + word.len() + 1, word);
    }
    match begin {
        Some(begin) => (&stem[..begin - 1], &stem[begin..]),
        None => (stem, &[]),
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_goes_on_over_lines_and_ends_with_its_main_section() {
        let manifest = Manifest::parse(b"Manifest-Version: 1.0\r\nImplementation-Title: a-ve\r\n ry-long\r\nMain-Class: x.Y\r\n\r\nName: z\r\nImplementation-Version: 9\r\n");
        assert!(manifest.main_class);
        assert_eq!((manifest.title.as_deref(), manifest.version.as_deref()), (Some(&b"a-very-long"[..]), None));
    }

    #[test]
    fn a_name_comes_from_maven_then_the_manifest_then_the_file() {
        let pom = Pom::parse(b"#made\nversion=1.2\ngroupId = org.x\nartifactId=core\n").unwrap();
        let bundle = Manifest { bundle_name: Some(b"org.x.core;singleton:=true".to_vec()), ..Manifest::default() };
        let name = |file: &[u8], pom: Option<&Pom>, manifest: &Manifest| {
            let found = identity(file, pom, manifest);
            (String::from_utf8(found.name).unwrap(), String::from_utf8(found.version).unwrap())
        };
        assert_eq!(name(b"z.jar", Some(&pom), &bundle), ("core".into(), "1.2".into()));
        assert_eq!(name(b"z.jar", None, &bundle), ("org.x.core".into(), String::new()));
        assert_eq!(name(b"log4j-1.2-api-2.17.jar", None, &bundle), ("log4j-1.2-api".into(), "2.17".into()));
        assert_eq!(name(b"x-1.0-beta-2.jar", None, &bundle), ("x".into(), "1.0-beta-2".into()));
        assert_eq!(name(b"guava-31.1-jre.jar", None, &bundle), ("guava".into(), "31.1-jre".into()));
        assert_eq!(name(b"plain.war", None, &Manifest::default()), ("plain".into(), String::new()));
    }
}
