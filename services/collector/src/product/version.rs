//! The version of an installed program, found without running it.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use regex::bytes::{Regex, RegexBuilder};

use super::VersionSource;
use crate::Root;
use crate::text;

/// The most bytes of one executable that are searched.
const BINARY_CAP: u64 = 256 << 20;
/// The most bytes of all executables together that a collection searches.
const SEARCH_CAP: u64 = 1 << 30;
const BLOCK: usize = 1 << 20;
/// A match is looked for within this much around the border of two blocks.
const OVERLAP: usize = 256;
const FILE_CAP: usize = 1 << 20;
const VERSION_CAP: usize = 255;

/// Where the sources of a version are looked for.
pub(super) struct Place<'a> {
    /// The file of the program, and the tree below which it is.
    pub(super) binary: (&'a Root, &'a str),
    /// The path of the program as shown.
    pub(super) exe: Option<&'a str>,
    /// The tree that holds the home.
    pub(super) view: &'a Root,
    pub(super) home: Option<&'a str>,
    pub(super) args: &'a [String],
}

/// Looks for versions; what was searched once is remembered.
#[derive(Default)]
pub(super) struct Finder {
    patterns: HashMap<&'static str, Option<Regex>>,
    /// By device, number of the file and pattern.
    binaries: HashMap<(u64, u64, &'static str), Option<String>>,
    searched: u64,
}

impl Finder {
    /// The first version that one of the sources gives.
    pub(super) fn find(&mut self, sources: &'static [VersionSource], place: &Place<'_>) -> Option<String> {
        sources.iter().find_map(|source| match source {
            VersionSource::Binary(pattern) => self.in_binary(place.binary.0, place.binary.1, pattern),
            VersionSource::Path(pattern) => group(&self.compiled(pattern)?, place.exe?.as_bytes()),
            VersionSource::File(path, pattern) => {
                let (bytes, _) = place.view.read_head(&below(place.home?, path), FILE_CAP).ok()?;
                group(&self.compiled(pattern)?, &bytes)
            }
            VersionSource::Name(path, pattern) => {
                let pattern = self.compiled(pattern)?;
                let names = place.view.list(&below(place.home?, path)).ok()?;
                names.iter().find_map(|name| group(&pattern, name.as_bytes()))
            }
            VersionSource::Argument(pattern) => {
                let pattern = self.compiled(pattern)?;
                place.args.iter().find_map(|arg| group(&pattern, arg.as_bytes()))
            }
        })
    }

    fn compiled(&mut self, pattern: &'static str) -> Option<Regex> {
        let compile = || {
            let compiled = RegexBuilder::new(pattern).unicode(false).build();
            compiled.inspect_err(|e| tracing::error!(pattern, error = %e, "a pattern of the products")).ok()
        };
        self.patterns.entry(pattern).or_insert_with(compile).clone()
    }

    fn in_binary(&mut self, root: &Root, path: &str, pattern: &'static str) -> Option<String> {
        let metadata = root.metadata(path).ok().filter(|metadata| metadata.is_file())?;
        let key = (metadata.dev(), metadata.ino(), pattern);
        if let Some(known) = self.binaries.get(&key) {
            return known.clone();
        }
        let length = metadata.len().min(BINARY_CAP);
        if self.searched + length > SEARCH_CAP {
            return None;
        }
        self.searched += length;
        let found = self.compiled(pattern).and_then(|pattern| in_binary(root, path, &pattern));
        self.binaries.insert(key, found.clone());
        found
    }
}

/// A path below a folder; an absolute path is kept.
pub(super) fn below(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

fn group(pattern: &Regex, bytes: &[u8]) -> Option<String> {
    let found = pattern.captures(bytes)?.get(1)?.as_bytes();
    let (text, escaped) = text::decode(found);
    let mut text = text.into_owned();
    text::cap(&mut text, VERSION_CAP);
    (!escaped && !text.is_empty()).then_some(text)
}

/// Searches an executable block by block, so that memory stays small however large it is.
fn in_binary(root: &Root, path: &str, pattern: &Regex) -> Option<String> {
    let mut file = root.open(path).ok()?.take(BINARY_CAP);
    let mut block = Vec::with_capacity(BLOCK + OVERLAP);
    loop {
        let kept = block.len();
        let read = file.by_ref().take(BLOCK as u64).read_to_end(&mut block).ok()?;
        if read == 0 {
            return None;
        }
        if let Some(version) = group(pattern, &block) {
            return Some(version);
        }
        let keep = block.len().saturating_sub(OVERLAP).max(kept.saturating_sub(OVERLAP));
        block.drain(..keep);
    }
}

/// The upstream's part of a version of Debian's or of rpm's: without epoch, revision and marks of repackaging.
pub(crate) fn upstream(version: &str) -> &str {
    let version = version
        .split_once(':')
        .filter(|(epoch, _)| epoch.bytes().all(|b| b.is_ascii_digit()))
        .map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let end = ["+dfsg", "~dfsg", "+ds", "+really", ".dfsg"].iter().filter_map(|mark| version.find(mark)).min();
    &version[..end.unwrap_or(version.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_version_has_no_epoch_revision_or_repackaging() {
        let cases = [
            ("1:10.11.6-0+deb12u1", "10.11.6"),
            ("1.22.1-9+deb12u2", "1.22.1"),
            ("5:7.0.15-1~deb12u1", "7.0.15"),
            ("2.0.1+dfsg1-3", "2.0.1"),
            ("9", "9"),
            ("", ""),
        ];
        for (whole, upstream_part) in cases {
            assert_eq!(upstream(whole), upstream_part);
        }
    }

    #[test]
    fn a_version_on_the_border_of_two_blocks_is_found() {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let root = Root::new(folder.path());
        let pattern = Regex::new(r"nginx/(\d+\.\d+\.\d+)[^\d]").unwrap_or_else(|e| panic!("{e}"));
        for at in [0, BLOCK - 11, BLOCK - 7, BLOCK, 2 * BLOCK - 1] {
            let mut bytes = vec![b'n'; at];
            bytes.extend_from_slice(b"nginx/1.22.14\0");
            bytes.resize(2 * BLOCK + 99, 0);
            std::fs::write(folder.path().join("x"), bytes).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(in_binary(&root, "/x", &pattern).as_deref(), Some("1.22.14"), "{at}");
        }
    }
}
