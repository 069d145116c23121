//! The road to MySQL over TCP. The driver does not set TCP_NODELAY and gives no hook to set it: the tail of a large
//! statement, and whatever follows a message without an answer, waits tens of milliseconds for an acknowledgement. So the
//! driver talks to a Unix socket of this process, and what it says goes on over a TCP connection without that wait.
//! TLS is the driver's as before: the bridge carries bytes.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Bytes of one direction in one connection.
const BUFFER: usize = 32 * 1024;
/// Between two attempts to reach a server that refuses connections, as one does that starts.
const RETRY: Duration = Duration::from_millis(100);

/// Takes no new connections once dropped; those that are open live as long as both their ends.
#[derive(Debug)]
pub(crate) struct Bridge {
    path: PathBuf,
    _accepting: AbortOnDropHandle<()>,
}

impl Bridge {
    /// Opens a bridge to this server.
    pub(crate) fn open(host: &str, port: u16) -> Result<Self> {
        // A name of the kernel's alone: the root file system may be read-only, and nothing is left behind.
        let path = PathBuf::from(format!("\0cwpp-storage-{}", Uuid::new_v4()));
        let listener = UnixListener::bind(&path)?;
        // The driver takes IPv6 addresses from URLs with their brackets.
        let server: Arc<str> = host.trim_matches(['[', ']']).into();
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((near, _)) if is_own(&near) => {
                        let server = Arc::clone(&server);
                        tokio::spawn(async move {
                            if let Err(error) = carry(near, &server, port).await {
                                tracing::debug!(%error, "a connection to the database ended");
                            }
                        });
                    }
                    Ok(_) => {}
                    // Out of file descriptors: they are freed by others.
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        });
        Ok(Self { path, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// What the driver takes for the server's socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Other processes have no business here, though they would only get as far as the server's greeting.
fn is_own(near: &UnixStream) -> bool {
    near.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(std::process::id()).ok())
}

async fn carry(mut near: UnixStream, host: &str, port: u16) -> Result<()> {
    let mut far = tokio::select! {
        far = reach(host, port) => far.inspect_err(|error| tracing::warn!(%error, "the database cannot be reached"))?,
        // The server speaks first: what comes before can only be the end.
        _ = near.read_u8() => return Err(Error::new(ErrorKind::TimedOut, "the driver waited no longer")),
    };
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await.map(|_| ())
}

/// Connects, and waits for a server that refuses: how long is for the driver's pool to say.
async fn reach(host: &str, port: u16) -> Result<TcpStream> {
    loop {
        match TcpStream::connect((host, port)).await {
            Ok(far) => {
                far.set_nodelay(true)?;
                return Ok(far);
            }
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => tokio::time::sleep(RETRY).await,
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    async fn server() -> (TcpListener, u16) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        (server, port)
    }

    #[tokio::test]
    async fn carries_both_ways_and_both_ends() {
        let (server, port) = server().await;
        let bridge = Bridge::open("127.0.0.1", port).unwrap();
        let mut near = UnixStream::connect(bridge.path()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let large = vec![7; 3 * BUFFER + 1];
        let (sent, got) = tokio::join!(near.write_all(&large), async {
            let mut got = vec![0; large.len()];
            far.read_exact(&mut got).await.map(|_| got)
        });
        sent.unwrap();
        assert_eq!(got.unwrap(), large);
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    }

    #[tokio::test]
    async fn waits_for_a_server_that_starts() {
        // It holds its port, and refuses until it listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let bridge = Bridge::open("127.0.0.1", socket.local_addr().unwrap().port()).unwrap();
        let mut near = UnixStream::connect(bridge.path()).await.unwrap();
        tokio::time::sleep(RETRY).await;
        let server = socket.listen(1).unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        far.write_all(b"!").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'!');
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_ends_the_connection() {
        let bridge = Bridge::open("no such host", 1).unwrap();
        let mut near = UnixStream::connect(bridge.path()).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn nobody_comes_in_once_it_is_dropped() {
        let (_server, port) = server().await;
        let bridge = Bridge::open("127.0.0.1", port).unwrap();
        let path = bridge.path().to_owned();
        drop(bridge);
        tokio::task::yield_now().await;
        assert!(UnixStream::connect(path).await.is_err());
    }
}
