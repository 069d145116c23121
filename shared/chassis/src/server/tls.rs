//! Certificates of the server, read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::{Tls, TlsMode};

/// How often the files are looked at when the settings do not say.
const RELOAD: Duration = Duration::from_secs(30);

/// The present certificates; each accepted connection takes those of its moment, client authorities included.
#[derive(Clone)]
pub(super) struct Acceptors {
    files: Arc<Files>,
    current: Arc<ArcSwap<ServerConfig>>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    interval: Duration,
}

impl Acceptors {
    /// None when transport security is off.
    pub(super) fn load(config: &Tls) -> anyhow::Result<Option<Self>> {
        if config.mode == TlsMode::Off {
            return Ok(None);
        }
        let file = |path: &Option<PathBuf>, key: &str| path.clone().with_context(|| format!("{key} is not set"));
        let files = Files {
            certificate: file(&config.cert_file, "tls.cert_file")?,
            key: file(&config.key_file, "tls.key_file")?,
            client_ca: match config.mode {
                TlsMode::Mutual => Some(file(&config.client_ca_file, "tls.client_ca_file")?),
                _ => None,
            },
            interval: config.reload_interval.filter(|interval| !interval.is_zero()).unwrap_or(RELOAD),
        };
        let current = Arc::new(ArcSwap::from_pointee(files.read()?.1));
        Ok(Some(Self { files: Arc::new(files), current }))
    }

    /// What the next connection is shown.
    pub(super) fn current(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Looks at the files until it is stopped; a bad file keeps what was read before.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let mut seen = self.files.read().map(|(bytes, _)| bytes).unwrap_or_default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.files.interval) => {}
                () = stop.cancelled() => return,
            }
            match self.files.read() {
                Ok((bytes, _)) if bytes == seen => {}
                Ok((bytes, config)) => {
                    seen = bytes;
                    self.current.store(Arc::new(config));
                    tracing::info!("the certificates were read again");
                    metrics::gauge!("config_reload_success").set(1.0);
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the certificates could not be read, the former stay");
                    metrics::gauge!("config_reload_success").set(0.0);
                }
            }
        }
    }
}

impl Files {
    /// The bytes of the public files, to see changes, and what they mean.
    fn read(&self) -> anyhow::Result<(Vec<u8>, ServerConfig)> {
        let mut bytes = read(&self.certificate)?;
        let chain = certificates(&bytes, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).with_context(|| format!("{}", self.key.display()))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let authorities = read(path)?;
                let mut roots = RootCertStore::empty();
                for certificate in certificates(&authorities, path)? {
                    roots.add(certificate)?;
                }
                bytes.extend(authorities);
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
                )
            }
        };
        let mut config = builder.with_single_cert(chain, key).context("certificate and key do not fit")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok((bytes, config))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}", path.display()))
}

fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().with_context(|| format!("{}", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}
