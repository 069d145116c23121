//! Conditions that the database cannot tell, and that are asked of each row of a range.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::{StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_versions::{Ecosystem, Version};

/// A condition on an item.
pub struct Sieve(Box<dyn Fn(&Item) -> bool + Send + Sync>);

impl Sieve {
    /// Makes a condition.
    pub fn new(passes: impl Fn(&Item) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(passes))
    }

    /// Says whether an item meets it.
    pub fn passes(&self, item: &Item) -> bool {
        (self.0)(item)
    }
}

impl std::fmt::Debug for Sieve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sieve(..)")
    }
}

/// A version that others are held against, read once.
#[derive(Debug)]
pub struct Bound(Vec<Version<'static>>);

impl Bound {
    /// Reads the bound `path.version_below` of a query in the orders that come into question. It needs an exact name,
    /// since only then the rows are few, and has to be a version in one of the orders; none where it is not asked for.
    pub fn read(
        path: &str,
        below: &str,
        name: Option<&StringMatch>,
        ecosystems: &[Ecosystem],
        violations: &mut Violations,
    ) -> Option<Self> {
        if below.is_empty() {
            return None;
        }
        let field = format!("{path}.version_below");
        let exact = name.is_some_and(|by| matches!(by.how, Some(How::Exact(_))));
        violations.check(exact, &field, "needs an exact name as the driving filter");
        let short = below.len() <= 255;
        if !violations.check(short, &field, format!("must have at most 255 bytes, has {}", below.len())) {
            return None;
        }
        let versions = ecosystems.iter().map(|ecosystem| Version::new(*ecosystem, below).into_owned());
        let versions: Vec<_> = versions.filter(Version::is_version).collect();
        violations.check(!versions.is_empty(), &field, "is no version of this kind of package");
        Some(Self(versions))
    }

    /// Says whether a version is below the bound by the order of its ecosystem. A text that is no version is never.
    pub fn is_above(&self, ecosystem: Ecosystem, version: &str) -> bool {
        let version = Version::new(ecosystem, version);
        let bound = self.0.iter().find(|bound| bound.ecosystem() == ecosystem);
        version.is_version() && bound.is_some_and(|bound| version < *bound)
    }
}
