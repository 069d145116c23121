//! `cwpp serve`: the platform on one machine.

use std::io::Write;
use std::path::PathBuf;

use cwpp_chassis::Clock;
use tokio::signal::unix::{SignalKind, signal};

use crate::platform::{Platform, Ports};

/// Serves all four services on loopback, each on a SQLite database below the folder, until SIGTERM or SIGINT.
///
/// There is no authentication: whoever reaches the ports may do everything.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where the databases, the signing key and the ledger are kept.
    #[arg(long, value_name = "DIR", default_value = "cwpp-data")]
    pub(crate) data: PathBuf,
    /// Listen on ports that are free, which are printed, instead of the services' own.
    #[arg(long)]
    pub(crate) free_ports: bool,
}

impl ServeArgs {
    /// Serves.
    pub(crate) async fn run(&self, mut out: impl Write) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.data)?;
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let ports = if self.free_ports { Ports::Free } else { Ports::Default };
        let platform = Platform::start(&self.data, Clock::system(), ports).await?;
        let services = [
            ("inventory", &platform.inventory),
            ("incidents", &platform.incidents),
            ("configuration", &platform.configuration),
            ("retention", &platform.retention),
        ];
        for (name, service) in services {
            writeln!(out, "{name:<14}gRPC {}   admin http://{}", service.grpc_addr, service.admin_addr)?;
        }
        writeln!(out, "insecure, on loopback only; Ctrl-C ends it")?;
        out.flush()?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        platform.stop().await;
        Ok(())
    }
}
