//! Fault points: places where a test holds a process, to kill it or its database there and nowhere else.
//!
//! They exist only with the feature `failpoints` in a build with debug assertions: no release has them, whatever features
//! it was built with. A process that is started with `CWPP_FAULT_SOCKET` then tells the Unix socket of that name each
//! point that it comes to, and goes on when the far side closes the connection.

/// Names the Unix socket that a process with fault points tells where it is; one without them does not look at it.
pub const SOCKET: &str = "CWPP_FAULT_SOCKET";

/// A place where a test may hold the process, `{part}.{step}`. It does nothing in a usual build.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub async fn point(_part: &'static str, _step: &'static str) {}

/// A place where a test may hold the process, `{part}.{step}`.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub async fn point(part: &'static str, step: &'static str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    // A test that has gone away holds nobody.
    let Ok(mut line) = tokio::net::UnixStream::connect(socket).await else { return };
    if line.write_all(format!("{part}.{step}\n").as_bytes()).await.is_ok() {
        let _ = line.read(&mut [0; 1]).await;
    }
}
