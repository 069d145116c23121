//! Real servers, started by the tests out of the tests' own tools: nothing of the machine is used or changed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::is_root;

const NOBODY: u32 = 65_534;

/// Where the servers are, brought there by `tests/tools/servers`.
fn tools() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/servers");
        let output = Command::new(tool).arg("--root").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// A folder with a copy of one server, which an ordinary user can run, and a port that the kernel chose.
pub(crate) struct Server {
    child: Option<Child>,
    directory: tempfile::TempDir,
    program: &'static str,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn new(program: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-a").args(["usr", "lib", "share"].map(|name| tools().join(name))).arg(directory.path());
        assert!(copy.status().unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Server { child: None, directory, program, port }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the folder as text.
    pub(crate) fn at(&self, path: &str) -> String {
        self.path().join(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn with(self, path: &str, content: &str) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path().join(self.program));
        command.env("LD_LIBRARY_PATH", self.path().join("lib")).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    /// What the server itself says of its version: the first number of three parts.
    pub(crate) fn version(&self, arg: &str) -> String {
        let output = self.command().arg(arg).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.find(|word| word.split('.').filter(|part| !part.is_empty()).count() == 3).unwrap().to_owned()
    }

    /// Starts it as an ordinary user, and waits until it can be connected to.
    pub(crate) fn start(mut self, args: &[&str]) -> Self {
        let mut command = self.command();
        if is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            assert!(Command::new("chown").arg("-R").arg(owner).arg(self.path()).status().unwrap().success());
            command.uid(NOBODY).gid(NOBODY);
        }
        let log = fs::File::create(self.path().join("output.log")).unwrap();
        command.args(args).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.child.insert(command.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let output = || fs::read_to_string(self.directory.path().join("output.log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "the server stopped: {}", output());
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not answer: {}", output());
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The name of the user that it runs as.
    pub(crate) fn user(&self) -> String {
        let output = Command::new("id").arg("-un").args(is_root().then(|| NOBODY.to_string())).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Asked first, so that its own children end with it.
            let pid = child.id().to_string();
            _ = Command::new("kill").arg(&pid).status();
            let start = Instant::now();
            while child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if start.elapsed() > Duration::from_secs(20) {
                    _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
