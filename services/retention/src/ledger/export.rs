//! Appends the ledger to a file outside the database as it grows, so that a restored database can be held against it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use cwpp_access::{Job, SystemScope};
use cwpp_storage::Db;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::{self, GENESIS};
use super::store;

const BATCH: u64 = 500;
const LOOK: Duration = Duration::from_secs(1);

/// The job: looks for new entries when woken and once a second.
pub async fn run(db: Db, file: PathBuf, mut grown: watch::Receiver<u64>, shutdown: CancellationToken) {
    let mut at: Option<(i64, String)> = None;
    loop {
        match step(&db, &file, at.take()).await {
            Ok(reached) => at = Some(reached),
            Err(e) => {
                metrics::counter!("retention_ledger_export_errors_total").increment(1);
                tracing::error!(error = format!("{e:#}"), "the ledger could not be exported");
            }
        }
        tokio::select! {
            _ = grown.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // What came with the last step is exported too.
    if let Err(e) = step(&db, &file, at).await {
        tracing::error!(error = format!("{e:#}"), "the ledger could not be exported");
    }
}

/// Appends what is new; returns number and hash of the last entry in the file.
async fn step(db: &Db, file: &Path, at: Option<(i64, String)>) -> anyhow::Result<(i64, String)> {
    let (mut seq, mut hash) = match at {
        Some(at) => at,
        None => resume(file).await?,
    };
    loop {
        let lines = db
            .system_read(&SystemScope::job(Job::Deletions), |on| async move { store::after(&on, seq, BATCH).await })
            .await?;
        if lines.is_empty() {
            return Ok((seq, hash));
        }
        let mut text = String::new();
        for line in &lines {
            anyhow::ensure!(
                line.entry.seq == seq.unsigned_abs() + 1 && line.entry.prev == hash,
                "{} ends with entry {seq}, which is not what entry {} of the database follows: \
                 one of the two was restored or changed",
                file.display(),
                line.entry.seq
            );
            (seq, hash) = (seq + 1, line.hash.clone());
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        let mut out = tokio::fs::OpenOptions::new().create(true).append(true).open(file).await?;
        out.write_all(text.as_bytes()).await?;
        out.sync_data().await?;
    }
}

/// Reads where the file ends. A line that was cut by a crash is taken off.
async fn resume(file: &Path) -> anyhow::Result<(i64, String)> {
    let text = match tokio::fs::read_to_string(file).await {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((0, GENESIS.to_owned())),
        Err(e) => return Err(e).with_context(|| format!("ledger.file = {}", file.display())),
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        tracing::warn!(file = %file.display(), "the exported ledger ended in the middle of a line, which is written anew");
        tokio::fs::OpenOptions::new().write(true).open(file).await?.set_len(whole as u64).await?;
    }
    let (seq, hash) = entry::verify(&text[..whole]).with_context(|| format!("ledger.file = {}", file.display()))?;
    Ok((i64::try_from(seq)?, hash))
}
