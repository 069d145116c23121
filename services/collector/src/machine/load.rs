//! How busy the machine is: travels with the heartbeat, not with the report.

use serde::{Deserialize, Serialize};

use crate::Root;
use crate::class::resource::disk;

/// Processor, memory and disk load, and how many processes want to run. What is unknown is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Busy time of all processors since the last sample, 0–100; absent in the first sample.
    pub cpu_percent: Option<f64>,
    /// Memory in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Memory that is not available to a new program, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Space taken of the fullest disk, 0–100.
    pub disk_percent: Option<f64>,
    /// Processes that ran or waited to, on average over the last minute.
    pub load_average: Option<f64>,
}

impl Load {
    /// Memory taken, 0–100.
    pub fn memory_percent(&self) -> Option<f64> {
        percent(self.memory_used_bytes?, self.memory_total_bytes?)
    }
}

/// Takes samples of the load; the processors' share is that between two samples.
#[derive(Debug)]
pub struct LoadSampler {
    root: Root,
    last: Option<(u64, u64)>,
}

impl LoadSampler {
    /// A sampler of the machine below `root`.
    pub fn new(root: Root) -> Self {
        LoadSampler { root, last: None }
    }

    /// Takes a sample.
    pub fn sample(&mut self) -> Load {
        let mut load = Load::default();
        if let Some(stat) = self.root.read_trimmed("/proc/stat") {
            let ticks = ticks(&stat);
            if let (Some((busy, all)), Some((last_busy, last_all))) = (ticks, self.last) {
                load.cpu_percent = percent(busy.saturating_sub(last_busy), all.saturating_sub(last_all));
            }
            self.last = ticks;
        }
        if let Some(info) = self.root.read_trimmed("/proc/meminfo") {
            load.memory_total_bytes = kibibytes(&info, "MemTotal:");
            load.memory_used_bytes = load
                .memory_total_bytes
                .zip(kibibytes(&info, "MemAvailable:"))
                .map(|(total, available)| total.saturating_sub(available));
        }
        load.load_average = self.root.read_trimmed("/proc/loadavg").and_then(|text| average(&text));
        load.disk_percent = disk::fullest(&self.root);
        load
    }
}

/// Busy and all ticks. Guest time is part of user time already.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let values: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
    let all: u64 = values.iter().sum();
    let idle = values.get(3)? + values.get(4).copied().unwrap_or(0);
    Some((all.saturating_sub(idle), all))
}

/// The average of the last minute, the first word.
fn average(loadavg: &str) -> Option<f64> {
    let average: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    (average.is_finite() && average >= 0.0).then_some(average)
}

fn kibibytes(info: &str, key: &str) -> Option<u64> {
    let rest = info.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

pub(crate) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 100.0).clamp(0.0, 100.0))
}
