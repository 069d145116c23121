//! Holds a process at its fault points, so that the test and not a clock chooses the moment at which something dies.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// What one process tells of its fault points; see `cwpp_storage::fault`.
#[derive(Debug)]
pub struct Faults {
    socket: PathBuf,
    holds: Arc<Mutex<Vec<Hold>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Hold {
    point: String,
    /// Times that the process goes by before it is held.
    passes: usize,
    tell: oneshot::Sender<Held>,
}

/// A process that stands at a point; it goes on when this is dropped.
#[derive(Debug)]
pub struct Held {
    _line: BufReader<UnixStream>,
}

/// A point that is waited for.
#[derive(Debug)]
pub struct Awaited {
    point: String,
    told: oneshot::Receiver<Held>,
}

impl Faults {
    /// Listens for one process, on a socket of this name in `folder`.
    pub fn listen(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let socket = folder.join(format!("{name}.faults"));
        let listener = UnixListener::bind(&socket)?;
        let holds = Arc::new(Mutex::new(Vec::new()));
        let shared = holds.clone();
        let task = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                let holds = shared.clone();
                tokio::spawn(async move {
                    let (mut line, mut point) = (BufReader::new(line), String::new());
                    // A process that died in the middle of the word is at no point.
                    if line.read_line(&mut point).await.is_ok() {
                        take(&holds, point.trim_end(), line);
                    }
                });
            }
        });
        Ok(Self { socket, holds, task })
    }

    /// Returns what stands in the environment of the process.
    pub fn environment(&self) -> (String, String) {
        (cwpp_storage::fault::SOCKET.to_owned(), self.socket.display().to_string())
    }

    /// Holds the process when it next comes to this point.
    #[must_use]
    pub fn hold(&self, point: &str) -> Awaited {
        self.hold_after(0, point)
    }

    /// Holds it there after it has gone by so many times.
    #[must_use]
    pub fn hold_after(&self, passes: usize, point: &str) -> Awaited {
        let (tell, told) = oneshot::channel();
        let hold = Hold { point: point.to_owned(), passes, tell };
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
        Awaited { point: point.to_owned(), told }
    }
}

/// Keeps the line of a process that is to be held; any other goes on as its line is dropped.
fn take(holds: &Mutex<Vec<Hold>>, point: &str, line: BufReader<UnixStream>) {
    let mut holds = holds.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(at) = holds.iter().position(|hold| hold.point == point && !hold.tell.is_closed()) else { return };
    match holds[at].passes.checked_sub(1) {
        Some(left) => holds[at].passes = left,
        // Nobody waits any more where it fails: then it goes on.
        None => drop(holds.remove(at).tell.send(Held { _line: line })),
    }
}

impl Awaited {
    /// Waits until the process stands there.
    pub async fn reached(self, patience: Duration) -> anyhow::Result<Held> {
        let told = tokio::time::timeout(patience, self.told).await;
        told.with_context(|| format!("{} is not reached", self.point))?.context("nobody listens any more")
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.task.abort();
    }
}
