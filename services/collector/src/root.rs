//! The file tree that is read: the host's own, or one mounted or made elsewhere.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// No file of a host's databases is read beyond this; a longer one is refused, not cut.
const FILE_CAP: u64 = 256 << 20;
const LINK_CAP: usize = 40;

/// The root of the file tree that is read, `/` unless told. Symbolic links below another root are
/// followed inside it, as `chroot` would, so that a mounted host never leads back to the collector's own files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root(PathBuf);

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The file, as seen from the root.
        path: String,
    },
    /// The file is there and cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file, as seen from the root.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    /// True when the file does not exist (as opposed to: cannot be read).
    pub fn is_missing(&self) -> bool {
        matches!(self, ReadError::Missing { .. })
    }

    pub(crate) fn of(path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Missing { path: path.to_owned() },
            _ => ReadError::Unreadable { path: path.to_owned(), source },
        }
    }
}

impl Default for Root {
    fn default() -> Self {
        Root(PathBuf::from("/"))
    }
}

impl Root {
    /// The tree below `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Root(path.into())
    }

    /// True for the host's own tree.
    pub fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where `path` (absolute, as seen from the root) really is. Missing parts are kept as they are.
    pub fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        if self.is_host() {
            return Ok(PathBuf::from(path));
        }
        let mut rest: VecDeque<OsString> = names(Path::new(path));
        let mut inside: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                inside.pop();
                continue;
            }
            let here = self.0.join(inside.iter().collect::<PathBuf>()).join(&name);
            match std::fs::read_link(&here) {
                Ok(target) => {
                    links += 1;
                    if links > LINK_CAP {
                        return Err(io::Error::other("too many levels of symbolic links"));
                    }
                    if target.is_absolute() {
                        inside.clear();
                    }
                    for part in names(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                Err(_) => inside.push(name),
            }
        }
        Ok(self.0.join(inside.iter().collect::<PathBuf>()))
    }

    /// Opens a regular file for reading. Anything else (a pipe, a device) is refused instead of waited for.
    pub fn open(&self, path: &str) -> Result<File, ReadError> {
        let open = || {
            let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
            let file = OpenOptions::new().read(true).custom_flags(nonblock).open(self.resolve(path)?)?;
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
        };
        open().map_err(|e| ReadError::of(path, e))
    }

    /// Reads a whole file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let read = self.open(path)?.take(FILE_CAP + 1).read_to_end(&mut bytes).map_err(|e| ReadError::of(path, e))?;
        if read as u64 > FILE_CAP {
            return Err(ReadError::of(path, io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large")));
        }
        Ok(bytes)
    }

    /// Reads at most the first `cap` bytes of a file; the second value says whether there is more.
    pub fn read_head(&self, path: &str, cap: usize) -> Result<(Vec<u8>, bool), ReadError> {
        let mut bytes = Vec::new();
        let file = self.open(path)?;
        file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(|e| ReadError::of(path, e))?;
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        Ok((bytes, more))
    }

    /// Reads a small file as text without its surrounding space; none when that is not possible.
    pub fn read_trimmed(&self, path: &str) -> Option<String> {
        let bytes = self.read(path).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The metadata of what is there, links followed.
    pub fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        self.resolve(path).and_then(std::fs::metadata).map_err(|e| ReadError::of(path, e))
    }

    /// The target of a link that is not followed.
    pub fn read_link(&self, path: &str) -> Result<PathBuf, ReadError> {
        let read = || {
            let (parent, name) = path.rsplit_once('/').unwrap_or_default();
            std::fs::read_link(self.resolve(if parent.is_empty() { "/" } else { parent })?.join(name))
        };
        read().map_err(|e| ReadError::of(path, e))
    }

    /// The names in a directory, sorted. Names that are no UTF-8 are left out.
    pub fn list(&self, path: &str) -> Result<Vec<String>, ReadError> {
        let read = || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(self.resolve(path)?)? {
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        read().map_err(|e| ReadError::of(path, e))
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}
