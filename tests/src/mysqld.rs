//! A MySQL server of one test alone, which may be killed.

use std::path::PathBuf;

use anyhow::Context;
use tokio::process::Command;
use uuid::Uuid;

/// A private server; gone with its data when it is dropped.
#[derive(Debug)]
pub struct Mysqld {
    name: String,
    /// Its URL, the same after each start.
    pub url: String,
}

/// Prepares the tool that brings servers; what names an existing server does not concern it: that one is not killed.
fn tool(name: &str, command: &str) -> std::process::Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/mysql");
    let mut tool = std::process::Command::new(script);
    tool.args([command, "--name", name]).env_remove("CWPP_TEST_MYSQL_URL").env("CWPP_MYSQL_BUFFER", "128M");
    tool
}

impl Mysqld {
    /// Starts a server of its own.
    pub async fn start() -> anyhow::Result<Self> {
        let name = format!("kills-{}", Uuid::new_v4().simple());
        let mut server = Self { name, url: String::new() };
        server.url = server.run("up").await?;
        Ok(server)
    }

    async fn run(&self, command: &str) -> anyhow::Result<String> {
        let output = Command::from(tool(&self.name, command)).output().await.context("tests/tools/mysql")?;
        anyhow::ensure!(
            output.status.success(),
            "tests/tools/mysql {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Kills it as a lost machine would: nothing is flushed, nobody is told.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.run("kill9").await.map(drop)
    }

    /// Starts it again on the same data and the same port.
    pub async fn again(&self) -> anyhow::Result<()> {
        self.run("start").await.map(drop)
    }
}

impl Drop for Mysqld {
    fn drop(&mut self) {
        let _ = tool(&self.name, "down").output();
    }
}
