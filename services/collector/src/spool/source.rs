//! Where a log was read to, and where that place is now: logs are rotated and cut.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// So much of a file's beginning tells it from others.
const HEAD: u64 = 256;
/// A shorter beginning tells nothing about a file with another inode.
const HEAD_MIN: u64 = 16;

/// A place in a log file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// The hash of the first `head_length` bytes.
    pub(super) head_length: u64,
    pub(super) head: String,
}

/// A file to read, from where, and whether nothing will be written to it any more.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: File,
    pub(super) position: Position,
    pub(super) finished: bool,
}

impl Position {
    fn start(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Position { device: metadata.dev(), inode: metadata.ino(), offset: 0, head_length: 0, head: String::new() })
    }

    /// Moves on, and remembers more of the file's beginning while there is more than before.
    pub(super) fn advance(&mut self, file: &File, offset: u64) -> io::Result<()> {
        self.offset = offset;
        let length = offset.min(HEAD);
        if length > self.head_length {
            self.head = hash(file, length)?;
            self.head_length = length;
        }
        Ok(())
    }

    fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.len() >= self.offset
            && (self.head_length == 0 || hash(file, self.head_length)? == self.head))
    }
}

fn hash(file: &File, length: u64) -> io::Result<String> {
    let mut head = vec![0_u8; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut head, 0)?;
    Ok(blake3::hash(&head).to_hex()[..32].to_owned())
}

/// Finds what is to be read: the rest of the file that was read last, wherever it is now, then the files that came
/// after it, then the log itself. The flag says that the place was not found and reading begins anew.
pub(super) fn locate(log: &Path, position: Option<&Position>) -> io::Result<(Vec<Piece>, bool)> {
    let current = match open(log) {
        Ok(file) => Some(file),
        // Between two steps of a rotation.
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let Some(position) = position else {
        let pieces = current.map(|file| piece(file, false)).transpose()?;
        return Ok((pieces.into_iter().collect(), false));
    };
    if let Some(file) = &current
        && is_same(file, position)?
        && position.is_in(file)?
    {
        let file = file.try_clone()?;
        return Ok((vec![Piece { file, position: position.clone(), finished: false }], false));
    }

    // Newest first.
    let rotated: Vec<File> = rotated(log)?.iter().filter_map(|path| open(path).ok()).collect();
    let mut found = None;
    for (index, file) in rotated.iter().enumerate() {
        let inode = is_same(file, position)?;
        if (inode || position.head_length >= HEAD_MIN) && position.is_in(file).unwrap_or(false) {
            if inode {
                found = Some(index);
                break;
            }
            found = found.or(Some(index));
        }
    }
    let has_lines = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    let successor = current.filter(has_lines);
    let Some(index) = found else {
        // Cut without a copy, or the copy is gone or compressed.
        return Ok((successor.map(|file| piece(file, false)).transpose()?.into_iter().collect(), position.offset > 0));
    };
    // Until the log itself has lines, the writer may still have the old file open.
    let finished = index > 0 || successor.is_some();
    let mut pieces = Vec::new();
    for (at, file) in rotated.into_iter().enumerate().take(index + 1) {
        let next = piece(file, at > 0 || finished)?;
        pieces.push(if at == index { Piece { position: position.clone(), ..next } } else { next });
    }
    pieces.reverse();
    if let Some(file) = successor {
        pieces.push(piece(file, false)?);
    }
    // A copy has another inode; the place in it is the same.
    if let Some(first) = pieces.first_mut() {
        let start = Position::start(&first.file)?;
        (first.position.device, first.position.inode) = (start.device, start.inode);
    }
    Ok((pieces, false))
}

fn piece(file: File, finished: bool) -> io::Result<Piece> {
    let position = Position::start(&file)?;
    Ok(Piece { file, position, finished })
}

fn is_same(file: &File, position: &Position) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.dev() == position.device && metadata.ino() == position.inode)
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// The rotated files of a log, newest first: `log.1`, `log.2`, …, then dated ones, latest first. Compressed ones are
/// left out.
fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(base) = log.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let (mut numbered, mut dated) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(suffix) = name.to_str().and_then(|name| name.strip_prefix(base)) else { continue };
        if let Some(number) = suffix.strip_prefix('.').and_then(|number| number.parse::<u32>().ok()) {
            numbered.push((number, entry.path()));
        } else if suffix.starts_with('-') && suffix[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            dated.push((suffix.to_owned(), entry.path()));
        }
    }
    numbered.sort();
    dated.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).chain(dated.into_iter().rev().map(|(_, path)| path)).collect())
}
