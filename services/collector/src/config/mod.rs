//! Configuration files of servers, and what they include. Whoever writes them may be hostile: the number of files, their
//! bytes and how deep they include each other are bounded, and what goes beyond is left out and said.

pub(crate) mod apache;
pub(crate) mod caddy;
pub(crate) mod keyed;
pub(crate) mod lighttpd;
pub(crate) mod nginx;
pub(crate) mod sshd;

use std::io::Read;

use crate::{ReadError, Root};

const FILE_CAP: u64 = 4 << 20;
const BYTES_CAP: usize = 32 << 20;
const FILES_CAP: usize = 2_000;
const DEPTH_CAP: usize = 16;
/// The most files that one pattern may name.
const MATCHES_CAP: usize = 1_000;

/// Something of a configuration that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) reason: &'static str,
}

/// Reads the files of one server's configuration.
pub(crate) struct Reader<'a> {
    root: &'a Root,
    files: usize,
    bytes: usize,
    /// The files that are being read, each included by the one before.
    open: Vec<String>,
    complaints: Vec<Complaint>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &'a Root) -> Self {
        Reader { root, files: 0, bytes: 0, open: Vec::new(), complaints: Vec::new() }
    }

    /// What was left out so far.
    pub(crate) fn complaints(self) -> Vec<Complaint> {
        self.complaints
    }

    /// The file that is being read.
    fn current(&self) -> &str {
        self.open.last().map_or("", String::as_str)
    }

    fn complain(&mut self, line: usize, reason: &'static str) {
        // More of them tell nothing new.
        if self.complaints.len() < 1_000 {
            self.complaints.push(Complaint { path: self.current().to_owned(), line, reason });
        }
    }

    /// Reads a configuration's first file with `read`.
    pub(crate) fn read(&mut self, path: &str, read: &mut dyn FnMut(&mut Self, &[u8])) {
        self.file(0, path, read);
    }

    /// Reads the files that a pattern names, for the file that is being read, each with `read`. A file that is not there
    /// is no complaint where the pattern has wildcards.
    fn include(&mut self, line: usize, pattern: &str, read: &mut dyn FnMut(&mut Self, &[u8])) {
        let paths = self.matches(line, pattern);
        for path in paths {
            self.file(line, &path, read);
        }
    }

    /// Reads one file with `read`.
    fn file(&mut self, line: usize, path: &str, read: &mut dyn FnMut(&mut Self, &[u8])) {
        if self.open.iter().any(|open| open == path) {
            return self.complain(line, "the file includes itself");
        }
        if self.open.len() >= DEPTH_CAP {
            return self.complain(line, "the files include each other too deep");
        }
        if self.files >= FILES_CAP || self.bytes >= BYTES_CAP {
            return self.complain(line, "the configuration has too many files or bytes");
        }
        self.files += 1;
        match self.bytes_of(path) {
            Ok(bytes) => {
                self.bytes += bytes.len();
                self.open.push(path.to_owned());
                if bytes.len() as u64 > FILE_CAP {
                    self.complain(0, "the file is too large");
                } else {
                    read(self, &bytes);
                }
                self.open.pop();
            }
            Err(e) if e.is_missing() => self.complain(line, "a file that is included does not exist"),
            Err(_) => self.complain(line, "a file that is included cannot be read"),
        }
    }

    fn bytes_of(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let file = self.root.open(path)?;
        file.take(FILE_CAP + 1).read_to_end(&mut bytes).map_err(|e| ReadError::of(path, e))?;
        Ok(bytes)
    }

    /// The files that a pattern with `*`, `?` and `[...]` names, sorted; a pattern without them names itself.
    fn matches(&mut self, line: usize, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[']) {
                found.iter_mut().for_each(|path| *path = format!("{path}/{part}"));
                continue;
            }
            let Ok(part) = glob::Pattern::new(part) else {
                self.complain(line, "a pattern of files is malformed");
                return Vec::new();
            };
            let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
            let mut next = Vec::new();
            for folder in &found {
                for name in self.root.list(if folder.is_empty() { "/" } else { folder }).unwrap_or_default() {
                    if part.matches_with(&name, options) {
                        next.push(format!("{folder}/{name}"));
                    }
                }
            }
            if next.len() > MATCHES_CAP {
                self.complain(line, "a pattern names too many files");
                next.truncate(MATCHES_CAP);
            }
            found = next;
        }
        found
    }
}

/// `path` as seen from `folder`.
fn below(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

/// The folder of a file.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
