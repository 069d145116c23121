//! The command: arguments and what they do, for the collector's own binary and for `cwpp collect`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use chrono::Utc;

use crate::authlog::{self, Reader, YearRule, Zone};
use crate::{Root, collect, print_snapshot};

/// Reads this host, or a log, and prints what it found. Nothing is sent anywhere.
#[derive(Debug, Clone, clap::Args)]
pub struct CollectArgs {
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// The file tree to read.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Read this log of sshd and print its events, instead of the host.
    #[arg(long, value_name = "FILE")]
    pub auth_log: Option<PathBuf>,
    /// The year of the log's first line, for logs that write none; else the latest that fits.
    #[arg(long, value_name = "YEAR", requires = "auth_log", value_parser = clap::value_parser!(i32).range(1970..=9998))]
    pub year: Option<i32>,
}

impl CollectArgs {
    /// Does what the arguments ask for and prints JSON, which is the only form so far.
    pub fn run(&self, out: impl Write) -> anyhow::Result<()> {
        let mut out = BufWriter::new(out);
        let root = Root::new(&self.root);
        let printed = match &self.auth_log {
            None => print_snapshot(&collect(&root, Utc::now()), &mut out),
            Some(path) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                // A log that was put aside ends in the year in which it was last written.
                let written = file.metadata()?.modified().map_or_else(|_| Utc::now(), chrono::DateTime::from);
                let year = self.year.map_or(YearRule::Before(written), YearRule::First);
                let mut reader = Reader::new(Zone::of(&root), year);
                let mut result = Ok(());
                authlog::read_events(BufReader::new(file), &mut reader, |event| {
                    if result.is_ok() {
                        result = authlog::print_events([&event], &mut out);
                    }
                })
                .with_context(|| format!("cannot read {}", path.display()))?;
                result
            }
        };
        match printed.and_then(|()| out.flush()) {
            // The reader of the output has seen enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}
