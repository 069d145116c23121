//! What this process has cost so far.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::Root;

/// Hundredths of a second are what the kernel counts in.
const MILLISECONDS_PER_TICK: u64 = 10;

/// Processor time and memory of this process. What the kernel does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time in milliseconds, the kernel's work for it included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milliseconds: Option<u64>,
    /// The most memory that it held at once, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

impl Cost {
    /// Reads it from the kernel's own tables.
    pub fn read() -> Self {
        let own = Root::default();
        let stat = own.read_trimmed("/proc/self/stat");
        let times = stat.as_ref().and_then(|stat| {
            let (_, rest) = stat.rsplit_once(')')?;
            let mut times = rest.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
            Some(times.next()? + times.next()?)
        });
        let status = own.read_trimmed("/proc/self/status");
        let peak = status.as_ref().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        Cost {
            cpu_milliseconds: times.map(|ticks| ticks * MILLISECONDS_PER_TICK),
            peak_bytes: peak.map(|kib| kib * 1024),
        }
    }

    /// Prints it as a line of JSON.
    pub fn print(&self, mut out: impl Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            record: &'static str,
            #[serde(flatten)]
            cost: &'a Cost,
        }
        serde_json::to_writer(&mut out, &Line { record: "cost", cost: self })?;
        out.write_all(b"\n")
    }
}
