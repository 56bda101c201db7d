//! What stands between the program and its database, to stop it at a chosen moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// Lets requests through to the database up to the `stop_at`-th.
pub struct Proxy {
    pub port: u16,
    /// Requests seen.
    pub seen: Arc<AtomicUsize>,
    /// Told when the last request has come.
    pub stopped: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// The request that is the last one reaches the database if its number is odd (its answer goes
    /// nowhere), and does not if it is even.
    pub async fn before(database: String, stop_at: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counter, told) = (seen.clone(), stopped.clone());
        let task = tokio::spawn(async move {
            let (client, _) = listener.accept().await.expect("a client");
            let server = TcpStream::connect(&database).await.expect("the database");
            client.set_nodelay(true).expect("an option");
            server.set_nodelay(true).expect("an option");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let answers = tokio::spawn(async move {
                let _ = copy(&mut from_server, &mut to_client).await;
            });
            let mut buffer = vec![0; 1 << 20];
            loop {
                let length = from_client.read(&mut buffer).await.unwrap_or(0);
                if length == 0 {
                    break;
                }
                let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
                let is_last = number == stop_at;
                if is_last {
                    answers.abort();
                }
                if (!is_last || number % 2 == 1)
                    && to_server.write_all(&buffer[..length]).await.is_err()
                {
                    break;
                }
                if is_last {
                    told.notify_one();
                    // Silence, until the program has been killed.
                    let _ = from_client.read(&mut buffer).await;
                    break;
                }
            }
        });
        Self {
            port,
            seen,
            stopped,
            task,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
