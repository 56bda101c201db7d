//! A TCP port in front of a server, which can be closed, silent or open.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A port that refuses connections: it is bound, but nobody listens.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// A free port of this machine.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a free port");
        Self(socket)
    }

    /// Its URL, now and when it is opened.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("an address"))
    }

    /// Leads to the server at this `host:port` until the guard is dropped.
    pub fn open(self, target: &str) -> DropGuard {
        let target = target.to_owned();
        self.accept(move |mut client| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.expect("the server");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        })
    }

    /// Takes connections and never says a word.
    pub fn hang(self) -> DropGuard {
        let mut connections = Vec::new();
        self.accept(move |client| connections.push(client))
    }

    fn accept(self, mut with: impl FnMut(TcpStream) + Send + 'static) -> DropGuard {
        let listener: TcpListener = self.0.listen(64).expect("a listener");
        let stop = CancellationToken::new();
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                with(client);
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        stop.drop_guard()
    }
}
