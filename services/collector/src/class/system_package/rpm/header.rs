//! A header of rpm's database: an index of tags and a store of values.
//!
//! Of our own: the crate for rpm reads package files, whose headers begin with a lead and a signature that the database
//! does not keep, and decodes every tag, lists of files too, where ten are wanted. Files are walked in place.

const TAG_NAME: u32 = 1000;
const TAG_VERSION: u32 = 1001;
const TAG_RELEASE: u32 = 1002;
const TAG_EPOCH: u32 = 1003;
const TAG_SUMMARY: u32 = 1004;
const TAG_INSTALL_TIME: u32 = 1008;
const TAG_VENDOR: u32 = 1011;
const TAG_PACKAGER: u32 = 1015;
const TAG_ARCHITECTURE: u32 = 1022;
const TAG_SOURCE: u32 = 1044;
const TAG_FOLDER_NUMBERS: u32 = 1116;
const TAG_FILE_NAMES: u32 = 1117;
const TAG_FOLDERS: u32 = 1118;

const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
const TYPE_STRINGS: u32 = 8;
const TYPE_I18N_STRING: u32 = 9;
const ENTRY: usize = 16;

/// The tags that are wanted, as bytes of the header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) name: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) release: &'a [u8],
    pub(super) epoch: Option<u32>,
    pub(super) architecture: &'a [u8],
    /// The file name of the source package.
    pub(super) source: &'a [u8],
    pub(super) vendor: &'a [u8],
    pub(super) packager: &'a [u8],
    pub(super) summary: &'a [u8],
    pub(super) install_time: Option<u32>,
}

/// Reads a header; none when it is not one.
pub(super) fn parse(bytes: &[u8]) -> Option<Header<'_>> {
    let entries = usize::try_from(number(bytes, 0)?).ok()?;
    let length = usize::try_from(number(bytes, 4)?).ok()?;
    let begin = entries.checked_mul(ENTRY)?.checked_add(8)?;
    let store = bytes.get(begin..begin.checked_add(length)?)?;
    let mut header = Header::default();
    for entry in bytes[8..begin].chunks_exact(ENTRY) {
        let (tag, kind, offset) = (number(entry, 0)?, number(entry, 4)?, number(entry, 8)?);
        let Some(value) = store.get(usize::try_from(offset).ok()?..) else { continue };
        let text = || {
            let end = value.iter().position(|&byte| byte == 0)?;
            matches!(kind, TYPE_STRING | TYPE_I18N_STRING).then(|| &value[..end])
        };
        let integer = || number(value, 0).filter(|_| kind == TYPE_INT32);
        match tag {
            TAG_NAME => header.name = text()?,
            TAG_VERSION => header.version = text()?,
            TAG_RELEASE => header.release = text()?,
            TAG_ARCHITECTURE => header.architecture = text()?,
            TAG_SOURCE => header.source = text().unwrap_or_default(),
            TAG_VENDOR => header.vendor = text().unwrap_or_default(),
            TAG_PACKAGER => header.packager = text().unwrap_or_default(),
            TAG_SUMMARY => header.summary = text().unwrap_or_default(),
            TAG_EPOCH => header.epoch = integer(),
            TAG_INSTALL_TIME => header.install_time = integer(),
            _ => {}
        }
    }
    (!header.name.is_empty()).then_some(header)
}

/// Gives the paths of a package's files: each is a folder, by its number in the list of folders, and a name.
pub(super) fn files(bytes: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Option<()> {
    let entries = usize::try_from(number(bytes, 0)?).ok()?;
    let begin = entries.checked_mul(ENTRY)?.checked_add(8)?;
    let (index, store) = (bytes.get(8..begin)?, bytes.get(begin..)?);
    let values = |wanted: u32, of: u32| {
        let entry = index.chunks_exact(ENTRY).find(|entry| number(entry, 0) == Some(wanted))?;
        let value = store.get(usize::try_from(number(entry, 8)?).ok()?..)?;
        (number(entry, 4) == Some(of)).then_some((value, usize::try_from(number(entry, 12)?).ok()?))
    };
    let (numbers, count) = values(TAG_FOLDER_NUMBERS, TYPE_INT32)?;
    let (names, _) = values(TAG_FILE_NAMES, TYPE_STRINGS)?;
    let (folders, folder_count) = values(TAG_FOLDERS, TYPE_STRINGS)?;
    let folders: Vec<&[u8]> = folders.split(|&byte| byte == 0).take(folder_count).collect();
    for (numbers, name) in numbers.chunks_exact(4).take(count).zip(names.split(|&byte| byte == 0)) {
        let folder = number(numbers, 0).and_then(|at| folders.get(usize::try_from(at).ok()?));
        each(folder?, name);
    }
    Some(())
}

/// Numbers are written with the high byte first.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), entries in 0_u32..9, length in 0_u32..200) {
            parse(&bytes);
            files(&bytes, |_, _| ());
            files(&[&entries.to_be_bytes()[..], &length.to_be_bytes()[..], &bytes].concat(), |_, _| ());
            parse(&[&entries.to_be_bytes()[..], &length.to_be_bytes()[..], &bytes].concat());
        }
    }
}
