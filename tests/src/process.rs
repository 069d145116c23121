//! Real binaries as processes of their own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

/// Returns the path of one of our binaries, built beside the running test.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let folder = exe.ancestors().find(|p| p.join(name).is_file()).with_context(|| {
        format!("{name} is not built: run `cargo build --workspace --bins` first, as tests/run does")
    })?;
    Ok(folder.join(name))
}

/// A service as a process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
    /// The arguments that started it, to start it again.
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    name: String,
    log: PathBuf,
}

/// Ports for services, below those that the system gives to connections: one of these could take a port in between.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// Returns a port of loopback that is free, and is given to no other test until this process ends.
fn free_port() -> anyhow::Result<SocketAddr> {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("cwpp-test-ports");
    std::fs::create_dir_all(&folder)?;
    for _ in 0..PORTS.len() {
        let port = rand::random_range(PORTS);
        let lock = File::create(folder.join(port.to_string()))?;
        if lock.try_lock().is_ok()
            && let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port))
        {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return Ok(listener.local_addr()?);
        }
    }
    anyhow::bail!("no port is free")
}

impl Process {
    /// Runs a service's migrations.
    pub fn migrate(name: &str, settings: &[(&str, String)]) -> anyhow::Result<()> {
        let output =
            Command::new(binary(name)?).args(["migrate", "up"]).args(settings.iter().flat_map(argument)).output()?;
        anyhow::ensure!(output.status.success(), "{name} migrate up: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts a service on free ports with these settings; its log goes into `folder`.
    pub fn start(name: &str, settings: &[(&str, String)], folder: &std::path::Path) -> anyhow::Result<Self> {
        Self::start_with(name, settings, &[], folder)
    }

    /// As [`Process::start`], with these variables in its environment.
    pub fn start_with(
        name: &str,
        settings: &[(&str, String)],
        environment: &[(String, String)],
        folder: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let (grpc, admin) = (free_port()?, free_port()?);
        let mut arguments = vec!["serve".to_owned()];
        let listen = [("grpc.listen", grpc.to_string()), ("admin.listen", admin.to_string())];
        arguments.extend(settings.iter().chain(&listen).flat_map(argument));
        let log = folder.join(format!("{name}-{}.log", grpc.port()));
        let child = spawn(name, &arguments, environment, &log)?;
        Ok(Self { child, grpc, admin, arguments, environment: environment.to_vec(), name: name.to_owned(), log })
    }

    /// Starts it again with the same settings on the same ports.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.name, &self.arguments, &self.environment, &self.log)?;
        Ok(())
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready, and returns how long that took.
    pub async fn ready(&mut self, patience: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{} ended with {status}: {}", self.name, self.log());
            }
            if matches!(self.get("/readyz").await, Ok((200, _))) {
                return Ok(start.elapsed());
            }
            anyhow::ensure!(
                start.elapsed() < patience,
                "{} is not ready: {:?}\n{}",
                self.name,
                self.get("/readyz?verbose").await,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks one of its admin pages; returns status and body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        self.request("GET", path).await
    }

    /// Sends a request without a body to an admin page.
    pub async fn request(&self, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await?;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
        let status = head.split_whitespace().nth(1).context("a status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits; returns its exit code.
    pub fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "no such process");
        Ok(self.child.wait()?.code())
    }

    /// Waits for it to end by itself, as at a fault point.
    pub async fn ended(&mut self, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(start.elapsed() < patience, "{} goes on", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Spells a setting as arguments; the setting `config` names a file.
fn argument((key, value): &(&str, String)) -> [String; 2] {
    match *key {
        "config" => ["--config".to_owned(), value.clone()],
        key => ["--set".to_owned(), format!("{key}={value}")],
    }
}

fn spawn(
    name: &str,
    arguments: &[String],
    environment: &[(String, String)],
    log: &std::path::Path,
) -> anyhow::Result<Child> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let child = Command::new(binary(name)?)
        .args(arguments)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| name.to_owned())?;
    Ok(child)
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
