//! The command line that every service has.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Context, Service, start};
use crate::clock::Clock;
use crate::config::{self, Settings, Sources};
use crate::telemetry;

/// What to do with the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Migrate {
    /// Applies what is missing.
    Up,
    /// Shows what is applied and what is missing.
    Status,
    /// Shows the statements that `up` would run.
    Plan,
}

#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli {
    /// A TOML file; may be given several times, later ones win.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One setting, which wins over files and environment; may be given several times.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve,
    /// Looks after the database's schema.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the version.
    Version,
}

#[derive(Clone, Copy, Subcommand)]
enum ConfigCommand {
    /// Prints what is in effect as TOML, secrets hidden.
    Print,
    /// Reads it and says what is wrong; exit code 2 if anything is.
    Check,
    /// Prints its JSON schema.
    Schema,
}

/// The whole `main` of a service. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
pub fn main<S: Service>() -> ExitCode {
    main_from::<S>(std::env::args_os())
}

/// [`main`] with arguments of one's own, the program's name first.
pub fn main_from<S: Service>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Cli::command().name(S::NAME).about(format!("The {} service.", S::NAME));
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let sources = Sources { files: cli.config, sets: cli.set, environment: None };
    match cli.command {
        Command::Version => finish(print(&format!("{} {} ({})", S::NAME, crate::VERSION, crate::COMMIT)), 1),
        Command::Config(ConfigCommand::Schema) => finish(
            serde_json::to_string_pretty(&config::schema::<S::Config>()).map_err(Into::into).and_then(|s| print(&s)),
            1,
        ),
        Command::Config(ConfigCommand::Print) => {
            finish(load::<S>(&sources).and_then(|settings| print(&toml_of(&settings)?)), 2)
        }
        Command::Config(ConfigCommand::Check) => {
            finish(load::<S>(&sources).and_then(|_| print("the configuration is valid")), 2)
        }
        Command::Migrate(command) => match load::<S>(&sources) {
            Ok(settings) => finish(run(migrate::<S>(settings, command)), 1),
            Err(error) => finish(Err(error), 2),
        },
        Command::Serve => match load::<S>(&sources) {
            Ok(settings) => finish(run(serve::<S>(settings)), 1),
            Err(error) => finish(Err(error), 2),
        },
    }
}

fn load<S: Service>(sources: &Sources) -> anyhow::Result<Settings<S::Config>> {
    let settings = Settings::load(S::NAME, sources, S::insecure)?;
    S::check(&settings)?;
    Ok(settings)
}

fn toml_of<C: serde::Serialize>(settings: &Settings<C>) -> anyhow::Result<String> {
    fn without_nulls(value: &mut serde_json::Value) {
        if let serde_json::Value::Object(map) = value {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
    }
    let mut value = settings.redacted();
    without_nulls(&mut value);
    Ok(toml::to_string_pretty(&value)?)
}

fn run<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let result = runtime.block_on(future);
    telemetry::flush();
    // A blocking task that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

async fn migrate<S: Service>(settings: Settings<S::Config>, command: Migrate) -> anyhow::Result<()> {
    telemetry::init(S::NAME, &settings.chassis.log, &settings.chassis.trace)?;
    let Settings { chassis, service: config } = settings;
    let context = Context { config, chassis, clock: Clock::system(), shutdown: CancellationToken::new() };
    print(&S::migrate(context, command).await?)
}

async fn serve<S: Service>(settings: Settings<S::Config>) -> anyhow::Result<()> {
    telemetry::init(S::NAME, &settings.chassis.log, &settings.chassis.trace)?;
    tracing::info!(config = %settings.redacted(), "the configuration in effect");
    let hard = settings.chassis.shutdown.hard;
    let mut stop = Signals::new()?;
    let running = tokio::select! {
        running = start::<S>(settings, Clock::system()) => running?,
        // A start that hangs can still be ended.
        () = stop.next() => return Ok(()),
    };
    stop.next().await;
    tokio::select! {
        () = running.stop() => {}
        () = tokio::time::sleep(hard) => tracing::error!(?hard, "the hard limit of the shutdown is reached"),
        () = stop.next() => tracing::warn!("a second signal: ending at once"),
    }
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        // The reader has seen enough (`config print | head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn finish(result: anyhow::Result<()>, failure: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(failure)
        }
    }
}
