//! Known products whose executable is on the disk, whether it runs or not.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Product;
use super::known::Known;
use crate::Root;

/// Where executables are installed.
const FOLDERS: [&str; 10] = [
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/local/nginx/sbin",
    "/usr/local/apache2/bin",
    "/usr/lib/postfix/sbin",
    "/opt/IBM/HTTPServer/bin",
];
/// Programs that are many in one file: a link of another name to them is no product of its own.
const MANY_IN_ONE: [&str; 3] = ["busybox", "toybox", "coreutils"];

/// Products by the path of their executable, links followed.
pub(crate) type Installed = BTreeMap<String, &'static Product>;

/// Finds the products that are installed.
pub(crate) fn find(root: &Root) -> Installed {
    let known = Known::new();
    let mut found = Installed::new();
    let base = root.resolve("/").unwrap_or_default();
    for folder in FOLDERS {
        for name in root.list(folder).unwrap_or_default() {
            let path = format!("{folder}/{name}");
            let Some(product) = known.by_path(&path) else { continue };
            let Ok(metadata) = root.metadata(&path) else { continue };
            if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
                continue;
            }
            let real = root.resolve(&path).and_then(|path| if root.is_host() { path.canonicalize() } else { Ok(path) });
            let Ok(real) = real else { continue };
            let Some(real) = seen_from(&base, &real) else { continue };
            let name = real.rsplit('/').next().unwrap_or_default();
            if !MANY_IN_ONE.contains(&name) {
                // By the name of the file itself where that is known: `mysqld` may be a link to `mariadbd`.
                found.insert(real.clone(), known.by_path(&real).unwrap_or(product));
            }
        }
    }
    found
}

fn seen_from(base: &Path, path: &Path) -> Option<String> {
    Some(format!("/{}", path.strip_prefix(base).ok()?.to_str()?))
}
