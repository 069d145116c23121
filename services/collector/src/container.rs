//! Which container a process runs in, out of its control group.

/// A container, as far as a control group's path tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The program that runs it, where the path names it: `docker`, `containerd`, `cri-o` or `podman`.
    pub runtime: Option<&'static str>,
    /// Its id: 64 hex digits.
    pub id: String,
}

const ID_LENGTH: usize = 64;

impl Container {
    /// Reads `/proc/[pid]/cgroup`. A container inside another is the inner one. Ids of other lengths are not taken for
    /// a container's: too much else has names of hex digits.
    pub(crate) fn of(cgroup: &[u8]) -> Option<Container> {
        cgroup.split(|&byte| byte == b'\n').find_map(|line| {
            let path = line.splitn(3, |&byte| byte == b':').nth(2)?;
            let path = std::str::from_utf8(path).ok()?;
            path.rsplit('/').find_map(|part| container(part, path))
        })
    }
}

/// Such as `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>`, `libpod-<id>.scope`; with containerd's
/// own driver also `<slice>:cri-containerd:<id>`.
fn container(part: &str, path: &str) -> Option<Container> {
    let name = part.strip_suffix(".scope").or_else(|| part.strip_suffix(".service")).unwrap_or(part);
    let at = name.len().checked_sub(ID_LENGTH)?;
    let (before, id) = (name.get(..at)?, name.get(at..)?);
    if !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let prefix = before.trim_end_matches(['-', ':']);
    // The monitor beside a container carries its id, and is not in it.
    if (!before.is_empty() && prefix == before) || prefix.ends_with("conmon") {
        return None;
    }
    let runtime = match prefix.rsplit(':').next().unwrap_or_default() {
        "docker" => Some("docker"),
        "cri-containerd" | "nerdctl" | "containerd" => Some("containerd"),
        "crio" => Some("cri-o"),
        "libpod" => Some("podman"),
        _ if path.contains("/docker/") => Some("docker"),
        _ if path.contains("/libpod_parent/") => Some("podman"),
        _ => None,
    };
    Some(Container { runtime, id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtimes_path_is_known() {
        let id = "0123456789abcdef".repeat(4);
        for (path, runtime) in [
            (format!("0::/system.slice/docker-{id}.scope"), Some("docker")),
            (format!("4:memory:/docker/{id}"), Some("docker")),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), Some("containerd")),
            (
                format!("0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{id}"),
                Some("containerd"),
            ),
            (format!("1:cpu:/\n0::/kubepods/besteffort/pod1/{id}"), None),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/crio-{id}.scope/container"), Some("cri-o")),
            (format!("0::/machine.slice/libpod-{id}.scope/container"), Some("podman")),
            (format!("0::/docker/{}/kubelet/kubepods/cri-containerd-{id}.scope", "f".repeat(64)), Some("containerd")),
        ] {
            let container = Container::of(path.as_bytes()).unwrap();
            assert_eq!((container.runtime, container.id.as_str()), (runtime, id.as_str()), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_a_container_is_none() {
        let id = "a".repeat(64);
        for path in [
            "0::/".to_owned(),
            "0::/user.slice/user-1000.slice/session-1.scope".to_owned(),
            format!("0::/machine.slice/libpod-conmon-{id}.scope"),
            format!("0::/x{id}"),
            format!("0::/{}", "A".repeat(64)),
            format!("0::/{}", "a".repeat(40)),
            format!("0::/docker-{}\u{e9}", "a".repeat(63)),
        ] {
            assert_eq!(Container::of(path.as_bytes()), None, "{path}");
        }
        assert_eq!(Container::of(b"0::/\xff\n:::\n\n0"), None);
    }
}
