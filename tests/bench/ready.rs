//! How long each service takes from its start to ready, on a database that is migrated.

use std::time::Duration;

use cwpp_tests::process::Process;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

use crate::{Arguments, fresh};

/// What is promised.
const LIMIT: Duration = Duration::from_secs(1);

/// Starts every service some times and prints the times; a median over the limit is a failure.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let signing = folder.path().join("signing.pem").display().to_string();
    let mut late = Vec::new();
    println!("from the start of the process to ready, {} starts each, in milliseconds:", arguments.runs);
    for name in cwpp_tests::world::SERVICES {
        let program = format!("cwpp-{name}");
        let url = fresh(arguments, &mut admin, &format!("cwpp_bench_ready_{name}"), arguments.tcp).await?;
        let mut settings = vec![("database.url", url), ("log.level", "warn".to_owned())];
        if name == "retention" {
            settings.push(("signing.key_file", signing.clone()));
        }
        Process::migrate(&program, &settings)?;
        let mut times = Vec::new();
        for _ in 0..arguments.runs {
            let mut process = Process::start(&program, &settings, folder.path())?;
            times.push(process.ready(Duration::from_secs(20)).await?);
            process.stop()?;
        }
        times.sort();
        let told: Vec<_> = times.iter().map(|time| format!("{:.0}", time.as_secs_f64() * 1000.0)).collect();
        println!("  {name:<14} {}", told.join(" "));
        if times[times.len() / 2] >= LIMIT {
            late.push(name);
        }
    }
    anyhow::ensure!(late.is_empty(), "not ready within {LIMIT:?}: {}", late.join(", "));
    Ok(())
}
