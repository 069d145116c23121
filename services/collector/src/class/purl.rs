//! Package URLs.

use crate::machine::OperatingSystem;

/// The distribution in a package URL: its namespace and its `distro` qualifier.
#[derive(Debug)]
pub(super) struct Distribution {
    /// None on a host that does not name itself.
    namespace: Option<String>,
    qualifier: String,
}

impl Distribution {
    pub(super) fn of(os: &OperatingSystem) -> Self {
        let qualifier = match (&os.id, &os.version_id) {
            (Some(id), Some(version)) => format!("&distro={}-{}", encode(id), encode(version)),
            _ => String::new(),
        };
        Distribution { namespace: os.id.as_ref().map(|id| encode(&id.to_ascii_lowercase())), qualifier }
    }

    /// The URL of a package of dpkg.
    pub(super) fn deb(&self, name: &str, version: &str, architecture: &str) -> String {
        let (name, version, architecture) = (encode(&name.to_ascii_lowercase()), encode(version), encode(architecture));
        let namespace = self.namespace.as_deref().unwrap_or("debian");
        format!("pkg:deb/{namespace}/{name}@{version}?arch={architecture}{}", self.qualifier)
    }

    /// The URL of a package of rpm; the epoch is a qualifier, and the version has none.
    pub(super) fn rpm(&self, name: &str, version: &str, architecture: &str) -> String {
        let (epoch, version) = match version.split_once(':') {
            Some((epoch, version)) => (format!("&epoch={}", encode(epoch)), version),
            None => (String::new(), version),
        };
        let (name, version, architecture) = (encode(name), encode(version), encode(architecture));
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("pkg:rpm/{namespace}{name}@{version}?arch={architecture}{}{epoch}", self.qualifier)
    }
}

/// The URL of an artifact of Maven.
pub(super) fn maven(group: &str, name: &str, version: &str) -> String {
    let version = if version.is_empty() { String::new() } else { format!("@{}", encode(version)) };
    format!("pkg:maven/{}/{}{version}", encode(group), encode(name))
}

/// The URL of a distribution on PyPI, by its normalised name.
pub(super) fn pypi(name: &str, version: &str) -> String {
    format!("pkg:pypi/{}@{}", encode(name), encode(version))
}

/// The standard leaves letters, digits, `.-_~` and the colon as they are.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_names_distribution_and_architecture() {
        let os = OperatingSystem { id: Some("debian".into()), version_id: Some("12".into()), ..Default::default() };
        assert_eq!(
            Distribution::of(&os).deb("g++", "4:12.2.0-3~x", "amd64"),
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3~x?arch=amd64&distro=debian-12"
        );
        assert_eq!(
            Distribution::of(&os).rpm("Perl", "4:5.32-1", "x86_64"),
            "pkg:rpm/debian/Perl@5.32-1?arch=x86_64&distro=debian-12&epoch=4"
        );
        assert_eq!(maven("org.a", "b", "1"), "pkg:maven/org.a/b@1");
        assert_eq!(pypi("torch", "2.1+cpu"), "pkg:pypi/torch@2.1%2Bcpu");
    }
}
