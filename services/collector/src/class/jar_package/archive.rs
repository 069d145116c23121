//! A zip archive on the disk, in memory or inside another, read in bounded pieces.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipLocator};
use sha2::{Digest as _, Sha256};

/// Entries of one archive that are looked at.
const ENTRY_CAP: usize = 500_000;
/// Bytes of one entry's name that are kept; a longer one is no file that a tool would have made.
const NAME_CAP: usize = 4096;
/// What all entries of one file may inflate to, and what of it may lie in memory at a time.
const INFLATED_CAP: u64 = 1 << 30;
const MEMORY_CAP: u64 = 24 << 20;
/// Inner archives, and artifacts that were packed in without their archive, of one file.
pub(super) const INNER_CAP: usize = 5_000;

/// What may still be read of files.
#[derive(Debug)]
pub(super) struct Left {
    bytes: Cell<u64>,
    is_short: Cell<bool>,
}

impl Left {
    pub(super) fn new(bytes: u64) -> Rc<Self> {
        Rc::new(Left { bytes: Cell::new(bytes), is_short: Cell::new(false) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// True when more was asked for than there was.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.get()
    }

    /// What is left after so much.
    fn after(&self, bytes: u64) -> io::Result<u64> {
        let rest = self.bytes.get().checked_sub(bytes);
        self.is_short.set(self.is_short.get() || rest.is_none());
        rest.ok_or_else(|| io::Error::other("more than is read of archives"))
    }
}

/// Where the bytes of an archive are.
#[derive(Debug)]
pub(super) enum Bytes {
    File(File, Rc<Left>),
    Memory(Vec<u8>),
}

/// A range of bytes that is an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    bytes: &'a Bytes,
    start: u64,
    length: u64,
}

impl<'a> Part<'a> {
    pub(super) fn whole(bytes: &'a Bytes) -> io::Result<Self> {
        let length = match bytes {
            Bytes::File(file, _) => file.metadata()?.len(),
            Bytes::Memory(bytes) => bytes.len() as u64,
        };
        Ok(Part { bytes, start: 0, length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Of a file it is begun only if all of it may be read: a smaller one may still find room.
    pub(super) fn sha256(&self) -> io::Result<[u8; 32]> {
        if let Bytes::File(_, left) = self.bytes {
            left.after(self.length)?;
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        while at < self.length {
            let read = self.read_at(&mut buffer, at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&buffer[..read]);
            at += read as u64;
        }
        Ok(hasher.finalize().into())
    }
}

impl ReaderAt for Part<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.length.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..wanted];
        match self.bytes {
            // What is really read counts, whatever was said to be there before.
            Bytes::File(file, left) => {
                let rest = left.after(wanted as u64)?;
                let read = file.read_at(buffer, self.start + offset)?;
                left.bytes.set(rest + (wanted - read) as u64);
                Ok(read)
            }
            Bytes::Memory(bytes) => {
                let from = usize::try_from(self.start + offset).unwrap_or(usize::MAX).min(bytes.len());
                let read = wanted.min(bytes.len() - from);
                buffer[..read].copy_from_slice(&bytes[from..from + read]);
                Ok(read)
            }
        }
    }
}

/// What one file may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    inflated: u64,
    memory: u64,
    pub(super) inner: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { inflated: INFLATED_CAP, memory: MEMORY_CAP, inner: INNER_CAP }
    }

    /// Gives the memory of an inner archive back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.memory += bytes as u64;
    }
}

/// An entry that says what an archive is, or is one itself.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Vec<u8>,
    at: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
}

/// The entries of an archive that matter.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) manifest: Option<Found>,
    pub(super) poms: Vec<Found>,
    pub(super) archives: Vec<Found>,
    /// Why not all of them are there.
    pub(super) cut: Option<&'static str>,
}

/// An inner archive.
pub(super) enum Inner<'a> {
    /// It lies as it is in the outer one.
    Stored(Part<'a>),
    /// It was inflated.
    Inflated(Bytes),
    /// It is too large for memory; its hash, if it could be had within the budget.
    TooLarge(Option<[u8; 32]>),
}

/// An open archive.
pub(super) struct Archive<'a> {
    part: Part<'a>,
    zip: ZipArchive<Part<'a>>,
}

impl<'a> Archive<'a> {
    pub(super) fn open(part: Part<'a>) -> Result<Self, String> {
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let located = ZipLocator::new().locate_in_reader(part, &mut buffer, part.length);
        let zip = located.map_err(|(_, e)| format!("not an archive: {e}"))?;
        Ok(Archive { part, zip })
    }

    /// Looks through the names of all entries; nothing but the wanted ones is kept.
    pub(super) fn contents(&self) -> Result<Contents, String> {
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let mut entries = self.zip.entries(&mut buffer);
        let mut contents = Contents::default();
        for _ in 0..ENTRY_CAP {
            let Some(entry) = entries.next_entry().map_err(|e| format!("broken archive: {e}"))? else {
                return Ok(contents);
            };
            let path = entry.file_path();
            let name: &[u8] = path.as_ref();
            if name.len() > NAME_CAP || entry.is_dir() {
                continue;
            }
            let found = || Found { name: name.to_vec(), at: entry.wayfinder(), method: entry.compression_method() };
            if name.eq_ignore_ascii_case(b"META-INF/MANIFEST.MF") {
                contents.manifest.get_or_insert_with(found);
            } else if name.starts_with(b"META-INF/maven/") && name.ends_with(b"/pom.properties") {
                contents.take(found, |contents| &mut contents.poms);
            } else if super::is_archive(name) {
                contents.take(found, |contents| &mut contents.archives);
            }
        }
        contents.cut = Some("more entries than are looked at");
        Ok(contents)
    }

    /// The beginning of a small entry, inflated.
    pub(super) fn head(&self, found: &Found, cap: u64, budget: &mut Budget) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let cap = cap.min(budget.inflated);
        self.inflate(found, |reader| reader.take(cap).read_to_end(&mut bytes))?;
        budget.inflated -= bytes.len() as u64;
        Ok(bytes)
    }

    /// Opens an archive in this one.
    pub(super) fn inner(&self, found: &Found, budget: &mut Budget) -> Result<Inner<'a>, String> {
        if found.method == CompressionMethod::STORE {
            let entry = self.zip.get_entry(found.at).map_err(|e| format!("broken entry: {e}"))?;
            let (start, end) = entry.compressed_data_range();
            if end > self.part.length || start > end {
                return Err("an entry that ends behind its archive".to_owned());
            }
            return Ok(Inner::Stored(Part {
                bytes: self.part.bytes,
                start: self.part.start + start,
                length: end - start,
            }));
        }
        let cap = budget.memory.min(budget.inflated);
        // What the archive declares is only a hint; the cap holds whatever it says.
        let declared = found.at.uncompressed_size_hint().min(cap);
        let mut bytes = Vec::with_capacity(usize::try_from(declared).unwrap_or(0) + 1);
        self.inflate(found, |reader| reader.take(cap + 1).read_to_end(&mut bytes))?;
        budget.inflated = budget.inflated.saturating_sub(bytes.len() as u64);
        if bytes.len() as u64 > cap {
            drop(bytes);
            return Ok(Inner::TooLarge(self.inflated_hash(found, budget)));
        }
        bytes.shrink_to_fit();
        budget.memory -= bytes.len() as u64;
        Ok(Inner::Inflated(Bytes::Memory(bytes)))
    }

    fn inflated_hash(&self, found: &Found, budget: &mut Budget) -> Option<[u8; 32]> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        self.inflate(found, |reader| {
            loop {
                let read = reader.read(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                budget.inflated = budget.inflated.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
                hasher.update(&buffer[..read]);
            }
        })
        .ok()?;
        Some(hasher.finalize().into())
    }

    fn inflate<T>(&self, found: &Found, read: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> Result<T, String> {
        let entry = self.zip.get_entry(found.at).map_err(|e| format!("broken entry: {e}"))?;
        let mut reader = entry.reader();
        match found.method {
            CompressionMethod::STORE => read(&mut reader),
            CompressionMethod::DEFLATE => read(&mut DeflateDecoder::new(reader)),
            other => return Err(format!("an entry with the compression {other:?}")),
        }
        .map_err(|e| format!("broken entry: {e}"))
    }
}

impl Contents {
    fn take(&mut self, found: impl FnOnce() -> Found, list: impl Fn(&mut Self) -> &mut Vec<Found>) {
        if list(self).len() < INNER_CAP {
            list(self).push(found());
        } else {
            self.cut = Some("more inner archives than are looked at");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom};

    use rawzip::ZipArchiveWriter;

    use super::*;

    #[test]
    fn what_is_read_is_charged_and_a_hash_is_begun_only_where_there_is_enough() {
        let mut file = tempfile::tempfile().unwrap();
        // An archive behind a mebibyte of nothing.
        file.seek(SeekFrom::Start(1 << 20)).unwrap();
        let mut zip = ZipArchiveWriter::new(&mut file);
        let (mut entry, config) = zip.new_file("a").compression_method(CompressionMethod::STORE).start().unwrap();
        let (_, descriptor) = config.wrap(&mut entry).finish().unwrap();
        entry.finish(descriptor).unwrap();
        zip.finish().unwrap();
        let (length, first) = (file.metadata().unwrap().len(), Left::new(400 << 10));
        let bytes = Bytes::File(file.try_clone().unwrap(), Rc::clone(&first));
        let part = Part::whole(&bytes).unwrap();
        Archive::open(part).and_then(|archive| archive.contents()).unwrap();
        let before = first.bytes();
        assert!(before < 400 << 10 && !first.is_short());
        assert!(part.sha256().is_err());
        assert_eq!((first.bytes(), first.is_short()), (before, true));
        // Grown since: the length that was seen first holds, and what is read is charged.
        let second = Left::new(8 << 20);
        let bytes = Bytes::File(file.try_clone().unwrap(), Rc::clone(&second));
        let part = Part::whole(&bytes).unwrap();
        file.set_len(1 << 30).unwrap();
        assert!(part.sha256().is_ok());
        assert_eq!((second.bytes(), second.is_short()), ((8 << 20) - length, false));
    }
}
