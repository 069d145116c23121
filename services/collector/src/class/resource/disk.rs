//! Mounted file systems that hold files, out of the first process's `mountinfo`.
//!
//! Left out: what holds no files of its own (proc, tmpfs, control groups and the like), what a part of another mount is
//! bound to, and overlays other than the root (one per container). Of several mounts over each other the topmost counts.
//! A file system in user space (FUSE) holds files unless it is known to hold none. Sizes of those and of network file systems
//! are not asked for: the far side may not answer, ever.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Resource, ResourceKind, TEXT_CAP, host_table, plausible};
use crate::class::ClassSnapshot;
use crate::machine::percent;
use crate::text::{self, Fields};
use crate::{ReadError, Root};

const PATH_CAP: usize = 4_096;
const FILESYSTEM_CAP: usize = 63;

/// Types that have no device and hold files all the same.
const LOCAL: [&[u8]; 6] = [b"btrfs", b"zfs", b"bcachefs", b"virtiofs", b"9p", b"ubifs"];
/// Types whose files are elsewhere.
const REMOTE: [&[u8]; 11] =
    [b"nfs", b"nfs4", b"cifs", b"smb3", b"smbfs", b"ceph", b"glusterfs", b"lustre", b"afs", b"ocfs2", b"gfs2"];
/// Types that hold no files of their own, whatever stands as their source.
const PSEUDO: [&[u8]; 11] = [
    b"tmpfs",
    b"ramfs",
    b"devtmpfs",
    b"proc",
    b"sysfs",
    b"autofs",
    b"cgroup",
    b"cgroup2",
    b"overlay",
    b"devpts",
    b"rootfs",
];
/// Those in user space that show what is elsewhere on the host: containers' own numbers, the folders of a desktop, the layers
/// of a container, what is dragged between machines.
const VIEWS: [&[u8]; 6] = [
    b"fuse.lxcfs",
    b"fuse.gvfsd-fuse",
    b"fuse.gvfs-fuse-daemon",
    b"fuse.portal",
    b"fuse.fuse-overlayfs",
    b"fuse.vmware-vmblock",
];
/// Below it desktops mount what has no name of its own.
const SESSIONS: &[u8] = b"/run/user/";

/// Types of images, which are full by nature.
const IMAGES: [&[u8]; 6] = [b"squashfs", b"iso9660", b"erofs", b"udf", b"cramfs", b"romfs"];

/// A line of `mountinfo`.
struct Mount<'a> {
    device: &'a [u8],
    part: Vec<u8>,
    path: Vec<u8>,
    filesystem: &'a [u8],
    source: Vec<u8>,
}

pub(super) fn read(root: &Root, snapshot: &mut ClassSnapshot) -> Result<Vec<Resource>, ReadError> {
    let (table, bytes) = host_table(root, "mountinfo")?;
    let mut mounts: BTreeMap<Vec<u8>, Mount<'_>> = BTreeMap::new();
    for (number, line) in text::lines(&bytes).filter(|(_, line)| !line.is_empty()) {
        match mount(line) {
            None => snapshot.skip(&table, number, "malformed"),
            Some(mount) => _ = mounts.insert(mount.path.clone(), mount),
        }
    }
    Ok(mounts.into_values().filter(holds_files).map(|mount| resource(root, &mount)).collect())
}

/// Returns how full the fullest is that may be written to, 0 to 100.
pub(crate) fn fullest(root: &Root) -> Option<f64> {
    let (_, bytes) = host_table(root, "mountinfo").ok()?;
    let mounts = text::lines(&bytes).filter_map(|(_, line)| mount(line)).filter(fills);
    let spaces = mounts.filter_map(|mount| space(root, &mount));
    spaces.filter_map(|(size, used)| percent(used, size)).max_by(f64::total_cmp)
}

/// A line is id, parent, device, root, mount point, options, further fields, `-`, type, source, options.
fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = line.split(|&byte| byte == b' ');
    let device = words.nth(2)?;
    let (part, path) = (words.next()?, words.next()?);
    words.by_ref().find(|word| *word == b"-")?;
    let (filesystem, source) = (words.next()?, words.next()?);
    (path.starts_with(b"/")).then(|| Mount {
        device,
        part: unescape(part),
        path: unescape(path),
        filesystem,
        source: unescape(source),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| matches!(d, b'0'..=b'7')));
        let value = digits.map(|digits| digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => {
                out.push(value);
                rest = &tail[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// Says whether it can be more or less full.
fn fills(mount: &Mount<'_>) -> bool {
    holds_files(mount) && !IMAGES.contains(&mount.filesystem)
}

fn holds_files(mount: &Mount<'_>) -> bool {
    let is_root = mount.path == b"/";
    if REMOTE.contains(&mount.filesystem) {
        return true;
    }
    if PSEUDO.contains(&mount.filesystem) || VIEWS.contains(&mount.filesystem) {
        return is_root && [&b"overlay"[..], b"fuse.fuse-overlayfs"].contains(&mount.filesystem);
    }
    if is_in_user_space(mount) {
        let is_unnamed = mount.filesystem == b"fuse" && mount.path.starts_with(SESSIONS);
        return (mount.part == b"/" || is_root) && !is_unnamed;
    }
    let is_local = LOCAL.contains(&mount.filesystem);
    // A subvolume is a part of its file system and a partition to its users all the same.
    let is_whole = mount.part == b"/" || is_root || is_local;
    is_whole && (is_local || mount.source.starts_with(b"/"))
}

/// One on a device (`fuseblk`) is as local as its device.
fn is_in_user_space(mount: &Mount<'_>) -> bool {
    mount.filesystem == b"fuse" || mount.filesystem.starts_with(b"fuse.")
}

fn resource(root: &Root, mount: &Mount<'_>) -> Resource {
    let mut fields = Fields::default();
    let name = fields.text("name", &mount.source, TEXT_CAP);
    let mount_path = fields.text("mount_path", &mount.path, PATH_CAP);
    let filesystem = fields.text("filesystem", mount.filesystem, FILESYSTEM_CAP);
    let (size_bytes, used_bytes) = space(root, mount).unzip();
    Resource {
        kind: ResourceKind::DiskPartition,
        name,
        mount_path: Some(mount_path),
        filesystem: Some(filesystem),
        size_bytes,
        used_bytes,
        escaped: fields.escaped,
        truncated: fields.truncated,
        ..Resource::default()
    }
}

/// Size and what of it is taken; none where the path leads to another file system than the one that is mounted there
/// (in a tree that was only copied, or where it is hidden).
fn space(root: &Root, mount: &Mount<'_>) -> Option<(u64, u64)> {
    if REMOTE.contains(&mount.filesystem) || is_in_user_space(mount) || mount.filesystem == b"9p" {
        return None;
    }
    let path = std::str::from_utf8(&mount.path).ok()?;
    let path = root.resolve(path).ok()?;
    // btrfs and the like show another device number to programs than in the table.
    let is_mounted = if root.is_host() {
        LOCAL.contains(&mount.filesystem) || device_of(&path)? == mount.device
    } else {
        let above = device_of(path.parent()?)?;
        device_of(&path)? == mount.device && above != mount.device
    };
    let space = if is_mounted { rustix::fs::statvfs(&path).ok()? } else { return None };
    let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
    Some((plausible(bytes(space.f_blocks))?, bytes(space.f_blocks.saturating_sub(space.f_bfree))))
}

fn device_of(path: &Path) -> Option<Vec<u8>> {
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path).ok()?);
    Some(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_never_the_fullest() {
        for (line, counts) in [
            ("1 0 254:0 / / rw - ext4 /dev/vda rw", true),
            ("1 0 7:0 / /snap/core20/2318 ro - squashfs /dev/loop0 ro", false),
            ("1 0 11:0 / /media/cdrom ro - iso9660 /dev/sr0 ro", false),
        ] {
            let mount = mount(line.as_bytes()).expect("a line");
            assert!(holds_files(&mount), "{line}");
            assert_eq!(fills(&mount), counts, "{line}");
        }
    }

    #[test]
    fn only_file_systems_that_hold_files_count() {
        for (line, counts) in [
            ("1 0 254:0 / / rw - ext4 /dev/vda rw", true),
            ("1 0 254:1 / /a\\040b rw shared:1 master:2 - xfs /dev/vdb1 rw", true),
            ("1 0 254:0 /var/x /mnt rw - ext4 /dev/vda rw", false),
            ("1 0 0:21 / /proc rw - proc proc rw", false),
            ("1 0 0:21 / /run rw - tmpfs tmpfs rw", false),
            ("1 0 0:21 /@home /home rw - btrfs /dev/vdc rw", true),
            ("1 0 0:21 / /pool rw - zfs tank rw", true),
            ("1 0 0:21 / /net rw - nfs4 server:/x rw", true),
            ("1 0 0:21 / / rw - overlay overlay rw", true),
            ("1 0 0:21 / /merged rw - overlay overlay rw", false),
            ("1 0 0:21 / /auto rw - autofs /etc/auto.misc rw", false),
            ("1 0 0:21 / /srv/a rw - fuse.s3fs s3fs rw", true),
            ("1 0 0:21 / /srv/b rw - fuse.sshfs ann@host:/ rw", true),
            ("1 0 0:21 / /etc/pve rw - fuse /dev/fuse rw", true),
            ("1 0 8:17 / /mnt/c rw - fuseblk /dev/sdb1 rw", true),
            ("1 0 0:21 /x /srv/c rw - fuse.s3fs s3fs rw", false),
            ("1 0 0:21 / /run/user/1/doc rw - fuse /dev/fuse rw", false),
            ("1 0 0:21 / /run/user/1/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw", false),
            ("1 0 0:21 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw", false),
            ("1 0 0:21 / /layers rw - fuse.fuse-overlayfs fuse-overlayfs rw", false),
            ("1 0 0:21 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw", true),
        ] {
            assert_eq!(holds_files(&mount(line.as_bytes()).unwrap()), counts, "{line}");
        }
    }

    #[test]
    fn a_path_is_read_as_the_kernel_wrote_it() {
        let line = b"1 0 254:1 / /a\\040b\\012\\\\xff rw shared:1 - xfs /dev/vdb1 rw";
        assert_eq!(mount(line).unwrap().path, b"/a b\n\\\\xff");
        assert_eq!(unescape(b"\\777\\04"), b"\\777\\04");
        for torn in [&b""[..], b"1 0", b"1 0 1:1 / / rw", b"1 0 1:1 / / rw -", b"1 0 1:1 / rel rw - ext4 x rw"] {
            assert!(mount(torn).is_none());
        }
    }
}
