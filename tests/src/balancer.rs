//! One address for several replicas, as a cluster gives them: each connection goes to the next one that answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};

/// Hands connections on until it is dropped.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Balancer {
    /// Listens on a free port of loopback.
    pub async fn start(replicas: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (replicas, next) = (Arc::<[SocketAddr]>::from(replicas), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (replicas, next) = (replicas.clone(), next.clone());
                tokio::spawn(hand_on(caller, replicas, next));
            }
        });
        Ok(Self { address, task })
    }
}

async fn hand_on(mut caller: TcpStream, replicas: Arc<[SocketAddr]>, next: Arc<AtomicUsize>) {
    for _ in 0..replicas.len() {
        let replica = replicas[next.fetch_add(1, Ordering::Relaxed) % replicas.len()];
        if let Ok(mut replica) = TcpStream::connect(replica).await {
            // Either side may end it; that is theirs to notice.
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut replica).await;
            return;
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
