//! All four services in one process on embedded SQLite, and the command line of the platform.

mod certificate;
mod clients;
mod data_map;
mod demo;
pub mod platform;
mod serve;

use std::io::stdout;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The cloud workload protection platform on one machine.
#[derive(Debug, Parser)]
#[command(name = "cwpp", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Collect(cwpp_collector::command::CollectArgs),
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Prints the data catalogue: every field of the contracts with class, sensitivity and purpose.
    DataMap {
        /// Print JSON instead of Markdown.
        #[arg(long)]
        json: bool,
    },
}

/// The whole `main` of `cwpp`. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(demo) => block_on(demo.run(stdout())),
        Command::Serve(serve) => block_on(serve.run(stdout())),
        Command::Collect(collect) => collect.run(stdout()),
        Command::Certificate(certificate) => certificate.run(stdout()),
        Command::DataMap { json } => data_map::print(json, stdout()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Tells a person what went wrong.
#[allow(clippy::print_stderr, reason = "the command line speaks to people here, and nowhere else")]
fn complain(error: &anyhow::Error) {
    eprintln!("cwpp: {error:#}");
}
