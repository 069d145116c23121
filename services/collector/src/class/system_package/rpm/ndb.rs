//! rpm's database as SUSE keeps it: pages of slots, each naming the blocks of one header. Numbers are written with the
//! low byte first.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const FILE_MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const HEADER_MAGIC: &[u8] = b"BlbS";
const PAGE: u64 = 4096;
const BLOCK: u64 = 16;
/// A header is seldom above one MiB (lists of files); what is above this is left out.
const HEADER_CAP: u32 = 32 << 20;
/// A page holds 256 slots: more packages than any host has.
const PAGES_CAP: u32 = 4096;

/// Gives every header to `each`, with none for one that is too large or not where its slot says.
pub(super) fn read(path: &Path, mut each: impl FnMut(i64, Option<&[u8]>)) -> Result<(), String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut page = vec![0; PAGE as usize];
    file.read_exact_at(&mut page[..32], 0).map_err(|e| e.to_string())?;
    let (generation, pages) = (number(&page, 8), number(&page, 12));
    if !page.starts_with(FILE_MAGIC) || pages == 0 || pages > PAGES_CAP {
        return Err("not a database of rpm".to_owned());
    }
    for at in 0..u64::from(pages) {
        file.read_exact_at(&mut page, at * PAGE).map_err(|e| e.to_string())?;
        // The file's own head takes the place of the first two slots.
        let slots = page.chunks_exact(16).skip(if at == 0 { 2 } else { 0 });
        for slot in slots.filter(|slot| slot.starts_with(SLOT_MAGIC) && number(slot, 4) != 0) {
            let (package, offset) = (number(slot, 4), u64::from(number(slot, 8)) * BLOCK);
            each(i64::from(package), header(&file, offset, package).as_deref());
        }
    }
    // Each change of the database counts its generation on.
    file.read_exact_at(&mut page[..32], 0).map_err(|e| e.to_string())?;
    if number(&page, 8) != generation {
        return Err("the database changed while it was read".to_owned());
    }
    Ok(())
}

fn header(file: &File, offset: u64, package: u32) -> Option<Vec<u8>> {
    let mut head = [0; 16];
    file.read_exact_at(&mut head, offset).ok()?;
    let length = number(&head, 12);
    if !head.starts_with(HEADER_MAGIC) || number(&head, 4) != package || length > HEADER_CAP {
        return None;
    }
    // What is declared and not there is not allocated.
    if u64::from(length) > file.metadata().ok()?.len().saturating_sub(offset) {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, offset + 16).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}
