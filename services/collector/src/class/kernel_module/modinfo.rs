//! What a module's file says of itself: the section `.modinfo`, out of a file that may be compressed.
//!
//! Everything has a limit, as a file may claim any size: of one module, of all of them (the smallest first, so that one
//! large module takes nothing away from others), and of what a decoder may allocate.

use std::io::Read;

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use object::{Object, ObjectSection};
use ruzstd::decoding::StreamingDecoder;

use crate::Root;

/// The most bytes of one module, unpacked.
const FILE_CAP: usize = 16 << 20;
/// The most bytes of all modules together, unpacked.
const BUDGET: usize = 48 << 20;
/// What a decoder may hold besides. The kernel's own build uses 1 MiB (xz) and 8 MiB (zstd at most).
const DECODER_CAP: u32 = 16 << 20;

/// The fields of a module that are wanted, as they stand there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modinfo {
    pub(super) description: Option<Vec<u8>>,
    pub(super) version: Option<Vec<u8>>,
}

/// Reads the files, and calls back for each that could be read, with its place in `paths`.
pub(super) fn read(root: &Root, paths: &[&str], mut found: impl FnMut(usize, Modinfo)) {
    let size = |path: &str| root.metadata(path).ok().map(|about| about.len());
    let mut files: Vec<(u64, usize)> =
        paths.iter().enumerate().filter_map(|(at, path)| Some((size(path)?, at))).collect();
    files.sort_unstable();
    let mut left = BUDGET;
    for (_, at) in files {
        let Some(bytes) = unpack(root, paths[at], left.min(FILE_CAP)) else { continue };
        left -= bytes.len();
        if let Some(info) = parse(&bytes) {
            found(at, info);
        }
    }
}

/// The unpacked file; none when it is larger than the limit, or not what its name says.
fn unpack(root: &Root, path: &str, limit: usize) -> Option<Vec<u8>> {
    let file = root.open(path).ok()?;
    let mut bytes = Vec::new();
    let mut take = |reader: &mut dyn Read| reader.take(limit as u64 + 1).read_to_end(&mut bytes).ok();
    match path.rsplit('.').next()? {
        "ko" => take(&mut { file })?,
        "gz" => take(&mut GzDecoder::new(file))?,
        "xz" => take(&mut XzReader::new_mem_limit(file, false, DECODER_CAP >> 10))?,
        "zst" => take(&mut StreamingDecoder::new_with_max_window_size(file, DECODER_CAP.into()).ok()?)?,
        _ => return None,
    };
    (bytes.len() <= limit).then_some(bytes)
}

/// The section holds `name=value`, each ended by NUL.
fn parse(module: &[u8]) -> Option<Modinfo> {
    let file = object::File::parse(module).ok()?;
    let section = file.section_by_name(".modinfo")?;
    let text = section.data().ok()?;
    let value = |name: &[u8]| {
        let entry = text.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))?;
        (!entry.is_empty()).then(|| entry.to_vec())
    };
    Some(Modinfo { description: value(b"description"), version: value(b"version") })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_no_module_has_no_fields() {
        for bytes in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01\x01\0", &[0xff; 300], b"not a module"] {
            assert_eq!(parse(bytes), None);
        }
    }

    /// A relocatable file of two sections: names, and `.modinfo` with the text given.
    fn module(modinfo: &[u8]) -> Vec<u8> {
        let names = b"\0.shstrtab\0.modinfo\0";
        let (names_at, text_at) = (64, 64 + names.len());
        let sections_at = (text_at + modinfo.len()).next_multiple_of(8);
        let mut file = vec![0; sections_at];
        file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        // Relocatable, x86-64, version 1; the table of sections, its entries' size, their number, which holds the names.
        file[16..24].copy_from_slice(&[1, 0, 62, 0, 1, 0, 0, 0]);
        file[40..48].copy_from_slice(&(sections_at as u64).to_le_bytes());
        file[52..64].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 1, 0]);
        file[names_at..text_at].copy_from_slice(names);
        file[text_at..text_at + modinfo.len()].copy_from_slice(modinfo);
        let section = |name: u32, kind: u32, at: usize, size: usize| {
            let mut entry = [name.to_le_bytes(), kind.to_le_bytes()].concat();
            for number in [0, 0, at as u64, size as u64, 0, 1, 0] {
                entry.extend_from_slice(&number.to_le_bytes());
            }
            entry
        };
        file.extend(section(0, 0, 0, 0));
        file.extend(section(1, 3, names_at, names.len()));
        file.extend(section(11, 1, text_at, modinfo.len()));
        file
    }

    const MODINFO: &[u8] = b"license=GPL\0description=A driver \xff\0version=1.2\0depends=\0";

    #[test]
    fn each_way_of_packing_is_read_and_none_beyond_the_limit() {
        let plain = module(MODINFO);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(&plain).unwrap();
        let zst = ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        let folder = tempfile::tempdir().unwrap();
        let files =
            [("ko", plain.clone()), ("ko.gz", gz.finish().unwrap()), ("ko.xz", xz.finish().unwrap()), ("ko.zst", zst)];
        let root = Root::new(folder.path());
        for (ending, bytes) in files {
            std::fs::write(folder.path().join(format!("a.{ending}")), &bytes).unwrap();
            let path = format!("/a.{ending}");
            assert_eq!(unpack(&root, &path, plain.len()).as_ref(), Some(&plain), "{path}");
            assert_eq!(unpack(&root, &path, plain.len() - 1), None, "{path}");
            std::fs::write(folder.path().join(format!("torn.{ending}")), &bytes[..bytes.len() / 2]).unwrap();
            assert_eq!(unpack(&root, &format!("/torn.{ending}"), 10).map(|bytes| bytes.len()), None, "{path}");
        }
        let mut found = Vec::new();
        read(&root, &["/missing.ko", "/a.ko.xz", "/a.ko"], |at, info| found.push((at, info.description)));
        found.sort();
        assert_eq!(found, [(1, Some(b"A driver \xff".to_vec())), (2, Some(b"A driver \xff".to_vec()))]);
        assert_eq!(parse(&plain).unwrap().version, Some(b"1.2".to_vec()));
    }

    proptest::proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0..usize::MAX, byte in proptest::prelude::any::<u8>()) {
            let mut module = module(MODINFO);
            let at = at % module.len();
            module[at] = byte;
            parse(&module);
        }
    }
}
