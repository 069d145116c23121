//! Keys: the one that signs, from a PEM file (PKCS #8), and those that verify (SPKI).

use std::path::Path;

use anyhow::Context as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// A key that verifies certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl AsRef<VerifyingKey> for PublicKey {
    fn as_ref(&self) -> &VerifyingKey {
        &self.0
    }
}

impl PublicKey {
    /// Reads a key as `GetCertificate` gives it (`-----BEGIN PUBLIC KEY-----`).
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).context("not an Ed25519 public key in PEM")?;
        anyhow::ensure!(!key.is_weak(), "the public key is a weak one");
        Ok(Self(key))
    }

    /// Reads a key from a file.
    pub fn from_file(file: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(file).with_context(|| format!("public key {}", file.display()))?;
        Self::from_pem(&pem).with_context(|| format!("public key {}", file.display()))
    }

    /// Writes it.
    pub fn to_pem(&self) -> anyhow::Result<String> {
        self.0.to_public_key_pem(LineEnding::LF).context("the public key cannot be written")
    }

    /// Returns a short name of it: the first 16 hex digits of its SHA-256.
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0.as_bytes())[..8])
    }
}

/// The key that signs certificates. Shows its fingerprint only.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signer").field(&self.public().fingerprint()).finish()
    }
}

impl Signer {
    /// Makes a new key.
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// Reads a private key (`-----BEGIN PRIVATE KEY-----`, as `openssl genpkey -algorithm ed25519` writes it).
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        Ok(Self(SigningKey::from_pkcs8_pem(pem.trim()).context("not an Ed25519 private key in PEM (PKCS #8)")?))
    }

    /// Reads the key of the settings. Where anybody may do anything anyway (`insecure`), a missing file is made, and
    /// without a file the key lives as long as the process.
    pub fn open(file: Option<&Path>, insecure: bool) -> anyhow::Result<Self> {
        let Some(file) = file else {
            anyhow::ensure!(
                insecure,
                "signing.key_file is mandatory: the file of the Ed25519 key that certificates are signed with \
                 (openssl genpkey -algorithm ed25519 -out FILE)"
            );
            tracing::warn!("no signing.key_file: certificates are signed with a key that dies with this process");
            return Ok(Self::generate());
        };
        let at = || format!("signing.key_file = {}", file.display());
        if insecure && !file.exists() {
            Self::create(file).with_context(at)?;
        }
        let pem = std::fs::read_to_string(file).with_context(at)?;
        Self::from_pem(&pem).with_context(at)
    }

    /// Makes the file of a new key, unless another replica makes it first: it is written whole beside its place, then
    /// linked there, which fails where there is one.
    fn create(file: &Path) -> anyhow::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let pem = Self::generate().0.to_pkcs8_pem(LineEnding::LF).context("the signing key cannot be written")?;
        let beside = file.with_extension(format!("{}.new", std::process::id()));
        let mut opened =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        opened.write_all(pem.as_bytes())?;
        let linked = std::fs::hard_link(&beside, file);
        std::fs::remove_file(&beside)?;
        match linked {
            Ok(()) => tracing::warn!(file = %file.display(), "made a new signing key"),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.0
    }

    /// Returns the key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing.pem");
        let made = Signer::open(Some(&file), true).unwrap();
        let read = Signer::open(Some(&file), false).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(PublicKey::from_pem(&made.public().to_pem().unwrap()).unwrap(), made.public());
        assert!(Signer::from_pem(&made.public().to_pem().unwrap()).is_err());
    }

    #[test]
    fn without_a_key_only_an_insecure_service_starts() {
        assert!(Signer::open(None, true).is_ok());
        assert!(Signer::open(None, false).unwrap_err().to_string().contains("signing.key_file"));
        assert!(Signer::open(Some(Path::new("/nonexistent/key.pem")), false).is_err());
    }
}
