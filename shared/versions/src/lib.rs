//! The order of versions, ecosystem by ecosystem: the same two texts may be in another order in each.
//!
//! [`compare`] is a total order over all texts, so that a list of versions can be sorted whatever is in it. A text that
//! is no version of its ecosystem comes before all that are, and those among themselves byte by byte; [`is_version`]
//! tells which are which. Nothing here fails or panics.
//!
//! ```
//! use cwpp_versions::{Ecosystem, compare};
//! use std::cmp::Ordering::{Greater, Less};
//!
//! assert_eq!(compare(Ecosystem::Dpkg, "1.0~rc1-1", "1.0-1"), Less);
//! assert_eq!(compare(Ecosystem::SemVer, "1.0.0-rc.1", "1.0.0-rc.1.1"), Less);
//! assert_eq!(compare(Ecosystem::Maven, "1.0-rc1", "1.0-sp1"), Less);
//! assert_eq!(compare(Ecosystem::PyPi, "1!0.1", "2.0"), Greater);
//! ```

mod maven;

use std::borrow::Cow;
use std::cmp::Ordering;

/// Whose order of versions it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// Debian's: epoch, upstream version, revision (`deb-version(7)`).
    Dpkg,
    /// rpm's: epoch, version, release (`rpm-version(7)`).
    Rpm,
    /// Python's (PEP 440).
    PyPi,
    /// Maven's (the version order of the POM reference).
    Maven,
    /// Semantic Versioning 2.0.0; a leading `v` is Go's, and build metadata does not count.
    SemVer,
}

impl Ecosystem {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Dpkg, Self::Rpm, Self::PyPi, Self::Maven, Self::SemVer];
}

/// A version of an ecosystem, read once and compared often. Versions of different ecosystems are in the order of these.
#[derive(Debug, Clone)]
pub struct Version<'a> {
    text: Cow<'a, str>,
    ecosystem: Ecosystem,
    /// None where the text is no version.
    read: Option<Read<'a>>,
}

#[derive(Debug, Clone)]
enum Read<'a> {
    Dpkg(debversion::Version),
    Rpm(rpm_version::Evr<'a>),
    PyPi(Box<pep440_rs::Version>),
    Maven(maven::Version),
    SemVer(semver::Version),
}

impl<'a> Version<'a> {
    /// Reads a version; any text is taken.
    pub fn new(ecosystem: Ecosystem, text: &'a str) -> Self {
        let read = match ecosystem {
            Ecosystem::Dpkg => dpkg(text).map(Read::Dpkg),
            Ecosystem::Rpm => rpm(text).map(Read::Rpm),
            Ecosystem::PyPi => text.parse().ok().map(|version| Read::PyPi(Box::new(version))),
            Ecosystem::Maven => maven::Version::read(text).map(Read::Maven),
            Ecosystem::SemVer => text.strip_prefix('v').unwrap_or(text).parse().ok().map(Read::SemVer),
        };
        Self { text: Cow::Borrowed(text), ecosystem, read }
    }

    /// Copies what is borrowed, so that the version can be kept.
    pub fn into_owned(self) -> Version<'static> {
        let read = self.read.map(|read| match read {
            Read::Dpkg(version) => Read::Dpkg(version),
            Read::Rpm(evr) => {
                let owned = |text: &str| Cow::Owned(text.to_owned());
                Read::Rpm(rpm_version::Evr::new(owned(evr.epoch()), owned(evr.version()), owned(evr.release())))
            }
            Read::PyPi(version) => Read::PyPi(version),
            Read::Maven(version) => Read::Maven(version),
            Read::SemVer(version) => Read::SemVer(version),
        });
        Version { text: Cow::Owned(self.text.into_owned()), ecosystem: self.ecosystem, read }
    }

    /// Returns whose order it has.
    pub fn ecosystem(&self) -> Ecosystem {
        self.ecosystem
    }

    /// Says whether the text is a version of its ecosystem.
    pub fn is_version(&self) -> bool {
        self.read.is_some()
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads a dpkg version. Underscores are against the policy, and out there all the same; dpkg compares them.
fn dpkg(text: &str) -> Option<debversion::Version> {
    let told = text.bytes().any(|b| b.is_ascii_alphanumeric());
    told.then(|| debversion::Version::parse_lenient(text).ok()).flatten()
}

/// Reads an rpm version: any text with a letter or a digit, where an epoch is a number. rpm itself compares anything;
/// what has neither letter nor digit would equal the empty text.
fn rpm(text: &str) -> Option<rpm_version::Evr<'_>> {
    let evr = rpm_version::Evr::parse(text);
    let epoch = evr.epoch().bytes().all(|b| b.is_ascii_digit()) && !text.starts_with(':');
    let told = evr.version().bytes().any(|b| b.is_ascii_alphanumeric());
    (epoch && told).then_some(evr)
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let read = match (&self.read, &other.read) {
            (Some(Read::Dpkg(a)), Some(Read::Dpkg(b))) => a.cmp(b),
            (Some(Read::Rpm(a)), Some(Read::Rpm(b))) => a.cmp(b),
            (Some(Read::PyPi(a)), Some(Read::PyPi(b))) => a.cmp(b),
            (Some(Read::Maven(a)), Some(Read::Maven(b))) => a.cmp(b),
            (Some(Read::SemVer(a)), Some(Read::SemVer(b))) => a.cmp_precedence(b),
            (None, None) => self.text.cmp(&other.text),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        self.ecosystem.cmp(&other.ecosystem).then(read)
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equal in order, which is more than equal in text: `1.0` and `1.0.0` may be.
impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}

/// Compares two versions by the order of their ecosystem.
pub fn compare(ecosystem: Ecosystem, a: &str, b: &str) -> Ordering {
    Version::new(ecosystem, a).cmp(&Version::new(ecosystem, b))
}

/// Says whether a text is a version of the ecosystem.
pub fn is_version(ecosystem: Ecosystem, text: &str) -> bool {
    Version::new(ecosystem, text).is_version()
}
