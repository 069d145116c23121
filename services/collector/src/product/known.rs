//! Which product a process is of.

use std::collections::HashMap;

use super::{PRODUCTS, Product};
use crate::process::Process;

/// Programs that run others' programs: what they run is told by an argument.
const INTERPRETERS: [&str; 9] = ["java", "python", "pypy", "node", "nodejs", "ruby", "perl", "php", "beam.smp"];
/// So many arguments of an interpreter are looked at.
const MARKERS_CAP: usize = 2_000;

/// The table of the products, by what they are told by.
pub(super) struct Known {
    binaries: HashMap<&'static str, &'static Product>,
    /// By the end of the executable's path, of those whose name is another product's as well.
    paths: Vec<(&'static str, &'static Product)>,
    markers: HashMap<&'static str, &'static Product>,
    prefixes: Vec<(&'static str, &'static Product)>,
}

impl Known {
    pub(super) fn new() -> Self {
        let mut known =
            Known { binaries: HashMap::new(), paths: Vec::new(), markers: HashMap::new(), prefixes: Vec::new() };
        for product in PRODUCTS {
            for name in product.binaries {
                if name.contains('/') {
                    known.paths.push((name, product));
                } else {
                    known.binaries.insert(name, product);
                }
            }
            for marker in product.arguments {
                match marker.strip_suffix('*') {
                    Some(prefix) => known.prefixes.push((prefix, product)),
                    None => _ = known.markers.insert(marker, product),
                }
            }
        }
        known
    }

    pub(super) fn recognise(&self, process: &Process) -> Option<&'static Product> {
        let first = process.args().next().map(last_part).map(|name| {
            let end = name.iter().position(|byte| matches!(byte, b':' | b' ')).unwrap_or(name.len());
            &name[..end]
        });
        let path = loaded(process).or(process.exe.as_deref()).or_else(|| process.args().next());
        if let Some(product) = path.and_then(|path| self.by_end(std::str::from_utf8(path).ok()?)) {
            return Some(product);
        }
        // Where the executable may not be seen, its name is what the process says.
        let loaded = loaded(process).map(last_part);
        let name =
            loaded.or_else(|| process.exe_name()).or(first).filter(|name| !name.is_empty()).unwrap_or(&process.name);
        let name = std::str::from_utf8(name).ok()?;
        if INTERPRETERS.contains(&name) || INTERPRETERS.contains(&bare(name)) {
            let marked = process.args().skip(1).take(MARKERS_CAP).find_map(|arg| {
                let arg = std::str::from_utf8(last_part(arg)).ok()?;
                let by_prefix = || self.prefixes.iter().find(|(prefix, _)| arg.starts_with(prefix)).map(|(_, p)| *p);
                self.markers.get(arg).copied().or_else(by_prefix)
            });
            if marked.is_some() {
                return marked;
            }
        }
        self.by_binary(name)
    }

    /// The product of an executable's path.
    pub(super) fn by_path(&self, path: &str) -> Option<&'static Product> {
        self.by_end(path).or_else(|| self.by_binary(path.rsplit('/').next().unwrap_or(path)))
    }

    fn by_end(&self, path: &str) -> Option<&'static Product> {
        let is = |end: &str| path.strip_suffix(end).is_some_and(|before| before.ends_with('/'));
        self.paths.iter().find(|(end, _)| is(end)).map(|(_, product)| *product)
    }

    /// The product of an executable's file name.
    fn by_binary(&self, name: &str) -> Option<&'static Product> {
        self.binaries.get(name).or_else(|| self.binaries.get(bare(name))).copied()
    }

    /// The argument that a product was told by.
    pub(super) fn marker<'a>(product: &Product, args: &'a [String]) -> Option<&'a str> {
        let is_marker = |arg: &str| {
            let name = arg.rsplit('/').next().unwrap_or(arg);
            product.arguments.iter().any(|marker| match marker.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *marker,
            })
        };
        args.iter().skip(1).map(String::as_str).find(|arg| is_marker(arg))
    }
}

/// The program that the dynamic loader runs, where it was called by its own name: the executable is then the loader.
pub(super) fn loaded(process: &Process) -> Option<&[u8]> {
    let is_loader = process.exe_name().is_some_and(|name| name.starts_with(b"ld-") && contains(name, b".so"));
    let mut args = process.args().skip(1).filter(|_| is_loader);
    while let Some(arg) = args.next() {
        match arg {
            b"--library-path" | b"--preload" | b"--argv0" | b"--audit" | b"--glibc-hwcaps-prepend" => _ = args.next(),
            arg if arg.starts_with(b"--") => {}
            arg => return arg.starts_with(b"/").then_some(arg),
        }
    }
    None
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// A program's name without the version at its end: `php-fpm8.2` is `php-fpm`.
fn bare(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-')
}
