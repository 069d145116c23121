//! Package URLs of Debian packages.

use crate::machine::OperatingSystem;

/// The distribution in a package URL: its namespace and its `distro` qualifier.
#[derive(Debug)]
pub(super) struct Distribution {
    namespace: String,
    qualifier: String,
}

impl Distribution {
    pub(super) fn of(os: &OperatingSystem) -> Self {
        let namespace = os.id.clone().unwrap_or_else(|| "debian".to_owned());
        let qualifier = match &os.version_id {
            Some(version) => format!("&distro={}-{}", encode(&namespace), encode(version)),
            None => String::new(),
        };
        Distribution { namespace: encode(&namespace.to_ascii_lowercase()), qualifier }
    }

    pub(super) fn purl(&self, name: &str, version: &str, architecture: &str) -> String {
        let (name, version, architecture) = (encode(&name.to_ascii_lowercase()), encode(version), encode(architecture));
        format!("pkg:deb/{}/{name}@{version}?arch={architecture}{}", self.namespace, self.qualifier)
    }
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
            Distribution::of(&os).purl("g++", "4:12.2.0-3~x", "amd64"),
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3~x?arch=amd64&distro=debian-12"
        );
    }
}
