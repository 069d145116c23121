//! The collector's command.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use cwpp_collector::command::{CollectArgs, ReportArgs, UnregisterArgs};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(version, about = "Reads a Linux host for the workload protection platform")]
enum Command {
    /// Reads this host, or a log of sshd, and prints what it found.
    Collect(CollectArgs),
    /// Reads this host and reports it, on and on.
    Report(Box<ReportArgs>),
    /// Tells that the agent was uninstalled.
    Unregister(UnregisterArgs),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Collect(args) => args.run(std::io::stdout().lock()),
        Command::Report(args) => until_told(args.run()),
        Command::Unregister(args) => until_told(args.run()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // The causes, without a backtrace: these are facts of the host or of the network, not faults of the program.
            _ = writeln!(std::io::stderr(), "error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn until_told(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    let mut terminate = signal(SignalKind::terminate())?;
    // What is under way may be cut off at any place: reports are applied whole, and the spool commits what it did.
    tokio::select! {
        result = work => result,
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
