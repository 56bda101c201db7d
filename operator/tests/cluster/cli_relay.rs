//! A way to the API server that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A relay; dropped or cut, all its connections break, and nobody listens.
pub struct Relay {
    pub address: SocketAddr,
    target: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Leads to `target`, from another port of its address.
    pub async fn start(target: SocketAddr) -> Self {
        Self::listen(SocketAddr::new(target.ip(), 0), target).await
    }

    async fn listen(at: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            target,
            task: tokio::spawn(relay(listener, target)),
        }
    }

    /// Breaks all connections and refuses new ones.
    pub async fn cut(&mut self) {
        self.task.abort();
        // It was aborted, which is an error.
        let _ = (&mut self.task).await;
    }

    /// Listens again at the same address.
    pub async fn mend(self) -> Self {
        Self::listen(self.address, self.target).await
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut far = TcpStream::connect(target).await?;
            copy_bidirectional(&mut near, &mut far).await
        });
    }
}
