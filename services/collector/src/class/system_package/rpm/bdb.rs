//! rpm's database as it was kept before the others: a hash of Berkeley DB.
//!
//! The file is pages of one size, numbered from 0, and its numbers are in the byte order of the machine that made it. Page
//! 0 begins with a magic number, which tells that order; it has the pages' size, the last page and the hash's buckets.
//! Buckets come in groups, each as long as all before it together, on pages that follow each other: a table says for each
//! group what to add to a bucket's number to get its first page. The bucket's further pages are chained.
//!
//! A bucket's page has, after its head, the offsets of its items, a key and a value in turn. The items fill the page from
//! its end: each reaches up to the one before. An item is its kind and its bytes, or its kind, the first of a chain of
//! overflow pages, and how many bytes those hold. A key is the number of a header, the value the header; what stands under
//! number 0 is a counter.
//!
//! Of our own: the crates for it bind the library in C, or hold a whole database in memory, follow a chain that is a loop
//! for ever, leave out headers that need no overflow page, and bring a second SQLite.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

const MAGIC: u32 = 0x0006_1561;
/// What page 0 holds is shorter than the shortest page.
const META: usize = 512;
const META_TYPE: u8 = 8;
/// Where the table of groups is in page 0, and how many there can be.
const GROUPS: usize = 96;
const GROUP_COUNT: usize = 32;

const HEAD: usize = 26;
/// Pages of a bucket, whose keys are sorted or are not.
const BUCKET_TYPES: [u8; 2] = [13, 2];
const OVERFLOW_TYPE: u8 = 7;
const IN_PLACE: u8 = 1;
const OFF_PAGE: u8 = 3;

/// A header is seldom above one MiB (lists of files); what is above this is left out.
const HEADER_CAP: usize = 32 << 20;
/// Four GiB of the usual pages; large hosts have some 200 MiB.
const PAGES_CAP: u32 = 1 << 20;

/// Gives every header to `each`, with none for one that is too large or not where its bucket says.
pub(super) fn read(path: &Path, mut each: impl FnMut(i64, Option<&[u8]>)) -> Result<(), String> {
    let mut pages = Pages::open(path)?;
    let before = pages.mark()?;
    let (mut page, mut overflow, mut header) = (vec![0; pages.size], vec![0; pages.size], Vec::new());
    for bucket in 0..=pages.last_bucket {
        let mut next = pages.first(bucket).ok_or("a bucket has no page")?;
        while next != 0 {
            for pair in 0..pages.pairs(next, &mut page)? {
                let Some(number) = pages.key(&page, pair * 2) else {
                    each(0, None);
                    continue;
                };
                let value = match pages.item(&page, pair * 2 + 1) {
                    Some([IN_PLACE, value @ ..]) => Some(value),
                    Some(item @ [OFF_PAGE, ..]) if item.len() == 12 => {
                        let (first, length) = (pages.order.number(item, 4), pages.order.number(item, 8));
                        pages.chain(first, length, &mut overflow, &mut header).map(|()| &header[..])
                    }
                    _ => None,
                };
                let is_counter = number == 0 && value.is_some_and(|value| value.len() == 4);
                if !is_counter {
                    each(i64::from(number), value);
                }
            }
            next = pages.order.number(&page, 16);
        }
    }
    if pages.mark()? != before {
        return Err("the database changed while it was read".to_owned());
    }
    Ok(())
}

/// The byte order of a database.
#[derive(Clone, Copy)]
enum Order {
    Low,
    High,
}

impl Order {
    fn number(self, bytes: &[u8], at: usize) -> u32 {
        let number = if matches!(self, Order::Low) { u32::from_le_bytes } else { u32::from_be_bytes };
        bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, number)
    }

    fn short(self, bytes: &[u8], at: usize) -> u16 {
        let number = if matches!(self, Order::Low) { u16::from_le_bytes } else { u16::from_be_bytes };
        bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, number)
    }
}

/// The pages of a database.
struct Pages {
    file: File,
    order: Order,
    size: usize,
    last_bucket: u32,
    /// For each group of buckets what to add to a bucket's number.
    groups: [u32; GROUP_COUNT],
    /// The pages that were read. None has two places, so that no loop makes the reading longer than the file.
    seen: Vec<bool>,
}

impl Pages {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let unknown = || "not a database of rpm".to_owned();
        let mut meta = [0; META];
        file.read_exact_at(&mut meta, 0).map_err(|_| unknown())?;
        let order = [Order::Low, Order::High].into_iter().find(|order| order.number(&meta, 12) == MAGIC);
        let order = order.ok_or_else(unknown)?;
        let number = |at: usize| order.number(&meta, at);
        let (version, size, last) = (number(16), number(20), number(32));
        // Neither encryption nor checksums or parts, which rpm has no use for.
        let is_plain = meta[24..27] == [0, META_TYPE, 0] && (8..=10).contains(&version);
        if !is_plain || !size.is_power_of_two() || !(512..=65_536).contains(&size) || last > PAGES_CAP {
            return Err(unknown());
        }
        if file.metadata().map_err(|e| e.to_string())?.len() < (u64::from(last) + 1) * u64::from(size) {
            return Err("the database is cut off".to_owned());
        }
        let groups = std::array::from_fn(|group| number(GROUPS + group * 4));
        let seen = (0..=last).map(|page| page == 0).collect();
        Ok(Pages { order, size: size as usize, last_bucket: number(72), groups, seen, file })
    }

    /// What tells that nobody wrote in the meantime.
    fn mark(&self) -> Result<(u64, Option<SystemTime>), String> {
        let file = self.file.metadata().map_err(|e| e.to_string())?;
        Ok((file.len(), file.modified().ok()))
    }

    /// The first page of a bucket. A bucket's group is told by the number's highest bit.
    fn first(&self, bucket: u32) -> Option<u32> {
        let group = self.groups.get((u32::BITS - bucket.leading_zeros()) as usize)?;
        bucket.checked_add(*group).filter(|&page| page != 0)
    }

    fn read(&mut self, page: u32, types: &[u8], into: &mut [u8]) -> Result<(), String> {
        match self.seen.get_mut(page as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("page {page} is named and is not there, or is named twice")),
        }
        self.file.read_exact_at(into, u64::from(page) * self.size as u64).map_err(|e| e.to_string())?;
        if self.order.number(into, 8) != page || !types.contains(&into[25]) {
            return Err(format!("page {page} is not what it is named as"));
        }
        Ok(())
    }

    /// Reads a page of a bucket and tells how many pairs are on it: items that do not lie over each other.
    fn pairs(&mut self, page: u32, into: &mut [u8]) -> Result<usize, String> {
        self.read(page, &BUCKET_TYPES, into)?;
        let count = usize::from(self.order.short(into, 20));
        let mut end = self.size;
        for index in 0..count {
            let begin = usize::from(self.order.short(into, HEAD + index * 2));
            if begin < HEAD + count * 2 || begin > end {
                return Err(format!("the items of page {page} are not where it says"));
            }
            end = begin;
        }
        Ok(count / 2)
    }

    fn item<'a>(&self, page: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let offset = |index: usize| usize::from(self.order.short(page, HEAD + index * 2));
        let end = if index == 0 { self.size } else { offset(index - 1) };
        page.get(offset(index)..end)
    }

    fn key(&self, page: &[u8], index: usize) -> Option<u32> {
        match self.item(page, index)? {
            [IN_PLACE, key @ ..] if key.len() == 4 => Some(self.order.number(key, 0)),
            _ => None,
        }
    }

    /// Reads what a chain of overflow pages holds. Nothing is allocated for what is declared and not there.
    fn chain(&mut self, first: u32, length: u32, page: &mut [u8], into: &mut Vec<u8>) -> Option<()> {
        let length = usize::try_from(length).ok().filter(|&length| length <= HEADER_CAP)?;
        into.clear();
        let mut next = first;
        while into.len() < length {
            self.read(next, &[OVERFLOW_TYPE], page).ok()?;
            let used = usize::from(self.order.short(page, 22));
            let part = page.get(HEAD..HEAD + used).filter(|part| part.len() <= length - into.len())?;
            into.extend_from_slice(part);
            next = self.order.number(page, 16);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A database of one bucket with the counter and a header of one byte.
    fn database() -> Vec<u8> {
        let mut bytes = vec![0; 2 * META];
        let mut put = |at: usize, part: &[u8]| bytes[at..][..part.len()].copy_from_slice(part);
        for (at, number) in [(12, MAGIC), (16, 9), (20, META as u32), (32, 1), (GROUPS, 1), (META + 8, 1)] {
            put(at, &number.to_le_bytes());
        }
        put(25, &[META_TYPE]);
        put(META + 20, &[4, 0, 0, 0, 0, BUCKET_TYPES[0], 251, 1, 246, 1, 241, 1, 239, 1]);
        put(META + 239 + 256, &[IN_PLACE, b'x', IN_PLACE, 7, 0, 0, 0, IN_PLACE, 1, 0, 0, 0, IN_PLACE, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_database_that_changes_meanwhile_is_not_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&database()).unwrap();
        let path = file.path().to_owned();
        let mut found = Vec::new();
        read(&path, |number, header| found.push((number, header.map(<[u8]>::to_vec)))).unwrap();
        assert_eq!(found, [(7, Some(vec![b'x']))]);
        let changed = read(&path, |_, _| file.write_all(b"x").unwrap());
        assert_eq!(changed, Err("the database changed while it was read".to_owned()));
    }
}
