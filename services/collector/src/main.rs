//! The collector's command.

use clap::Parser;

#[derive(Debug, Parser)]
#[command(version, about = "Reads a Linux host for the workload protection platform")]
enum Command {
    /// Reads this host, or a log of sshd, and prints what it found.
    Collect(cwpp_collector::command::CollectArgs),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Collect(args) => args.run(std::io::stdout().lock()),
    }
}
