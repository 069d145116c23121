//! The usual figures of a process and its runtime, read when they are asked for.

use std::fmt::Write as _;

/// Linux counts processor time in these parts of a second for every program.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends `process_*` and `tokio_*`. What cannot be read is left out.
pub(super) fn render(text: &mut String) {
    let mut put = |name: &str, kind: &str, value: f64| {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    };
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for (key, name) in [("VmRSS:", "process_resident_memory_bytes"), ("VmHWM:", "process_peak_memory_bytes")] {
            let kib =
                status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok());
            if let Some(kib) = kib {
                put(name, "gauge", kib * 1024.0);
            }
        }
    }
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // The name of the program, in parentheses, may hold spaces; the fields after it do not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        if let (Some(user), Some(system)) = (field(11), field(12)) {
            put("process_cpu_seconds_total", "counter", (user + system) / TICKS_PER_SECOND);
        }
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        put("process_open_fds", "gauge", files.count() as f64);
    }
    if let Ok(handle) = tokio::runtime::Handle::try_current() {
        let runtime = handle.metrics();
        put("tokio_workers", "gauge", runtime.num_workers() as f64);
        put("tokio_alive_tasks", "gauge", runtime.num_alive_tasks() as f64);
        put("tokio_global_queue_depth", "gauge", runtime.global_queue_depth() as f64);
    }
}
