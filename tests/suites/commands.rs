//! The calls that the README and the demonstration show, typed as they stand there against `cwpp serve`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cwpp_tests::process::binary;
use cwpp_tests::world::{PATIENCE, SERVICES};
use serde_json::Value;
use tempfile::TempDir;

/// The ports of the services, which stand in the commands; in the order of [`SERVICES`].
const PORTS: [u16; 4] = [50051, 50052, 50053, 50054];

/// `cwpp serve` on ports of its own.
struct Served {
    child: Child,
    /// Where each service is.
    addresses: Vec<String>,
    _data: TempDir,
}

impl Served {
    fn start() -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let mut child = Command::new(binary("cwpp")?)
            .args(["serve", "--free-ports", "--data"])
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(child.stdout.take().context("its output")?);
        let mut served = Self { child, addresses: Vec::new(), _data: data };
        for (line, name) in said.lines().zip(SERVICES) {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            ensure!(words.len() == 5 && words[..2] == [name, "gRPC"], "{line}");
            served.addresses.push(words[2].to_owned());
        }
        ensure!(served.addresses.len() == SERVICES.len(), "it serves {:?}", served.addresses);
        Ok(served)
    }

    /// Types a command; returns what it prints.
    fn type_in(&self, command: &str) -> anyhow::Result<String> {
        let mut typed = command.to_owned();
        for (port, address) in PORTS.iter().zip(&self.addresses) {
            typed = typed.replace(&format!("127.0.0.1:{port}"), address);
        }
        // Brings grpcurl, or fails.
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
        let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
        let output = Command::new("sh").args(["-c", &typed]).env("PATH", path).output()?;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{command}: {}: {err}", output.status);
        Ok(out)
    }

    /// Types the commands one after the other; returns each with what it prints. A tenant takes a second to be open.
    fn type_all(&self, commands: &[String]) -> anyhow::Result<Vec<(String, String)>> {
        let mut told = Vec::new();
        for command in commands {
            told.push((command.clone(), self.type_in(command)?));
            let start = Instant::now();
            while command.contains("CreateTenant") {
                let get = "grpcurl -plaintext -d '{\"app_id\":7}' 127.0.0.1:50053 cwpp.configuration.v1.TenantService/GetTenant";
                let tenant = self.type_in(get)?;
                if tenant.contains("TENANT_STATE_ACTIVE") {
                    break;
                }
                ensure!(start.elapsed() < PATIENCE, "the tenant is not opened: {tenant}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(told)
    }

    fn end(mut self) -> anyhow::Result<()> {
        ensure!(
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?.success(),
            "no such process"
        );
        ensure!(self.child.wait()?.success(), "it ends in order");
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the calls in a text: from a line that begins with `grpcurl` to where its quotes are closed and no line is to
/// follow.
fn calls(text: &str) -> Vec<String> {
    let mut calls: Vec<String> = Vec::new();
    let is_open = |call: &String| call.ends_with('\\') || call.matches('\'').count() % 2 == 1;
    for line in text.lines() {
        match calls.last_mut() {
            Some(call) if is_open(call) => {
                call.push('\n');
                call.push_str(line);
            }
            _ if line.starts_with("grpcurl") => calls.push(line.to_owned()),
            _ => {}
        }
    }
    calls
}

/// Returns the object that the call of this method printed.
fn answer(told: &[(String, String)], method: &str) -> anyhow::Result<Value> {
    let (_, printed) =
        told.iter().find(|(call, _)| call.contains(method)).with_context(|| format!("{method} is shown"))?;
    Ok(serde_json::from_str(printed)?)
}

/// Looks at the answers that both places show.
fn look(told: &[(String, String)]) -> anyhow::Result<()> {
    let list = told.iter().find(|(call, _)| call.contains("50051 list")).context("list is shown")?;
    ensure!(list.1.lines().any(|line| line == "cwpp.inventory.v1.AssetService"), "{}", list.1);
    assert_eq!(answer(told, "/CreateTenant")?["tenant"]["appId"], "7");
    ensure!(answer(told, "/ListAssetCounts")?.is_object(), "counts");
    Ok(())
}

#[test]
fn the_calls_that_the_readme_shows_are_answered() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let served = Served::start()?;
    let told = served.type_all(&calls(&readme))?;
    look(&told)?;
    assert_eq!(answer(&told, "/GetTenant")?["tenant"]["state"], "TENANT_STATE_ACTIVE");
    let deletion = answer(&told, "/TerminateSubscription")?;
    assert_eq!(deletion["deletion"]["state"], "DELETION_STATE_SCHEDULED");
    served.end()
}

/// Types what the demonstration's page shows at its end.
pub(crate) fn go_on(page: &str) -> anyhow::Result<()> {
    let (_, next) = page.split_once("\ngo on").context("how to go on")?;
    // Without the column of the heads.
    let next: Vec<&str> = next.lines().map(|line| line.get(14..).unwrap_or_default()).collect();
    let served = Served::start()?;
    look(&served.type_all(&calls(&next.join("\n")))?)?;
    served.end()
}
