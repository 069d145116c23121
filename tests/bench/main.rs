//! Measures reports and lists of assets against limits taken in the same run.
//!
//! `cargo run --release -p cwpp-tests --bin bench -- --mysql mysql://root:…@127.0.0.1:3306 [--machines 500] [--runs 3] [WHAT]`
//!
//! `reports` (what is done where nothing is named): the real inventory binary on a fresh database; every machine
//! registers, reports 1,000 items over all classes once (the first report), the same again (the unchanged report), 20
//! changes over three classes, and 1,000 other items (delete and insert). In between the limit of the first: the rows that
//! it left behind, in all tables that a report writes, inserted raw into another fresh database with the same tables. Both
//! begin on a server at rest.
//! `in-flight`: the first report with every machine at once. `pages`: every order of a class with a million rows.
//! `ready`: from the start of each service to ready.

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

mod fleet;
mod items;
mod pages;
mod process;
mod raw;
mod ready;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use cwpp_contracts::inventory::v1::{AssetClass, AssetItem};
use cwpp_tests::process::Process;
use sqlx::Connection;
use sqlx::mysql::{MySqlConnection, MySqlPool};

use crate::fleet::Fleet;
use crate::items::{MIX, items};

/// Names the tables that a report writes, counts among them; liveness is the heartbeat's.
async fn tables(pool: &MySqlPool) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT CAST(table_name AS CHAR) FROM information_schema.tables
               WHERE table_schema = DATABASE() AND table_name LIKE 'asset\\_%' ORDER BY table_name";
    Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
}

#[derive(Parser)]
struct Arguments {
    /// A MySQL server on which databases may be created, by a user that may.
    #[arg(long, env = "CWPP_TEST_MYSQL_URL")]
    mysql: String,
    /// Machines.
    #[arg(long, default_value_t = 500)]
    machines: usize,
    /// Reports in flight.
    #[arg(long, default_value_t = 16)]
    callers: usize,
    /// Runs; the median of each figure counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// The services reach the server by TCP; the limit goes by the server's Unix socket all the same.
    #[arg(long)]
    tcp: bool,
    /// Classes whose lists are measured, by name; all of them where it is `all`.
    #[arg(long, value_delimiter = ',', default_value = "process")]
    class: Vec<String>,
    /// A command that restarts the server: pages are cold behind it.
    #[arg(long)]
    restart: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// What is measured.
    #[arg(value_enum, default_value_t = What::Reports)]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Reports against the raw insert.
    Reports,
    /// Reports of all machines at once.
    InFlight,
    /// Lists of a million rows.
    Pages,
    /// Each service's start.
    Ready,
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
    changed_seconds: f64,
    replaced_seconds: f64,
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
    match arguments.what {
        What::Reports => {}
        What::InFlight => return in_flight(&arguments).await,
        What::Pages => return pages::run(&arguments).await,
        What::Ready => return ready::run(&arguments).await,
    }
    let mut runs = Vec::new();
    for _ in 0..arguments.runs {
        runs.push(run(&arguments).await?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
        return held(&runs);
    }
    let of = |figure: fn(&Run) -> f64| median(&runs, figure);
    println!(
        "{} machines of {} rows over all classes, {} callers, {} runs; of each figure the median:",
        arguments.machines,
        rows_of_a_machine(),
        arguments.callers,
        runs.len()
    );
    println!(
        "  first report     {:.2} s, raw {:.2} s: ratio {:.2} (all runs: {})",
        of(|r| r.first_seconds),
        of(|r| r.raw_seconds),
        of(|r| r.ratio),
        runs.iter().map(|r| format!("{:.2}", r.ratio)).collect::<Vec<_>>().join(" ")
    );
    println!("  rows applied     {}, reports sent again {}", of(|r| r.rows as f64), of(|r| r.retries as f64));
    println!(
        "  µs of CPU a row  client {:.1}, inventory {:.1}, mysqld {:.1}; raw: mysqld {:.1}",
        of(|r| r.first_cpu_us_a_row.client),
        of(|r| r.first_cpu_us_a_row.inventory),
        of(|r| r.first_cpu_us_a_row.mysqld),
        of(|r| r.raw_cpu_us_a_row)
    );
    println!(
        "  unchanged        {:.2} s, {:.0} times less CPU of all processes, at most {} rows written",
        of(|r| r.unchanged_seconds),
        of(|r| r.unchanged_cpu_ratio),
        most(&runs, |r| r.unchanged_rows_written)
    );
    println!(
        "  20 changes       {:.2} s, all replaced {:.2} s: {:.1} times faster",
        of(|r| r.changed_seconds),
        of(|r| r.replaced_seconds),
        of(|r| r.replaced_seconds / r.changed_seconds)
    );
    println!(
        "  inventory        peak at most {} MiB, ready in {:.2} s",
        most(&runs, |r| r.peak_mib),
        of(|r| r.ready_seconds)
    );
    held(&runs)
}

/// The median of a figure over all runs.
fn median(runs: &[Run], figure: fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The most of a figure over all runs.
fn most(runs: &[Run], figure: fn(&Run) -> u64) -> u64 {
    runs.iter().map(figure).max().unwrap_or_default()
}

/// Fails where less was reached than is promised: by the median of each ratio, and by every run where there is no ratio.
fn held(runs: &[Run]) -> anyhow::Result<()> {
    let of = |figure: fn(&Run) -> f64| median(runs, figure);
    ensure_held(&[
        ("first report at least 0.5 of the raw insert", of(|r| r.ratio) >= 0.5),
        ("unchanged report 50 times less processor time", of(|r| r.unchanged_cpu_ratio) >= 50.0),
        ("unchanged report writes no row", most(runs, |r| r.unchanged_rows_written) == 0),
        ("20 changes 5 times faster than replacing", of(|r| r.replaced_seconds / r.changed_seconds) >= 5.0),
        (PEAK, most(runs, |r| r.peak_mib) < MOST_MIB),
    ])
}

/// Peak memory of inventory, in MiB.
const MOST_MIB: u64 = 256;
const PEAK: &str = "inventory below 256 MiB";

/// Fails with the promises that were not held.
fn ensure_held(promises: &[(&str, bool)]) -> anyhow::Result<()> {
    let broken: Vec<&str> = promises.iter().filter(|(_, held)| !held).map(|(promise, _)| *promise).collect();
    anyhow::ensure!(broken.is_empty(), "not held: {}", broken.join("; "));
    Ok(())
}

/// Refuses a server that answers before what was committed is on the disk: its figures say nothing.
async fn durable(admin: &mut MySqlConnection) -> anyhow::Result<()> {
    let sql = "SELECT CAST(CONCAT_WS(' ', @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin) AS CHAR)";
    let settings: String = sqlx::query_scalar(sql).fetch_one(&mut *admin).await?;
    anyhow::ensure!(
        settings == "1 1 1",
        "the server is not durable: innodb_flush_log_at_trx_commit, sync_binlog, log_bin are {settings}"
    );
    Ok(())
}

fn rows_of_a_machine() -> usize {
    MIX.iter().map(|(_, count)| count).sum()
}

/// A machine's items, none of them changed.
fn plain(n: usize) -> Vec<AssetItem> {
    items(n, &MIX, 0, |_| 0)
}

/// Starts inventory on a fresh database.
async fn start(
    arguments: &Arguments,
    admin: &mut MySqlConnection,
    folder: &Path,
) -> anyhow::Result<(Process, String, Duration)> {
    durable(admin).await?;
    let url = fresh(arguments, admin, "cwpp_bench_reports", arguments.tcp).await?;
    Process::migrate("cwpp-inventory", &[("database.url", url.clone())])?;
    let settings = [("database.url", url.clone()), ("log.level", "warn".into())];
    let mut inventory = Process::start("cwpp-inventory", &settings, folder)?;
    let ready = inventory.ready(Duration::from_secs(20)).await?;
    Ok((inventory, url, ready))
}

/// Every machine reports at the same moment.
async fn in_flight(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let (mut inventory, ..) = start(arguments, &mut admin, folder.path()).await?;
    let fleet = Fleet::enrol(inventory.grpc, arguments.machines, plain).await?;
    let first = fleet.report(arguments.machines).await?;
    let peak = process::peak_mib(inventory.id())?;
    inventory.stop()?;
    println!(
        "{} reports of {} rows in flight: {} applied in {:.2} s, {} sent again; inventory peak {peak} MiB",
        arguments.machines,
        rows_of_a_machine(),
        first.applied,
        first.time.as_secs_f64(),
        first.retries
    );
    ensure_held(&[("all applied", first.applied == arguments.machines), (PEAK, peak < MOST_MIB)])
}

async fn run(arguments: &Arguments) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let mysqld = mysqld(&mut admin).await?;
    let raw = fresh(arguments, &mut admin, "cwpp_bench_raw", false).await?;
    Process::migrate("cwpp-inventory", &[("database.url", raw.clone())])?;
    let (mut inventory, reports, ready) = start(arguments, &mut admin, folder.path()).await?;
    let mut fleet = Fleet::enrol(inventory.grpc, arguments.machines, plain).await?;

    rest(&mut admin).await?;
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
    let tables = tables(&pool).await?;
    settle(&pool).await?;
    let rows_before = written(&pool, &tables).await?;
    let quiet = cpu()?;
    let unchanged = fleet.report(arguments.callers).await?;
    let after = cpu()?;
    anyhow::ensure!(
        unchanged.unchanged == arguments.machines,
        "{} of {} reports were unchanged",
        unchanged.unchanged,
        arguments.machines
    );
    let unchanged_rows_written = written(&pool, &tables).await? - rows_before;
    let machines = raw::copy_out(&pool, &tables).await?;
    let rows: u64 = machines.iter().flat_map(|m| m.values()).map(|rows| rows.len() as u64).sum();

    rest(&mut admin).await?;
    let raw_before = process::cpu(mysqld)?;
    let raw_time = raw::insert(&raw, machines, 4).await?;
    let raw_cpu = process::cpu(mysqld)? - raw_before;
    rest(&mut admin).await?;

    fleet.change(|n| {
        items(n, &MIX, 0, |class| match class {
            AssetClass::Process => 10,
            AssetClass::ListeningPort | AssetClass::SystemPackage => 5,
            _ => 0,
        })
    });
    let changed = fleet.report(arguments.callers).await?;
    fleet.change(|n| items(n, &MIX, 1000, |_| 0));
    let replaced = fleet.report(arguments.callers).await?;
    for round in [&changed, &replaced] {
        anyhow::ensure!(round.applied == arguments.machines, "{} reports were applied", round.applied);
    }
    let peak_mib = process::peak_mib(inventory.id())?;
    inventory.stop()?;

    pool.close().await;

    let all = (arguments.machines * rows_of_a_machine()) as f64;
    let a_row = |from: Duration, to: Duration| (to - from).as_secs_f64() * 1e6 / all;
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
        raw_cpu_us_a_row: raw_cpu.as_secs_f64() * 1e6 / all,
        unchanged_seconds: unchanged.time.as_secs_f64(),
        unchanged_cpu_ratio: total(&before, &between) / total(&quiet, &after).max(0.001),
        unchanged_rows_written,
        changed_seconds: changed.time.as_secs_f64(),
        replaced_seconds: replaced.time.as_secs_f64(),
        peak_mib,
        ready_seconds: ready.as_secs_f64(),
    })
}

/// Makes an empty database and returns its URL.
async fn fresh(arguments: &Arguments, admin: &mut MySqlConnection, name: &str, by_tcp: bool) -> anyhow::Result<String> {
    use sqlx::{AssertSqlSafe, Executor};
    admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await?;
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    let server = &arguments.mysql;
    let base = server.split('?').next().unwrap_or(server).trim_end_matches('/');
    if by_tcp {
        return Ok(format!("{base}/{name}"));
    }
    // By the server's Unix socket: on TCP the bare driver waits tens of milliseconds for acknowledgements of large
    // statements, which would slow the limit more than what is held against it.
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

/// Waits until the server has written out and purged what came before, so that nothing of it is measured with what follows.
async fn rest(admin: &mut MySqlConnection) -> anyhow::Result<()> {
    use sqlx::Executor;
    // The lower mark cannot be above the upper one.
    let marks = "SELECT @@GLOBAL.innodb_max_dirty_pages_pct_lwm, @@GLOBAL.innodb_max_dirty_pages_pct";
    let (low, high): (f64, f64) = sqlx::query_as(marks).fetch_one(&mut *admin).await?;
    admin.execute("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, GLOBAL innodb_max_dirty_pages_pct = 0").await?;
    let mut left = (i64::MAX, i64::MAX);
    for _ in 0..600 {
        left = sqlx::query_as(
            "SELECT (SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'),
                    (SELECT CAST(variable_value AS SIGNED) FROM performance_schema.global_status
                     WHERE variable_name = 'Innodb_buffer_pool_pages_dirty')",
        )
        .fetch_one(&mut *admin)
        .await?;
        if left.0 < 100 && left.1 < 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let marks = "SET GLOBAL innodb_max_dirty_pages_pct = ?, GLOBAL innodb_max_dirty_pages_pct_lwm = ?";
    sqlx::query(marks).bind(high).bind(low).execute(&mut *admin).await?;
    anyhow::ensure!(
        left.0 < 100 && left.1 < 200,
        "the server is not at rest: {left:?} transactions and pages are left"
    );
    Ok(())
}

/// Waits until the changes of counts are folded, so that the folder's writes are nobody else's.
async fn settle(pool: &MySqlPool) -> anyhow::Result<()> {
    for _ in 0..600 {
        let pending: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM asset_count_delta").fetch_one(pool).await?;
        if pending == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("changes of counts are pending for a minute")
}

/// Counts what was ever written into the tables of a report, by the server's own statistics.
async fn written(pool: &MySqlPool, tables: &[String]) -> anyhow::Result<u64> {
    let mut rows = 0;
    for table in tables {
        let (n,): (i64,) = sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(count_insert + count_update + count_delete), 0) AS SIGNED)
             FROM performance_schema.table_io_waits_summary_by_table WHERE object_schema = DATABASE() AND object_name = ?",
        )
        .bind(table)
        .fetch_one(pool)
        .await?;
        rows += n.unsigned_abs();
    }
    Ok(rows)
}
