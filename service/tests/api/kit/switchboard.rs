//! An address that leads to a database server, and can be led elsewhere or cut.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A TCP port of this machine that forwards connections to wherever it is set to.
pub struct Switchboard {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
}

struct State {
    target: Mutex<SocketAddr>,
    /// Ends every connection made so far.
    lines: Mutex<Lines>,
}

#[derive(Clone, Default)]
struct Lines {
    cut: CancellationToken,
    silence: CancellationToken,
}

impl Switchboard {
    /// Forwards to this port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            target: Mutex::new(local(port)),
            lines: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, Arc::clone(&state));
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self {
            address,
            state,
            stop,
        }
    }

    /// New connections go to this port; those there are stay where they are.
    pub fn lead_to(&self, port: u16) {
        *self.state.target.lock().expect("a lock") = local(port);
    }

    /// Connections made so far end.
    pub fn cut(&self) {
        self.replace_lines().cut.cancel();
    }

    /// Connections made so far stay open and carry nothing any more, as when a machine vanishes.
    pub fn silence(&self) {
        self.replace_lines().silence.cancel();
    }

    fn replace_lines(&self) -> Lines {
        std::mem::take(&mut *self.state.lines.lock().expect("a lock"))
    }
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut();
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let target = *state.target.lock().expect("a lock");
        let lines = state.lines.lock().expect("a lock").clone();
        tokio::spawn(forward(client, target, lines));
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, lines: Lines) {
    // Nobody there: the client sees its connection end.
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        () = lines.cut.cancelled() => {}
        () = lines.silence.cancelled() => {
            // The server's side ends; the client's waits for what never comes.
            drop(server);
            lines.cut.cancelled().await;
        }
    }
}
