//! What may befall a watch stream on its way to the operator.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::proxy::{Body, State};

/// A fault that befalls the next event of a watch.
#[derive(Clone, Debug)]
pub struct WatchFault {
    /// Plural of the kind watched.
    pub plural: &'static str,
    /// What happens.
    pub kind: WatchKind,
}

/// What happens to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// The connection ends in the middle of the event.
    Cut,
    /// This and all later events come this much later: a stale cache.
    Delay(Duration),
    /// Events are lost for this long, then the watch ends as too old (410) and all is listed anew.
    Lose(Duration),
    /// The event is preceded by one sent earlier, and itself comes this much later: a step back
    /// in time, as by an API server that lags behind.
    Replay(Duration),
}

/// The stream, with the faults that are meant for it.
pub fn tamper(state: Arc<State>, plural: String, body: Body) -> Body {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            () = pass_on(&state, &plural, body, sender) => {}
        }
    });
    let frames = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

async fn pass_on(state: &State, plural: &str, body: Body, sender: Sender) {
    let mut lines = Lines::of(body);
    let mut sent: Vec<Bytes> = Vec::new();
    while let Some(line) = lines.next().await {
        let fault = state.watch_fault(plural).map(|fault| fault.kind);
        match fault {
            None => {}
            Some(WatchKind::Cut) => {
                send(&sender, line.slice(..line.len() / 2)).await;
                let _ = sender.send(Err(std::io::Error::other("cut"))).await;
                return;
            }
            Some(WatchKind::Delay(time)) => tokio::time::sleep(time).await,
            Some(WatchKind::Lose(time)) => {
                tokio::time::sleep(time).await;
                send(&sender, expired()).await;
                return;
            }
            Some(WatchKind::Replay(time)) => {
                let same = |old: &&Bytes| uid(old).is_some() && uid(old) == uid(&line);
                if let Some(old) = sent.iter().rev().find(same).cloned() {
                    send(&sender, old).await;
                    tokio::time::sleep(time).await;
                }
            }
        }
        sent.push(line.clone());
        send(&sender, line).await;
    }
}

/// The receiver's end is seen by `closed()`.
async fn send(sender: &Sender, line: Bytes) {
    let _ = sender.send(Ok(Frame::data(line))).await;
}

/// Of which object an event tells.
fn uid(line: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(line).ok()?;
    Some(event["object"]["metadata"]["uid"].as_str()?.to_owned())
}

fn expired() -> Bytes {
    let event = json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    }});
    Bytes::from(format!("{event}\n"))
}

/// A body, line by line.
struct Lines {
    frames: futures::stream::BoxStream<'static, Bytes>,
    rest: Vec<u8>,
}

impl Lines {
    fn of(body: Body) -> Self {
        let frames = body
            .into_data_stream()
            .filter_map(|frame| async { frame.ok() });
        Self {
            frames: Box::pin(frames),
            rest: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                return Some(Bytes::from(std::mem::replace(&mut self.rest, rest)));
            }
            self.rest.extend_from_slice(&self.frames.next().await?);
        }
    }
}
