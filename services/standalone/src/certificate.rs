//! `cwpp certificate`: looks at certificates of deletion, without any service.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use cwpp_retention::certificate::PublicKey;

/// Looks at certificates of deletion, without any service.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum CertificateCommand {
    /// Verifies a certificate against the provider's public key.
    Verify {
        /// The certificate as it was given.
        file: PathBuf,
        /// The provider's public key (PEM), got by another way than the certificate.
        #[arg(long)]
        key: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl CertificateCommand {
    /// Does what was asked; a certificate that does not hold is an error.
    pub(crate) fn run(&self, mut out: impl Write) -> anyhow::Result<()> {
        let Self::Verify { file, key, json } = self;
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let key = PublicKey::from_file(key)?;
        let certificate = cwpp_retention::certificate::verify(&text, &key)?;
        if *json {
            serde_json::to_writer_pretty(&mut out, &certificate)?;
            writeln!(out)?;
        } else {
            writeln!(out, "the certificate holds")?;
        }
        Ok(())
    }
}
