//! Processor and memory.

use super::{Resource, ResourceKind, TEXT_CAP, plausible};
use crate::text::Fields;
use crate::{ReadError, Root};

/// More than any machine's list of processors has.
const CPUINFO_CAP: usize = 16 << 20;

pub(super) fn read(root: &Root) -> Result<Resource, ReadError> {
    let memory = String::from_utf8_lossy(&root.read("/proc/meminfo")?).into_owned();
    let (cpuinfo, _) = root.read_head("/proc/cpuinfo", CPUINFO_CAP).unwrap_or_default();
    let mut fields = Fields::default();
    let mut id = |field: &str, name: &str| {
        let (text, _) = root.read_head(&format!("/sys/class/dmi/id/{name}"), 4_096).ok()?;
        let text = fields.text(field, text.trim_ascii(), TEXT_CAP);
        (!text.is_empty()).then_some(text)
    };
    let manufacturer = id("manufacturer", "sys_vendor");
    let product_name = id("product_name", "product_name");
    let serial_number = id("serial_number", "product_serial");
    let cpu_model = model(&cpuinfo).map(|model| fields.text("cpu_model", model, TEXT_CAP));
    let size_bytes = kibibytes(&memory, "MemTotal:");
    let available = kibibytes(&memory, "MemAvailable:");
    Ok(Resource {
        kind: ResourceKind::Hardware,
        size_bytes,
        used_bytes: size_bytes.zip(available).map(|(size, available)| size.saturating_sub(available)),
        swap_bytes: kibibytes(&memory, "SwapTotal:"),
        cpu_count: count(root),
        cpu_model,
        manufacturer,
        product_name,
        serial_number,
        escaped: fields.escaped,
        truncated: fields.truncated,
        ..Resource::default()
    })
}

/// x86 and LoongArch, POWER, ARM boards, RISC-V and s390 name it differently.
fn model(cpuinfo: &[u8]) -> Option<&[u8]> {
    [&b"model name"[..], b"Model Name", b"cpu", b"Model", b"uarch", b"machine"].into_iter().find_map(|wanted| {
        cpuinfo.split(|&byte| byte == b'\n').find_map(|line| {
            let at = line.iter().position(|&byte| byte == b':')?;
            let value = line[at + 1..].trim_ascii();
            (line[..at].trim_ascii() == wanted && !value.is_empty()).then_some(value)
        })
    })
}

/// Counts the lines `cpu0`, `cpu1`, … of `/proc/stat`, which are the same on every architecture.
fn count(root: &Root) -> Option<u32> {
    let stat = root.read("/proc/stat").ok()?;
    let is_cpu =
        |line: &&[u8]| line.strip_prefix(b"cpu").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    u32::try_from(stat.split(|&byte| byte == b'\n').filter(is_cpu).count()).ok().filter(|&count| count > 0)
}

fn kibibytes(info: &str, key: &str) -> Option<u64> {
    let rest = info.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024).and_then(plausible)
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn a_processors_model_is_found_on_other_architectures() {
        assert_eq!(model(b"processor\t: 0\nmodel\t\t: 7\nmodel name\t: EPYC \xb5\n"), Some(&b"EPYC \xb5"[..]));
        assert_eq!(model(b"processor\t: 0\nBogoMIPS\t: 48.00\nModel\t\t: Board 4\n"), Some(&b"Board 4"[..]));
        assert_eq!(model(b"cpu\t\t: POWER9\n"), Some(&b"POWER9"[..]));
        assert_eq!(model(b"processor: 0\n\n:::\n"), None);
    }
}
