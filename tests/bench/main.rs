//! Measures reports of assets against a limit taken in the same run.
//!
//! `cargo run --release -p cwpp-tests --bin bench -- --mysql mysql://root:…@127.0.0.1:3306 [--machines 500] [--runs 3]`
//!
//! One run: the real inventory binary on a fresh database; every machine registers, reports once (the first report),
//! and reports the same again (the unchanged report). Then the limit: the rows that this left behind, in all tables
//! that a report writes, inserted raw into another fresh database with the same tables and indexes.

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

mod fleet;
mod process;
mod raw;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use cwpp_tests::process::Process;
use sqlx::Connection;
use sqlx::mysql::{MySqlConnection, MySqlPool};

use crate::fleet::Fleet;

/// Tables that a report writes; liveness is the heartbeat's.
const TABLES: &[&str] = &["asset_account", "asset_system_package", "asset_snapshot", "asset_count_delta"];

#[derive(Parser)]
struct Arguments {
    /// A MySQL server on which databases may be created, by a user that may.
    #[arg(long, env = "CWPP_TEST_MYSQL_URL")]
    mysql: String,
    /// Machines.
    #[arg(long, default_value_t = 500)]
    machines: usize,
    /// Accounts of each.
    #[arg(long, default_value_t = 24)]
    accounts: usize,
    /// Packages of each.
    #[arg(long, default_value_t = 716)]
    packages: usize,
    /// Reports in flight.
    #[arg(long, default_value_t = 16)]
    callers: usize,
    /// Runs; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one run measured.
#[derive(Debug, serde::Serialize)]
struct Run {
    rows: u64,
    retries: u64,
    first_seconds: f64,
    raw_seconds: f64,
    ratio: f64,
    first_cpu_us_a_row: Cpu,
    raw_cpu_us_a_row: f64,
    unchanged_seconds: f64,
    unchanged_cpu_ratio: f64,
    unchanged_rows_written: u64,
    peak_mib: u64,
    ready_seconds: f64,
}

/// Processor time by process.
#[derive(Debug, serde::Serialize)]
struct Cpu {
    client: f64,
    inventory: f64,
    mysqld: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut runs = Vec::new();
    for _ in 0..arguments.runs {
        runs.push(run(&arguments).await?);
    }
    runs.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let median = &runs[runs.len() / 2];
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
        return Ok(());
    }
    println!(
        "{} machines of {} rows, {} callers, {} runs; the median run:",
        arguments.machines,
        arguments.accounts + arguments.packages,
        arguments.callers,
        runs.len()
    );
    println!(
        "  first report     {:.2} s, raw {:.2} s: ratio {:.2} (all runs: {})",
        median.first_seconds,
        median.raw_seconds,
        median.ratio,
        runs.iter().map(|r| format!("{:.2}", r.ratio)).collect::<Vec<_>>().join(" ")
    );
    println!("  rows applied     {}, reports sent again {}", median.rows, median.retries);
    println!(
        "  µs of CPU a row  client {:.1}, inventory {:.1}, mysqld {:.1}; raw: mysqld {:.1}",
        median.first_cpu_us_a_row.client,
        median.first_cpu_us_a_row.inventory,
        median.first_cpu_us_a_row.mysqld,
        median.raw_cpu_us_a_row
    );
    println!(
        "  unchanged        {:.2} s, {:.0} times less CPU of all processes, {} rows written",
        median.unchanged_seconds, median.unchanged_cpu_ratio, median.unchanged_rows_written
    );
    println!("  inventory        peak {} MiB, ready in {:.2} s", median.peak_mib, median.ready_seconds);
    Ok(())
}

async fn run(arguments: &Arguments) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let mysqld = mysqld(&mut admin).await?;
    let (reports, raw) = (
        fresh(&arguments.mysql, &mut admin, "cwpp_bench_reports").await?,
        fresh(&arguments.mysql, &mut admin, "cwpp_bench_raw").await?,
    );
    for url in [&reports, &raw] {
        Process::migrate("cwpp-inventory", &[("database.url", url.clone())])?;
    }
    let mut inventory = Process::start(
        "cwpp-inventory",
        &[("database.url", reports.clone()), ("log.level", "warn".into())],
        folder.path(),
    )?;
    let ready = inventory.ready(Duration::from_secs(20)).await?;
    let fleet = Fleet::enrol(inventory.grpc, arguments.machines, arguments.accounts, arguments.packages).await?;

    let me = std::process::id();
    let cpu = || anyhow::Ok([process::cpu(me)?, process::cpu(inventory.id())?, process::cpu(mysqld)?]);
    let before = cpu()?;
    let first = fleet.report(arguments.callers).await?;
    let between = cpu()?;
    anyhow::ensure!(
        first.applied == arguments.machines,
        "{} of {} reports were applied",
        first.applied,
        arguments.machines
    );
    let pool = MySqlPool::connect(&reports).await?;
    let rows_before = written(&pool).await?;
    let quiet = cpu()?;
    let unchanged = fleet.report(arguments.callers).await?;
    let after = cpu()?;
    anyhow::ensure!(
        unchanged.unchanged == arguments.machines,
        "{} of {} reports were unchanged",
        unchanged.unchanged,
        arguments.machines
    );
    let unchanged_rows_written = written(&pool).await? - rows_before;
    let peak_mib = process::peak_mib(inventory.id())?;
    inventory.stop()?;

    let machines = raw::copy_out(&pool, TABLES).await?;
    let rows: u64 = machines.iter().flat_map(|m| m.values()).map(|rows| rows.len() as u64).sum();
    pool.close().await;
    let raw_before = process::cpu(mysqld)?;
    let raw_time = raw::insert(&raw, machines, 4).await?;
    let raw_cpu = process::cpu(mysqld)? - raw_before;

    let items = (arguments.machines * (arguments.accounts + arguments.packages)) as f64;
    let a_row = |from: Duration, to: Duration| (to - from).as_secs_f64() * 1e6 / items;
    let total = |from: &[Duration; 3], to: &[Duration; 3]| {
        from.iter().zip(to).map(|(a, b)| (*b - *a).as_secs_f64()).sum::<f64>()
    };
    Ok(Run {
        rows,
        retries: first.retries,
        first_seconds: first.time.as_secs_f64(),
        raw_seconds: raw_time.as_secs_f64(),
        ratio: raw_time.as_secs_f64() / first.time.as_secs_f64(),
        first_cpu_us_a_row: Cpu {
            client: a_row(before[0], between[0]),
            inventory: a_row(before[1], between[1]),
            mysqld: a_row(before[2], between[2]),
        },
        raw_cpu_us_a_row: raw_cpu.as_secs_f64() * 1e6 / items,
        unchanged_seconds: unchanged.time.as_secs_f64(),
        unchanged_cpu_ratio: total(&before, &between) / total(&quiet, &after).max(0.001),
        unchanged_rows_written,
        peak_mib,
        ready_seconds: ready.as_secs_f64(),
    })
}

/// Makes an empty database and returns its URL.
async fn fresh(server: &str, admin: &mut MySqlConnection, name: &str) -> anyhow::Result<String> {
    use sqlx::{AssertSqlSafe, Executor};
    admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await?;
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    let base = server.split('?').next().unwrap_or(server).trim_end_matches('/');
    // By the server's Unix socket: on TCP the driver waits tens of milliseconds for acknowledgements of large statements,
    // which would slow the limit more than what is held against it.
    let socket: String = sqlx::query_scalar("SELECT CAST(@@socket AS CHAR)").fetch_one(&mut *admin).await?;
    Ok(format!("{base}/{name}?socket={socket}"))
}

/// Returns the server's process id; it runs on this machine.
async fn mysqld(admin: &mut MySqlConnection) -> anyhow::Result<u32> {
    let file: String = sqlx::query_scalar("SELECT CAST(@@pid_file AS CHAR)").fetch_one(&mut *admin).await?;
    let data: String = sqlx::query_scalar("SELECT CAST(@@datadir AS CHAR)").fetch_one(&mut *admin).await?;
    let path = PathBuf::from(data).join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim().parse()?)
}

/// Counts what was ever written into the tables of a report, by the server's own statistics.
async fn written(pool: &MySqlPool) -> anyhow::Result<u64> {
    let mut rows = 0;
    for table in TABLES {
        let (n,): (i64,) = sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(count_insert + count_update + count_delete), 0) AS SIGNED)
             FROM performance_schema.table_io_waits_summary_by_table WHERE object_schema = DATABASE() AND object_name = ?",
        )
        .bind(*table)
        .fetch_one(pool)
        .await?;
        rows += n.unsigned_abs();
    }
    Ok(rows)
}
