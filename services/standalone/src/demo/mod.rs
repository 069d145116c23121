//! `cwpp demo`: the whole way once, on this host, from enrolment to the certificate of deletion.
//!
//! The four services run in this process on embedded SQLite in a temporary folder and talk gRPC to each other; only
//! the wall clock is ours, so that seven days pass in seconds. [`story`] takes the steps, [`page`] prints them.

mod attack;
mod page;
mod story;

use std::io::Write;

use chrono::Utc;
use cwpp_chassis::Clock;

use crate::platform::{Platform, Ports};

/// Shows the platform at work on this host.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// Print one JSON object instead of the page.
    #[arg(long)]
    pub(crate) json: bool,
}

impl DemoArgs {
    /// Runs the demonstration.
    pub(crate) async fn run(&self, mut out: impl Write) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("cwpp-demo-").tempdir()?;
        let clock = Clock::manual(Utc::now());
        let platform = Platform::start(folder.path(), clock, Ports::Free).await?;
        let mut page = page::Page::new(&mut out, !self.json);
        let told = story::tell(&platform, folder.path(), &mut page).await;
        platform.stop().await;
        let summary = told?;
        if self.json {
            serde_json::to_writer_pretty(&mut out, &summary)?;
            writeln!(out)?;
        }
        Ok(())
    }
}
