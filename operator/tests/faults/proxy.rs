//! A proxy between the operator and the API server: plain HTTP on loopback towards the operator,
//! the administrator's connection towards the API server. It counts, and strikes as it is told.

use std::collections::VecDeque;
use std::io::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::{Method, StatusCode, header, request};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::watch::{self, WatchFault};

/// What the operator is answered with.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Error>;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The operator is killed before the API server sees the write.
    KillBefore,
    /// The operator is killed after the API server answered, before the answer reaches it.
    KillAfter,
    /// The API server answers with this status and does nothing.
    Answer(u16),
    /// The connection ends before the API server sees the write.
    LoseRequest,
    /// The API server does it; the connection ends before the answer reaches the operator.
    LoseAnswer,
}

impl Fault {
    /// Whether the operator dies of it.
    pub fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }
}

/// What kind of object a write concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything that counts.
    Main,
    /// An Event.
    Event,
    /// The lease of the leader.
    Lease,
}

/// A write that passed.
#[derive(Clone, Debug)]
pub struct Write {
    /// E.g. `PATCH deployments/post-service`.
    pub what: String,
    /// What it concerns.
    pub class: Class,
}

/// The proxy of one operator.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What all connections share.
pub struct State {
    client: Client,
    counts: Mutex<Counts>,
    struck: Notify,
}

#[derive(Default)]
struct Counts {
    writes: Vec<Write>,
    in_flight: usize,
    last: Option<Instant>,
    secret_reads: usize,
    /// The write that is struck, counted from 0 over those of `Class::Main`, and by what.
    armed: Option<(usize, Fault)>,
    seen: usize,
    was_struck: Option<String>,
    frozen: bool,
    watch_faults: VecDeque<WatchFault>,
}

enum Verdict {
    Forward,
    Strike(Fault),
    Freeze,
}

impl Proxy {
    /// Listens on a free port of loopback.
    pub async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            client,
            counts: Mutex::default(),
            struck: Notify::new(),
        });
        let server = tokio::spawn(accept(listener, state.clone()));
        Self {
            address,
            state,
            server,
        }
    }

    /// Forgets what was counted, and strikes the `n`th write from now (from 0) with `fault`.
    pub fn arm(&self, n: usize, fault: Fault) {
        let mut counts = self.state.counts();
        counts.writes.clear();
        counts.seen = 0;
        counts.was_struck = None;
        counts.armed = Some((n, fault));
    }

    /// Lets `fault` befall the next watch stream that fits it.
    pub fn disturb(&self, fault: WatchFault) {
        self.state.counts().watch_faults.push_back(fault);
    }

    /// Whether every watch fault has happened.
    pub fn is_undisturbed(&self) -> bool {
        self.state.counts().watch_faults.is_empty()
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        let mut counts = self.state.counts();
        counts.writes.clear();
        counts.seen = 0;
        counts.armed = None;
    }

    /// Waits for the strike, and says which write it hit.
    pub async fn struck(&self) -> String {
        loop {
            let notified = self.state.struck.notified();
            if let Some(what) = self.state.counts().was_struck.clone() {
                return what;
            }
            notified.await;
        }
    }

    /// Which write was struck, if one was.
    pub fn has_struck(&self) -> Option<String> {
        self.state.counts().was_struck.clone()
    }

    /// After a kill: the next operator is served.
    pub fn thaw(&self) {
        self.state.counts().frozen = false;
    }

    /// Writes that passed since the last reset.
    pub fn writes(&self) -> Vec<Write> {
        self.state.counts().writes.clone()
    }

    /// How often a Secret was read: every pass does.
    pub fn secret_reads(&self) -> usize {
        self.state.counts().secret_reads
    }

    /// Time since the last write ended; zero while one is under way.
    pub fn quiet_for(&self) -> Duration {
        let counts = self.state.counts();
        match counts.last {
            _ if counts.in_flight > 0 => Duration::ZERO,
            Some(last) => last.elapsed(),
            None => Duration::MAX,
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, state.clone()));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = hyper::service::service_fn(|request| {
        let state = state.clone();
        async move { state.handle(request).await.map_err(Error::other) }
    });
    // An error is the operator's end, or a strike.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl State {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return self.read(parts).await;
        }
        let write = Write {
            what: describe(&parts),
            class: class(parts.uri.path()),
        };
        let _under_way = UnderWay::of(self.clone());
        match self.meet(&write) {
            Verdict::Forward => self.forward(parts, body).await,
            Verdict::Freeze => std::future::pending().await,
            Verdict::Strike(fault) => {
                let answer = self.strike(fault, parts, body).await;
                self.counts().was_struck = Some(write.what);
                self.struck.notify_waiters();
                if fault.kills() {
                    // The answer never comes: the operator is about to be killed.
                    std::future::pending::<()>().await;
                }
                answer
            }
        }
    }

    async fn read(self: Arc<Self>, parts: request::Parts) -> anyhow::Result<Response<Body>> {
        if self.counts().frozen {
            std::future::pending::<()>().await;
        }
        if parts.uri.path().contains("/secrets/") {
            self.counts().secret_reads += 1;
        }
        let query = parts.uri.query().unwrap_or_default();
        let plural = last_segment(parts.uri.path()).to_owned();
        let is_watch = query.split('&').any(|pair| pair == "watch=true");
        let answer = self.forward(parts, Bytes::new()).await?;
        if is_watch && answer.status().is_success() {
            let (head, body) = answer.into_parts();
            return Ok(Response::from_parts(
                head,
                watch::tamper(self, plural, body),
            ));
        }
        Ok(answer)
    }

    /// Takes the fault that is meant for the next event of a watch on `plural`.
    pub fn watch_fault(&self, plural: &str) -> Option<WatchFault> {
        let mut counts = self.counts();
        let at = counts
            .watch_faults
            .iter()
            .position(|fault| fault.plural == plural)?;
        counts.watch_faults.remove(at)
    }

    fn meet(&self, write: &Write) -> Verdict {
        let mut counts = self.counts();
        if counts.frozen {
            return Verdict::Freeze;
        }
        let nth = counts.seen;
        let fault = counts
            .armed
            .filter(|(n, _)| *n == nth && write.class == Class::Main);
        if write.class == Class::Main {
            counts.seen += 1;
        }
        if let Some((_, fault)) = fault {
            counts.armed = None;
            counts.frozen = fault.kills();
            Verdict::Strike(fault)
        } else {
            counts.writes.push(write.clone());
            Verdict::Forward
        }
    }

    async fn strike(
        &self,
        fault: Fault,
        parts: request::Parts,
        body: Bytes,
    ) -> anyhow::Result<Response<Body>> {
        match fault {
            Fault::KillBefore | Fault::LoseRequest => Err(anyhow::anyhow!("struck")),
            Fault::KillAfter | Fault::LoseAnswer => {
                self.forward(parts, body).await?;
                Err(anyhow::anyhow!("struck"))
            }
            Fault::Answer(code) => Ok(refusal(code)),
        }
    }

    async fn forward(&self, parts: request::Parts, body: Bytes) -> anyhow::Result<Response<Body>> {
        let target = parts.uri.path_and_query().map_or("/", |text| text.as_str());
        let mut request = Request::builder().method(parts.method).uri(target);
        for (name, value) in &parts.headers {
            if ![header::HOST, header::CONNECTION, header::CONTENT_LENGTH].contains(name) {
                request = request.header(name, value);
            }
        }
        let request = request.body(kube::client::Body::from(body))?;
        let answer = self.client.send(request).await?;
        let (mut head, body) = answer.into_parts();
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.remove(header::CONNECTION);
        Ok(Response::from_parts(
            head,
            body.map_err(Error::other).boxed_unsync(),
        ))
    }
}

/// A write that is under way, for `quiet_for`.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn of(state: Arc<State>) -> Self {
        state.counts().in_flight += 1;
        Self(state)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.in_flight -= 1;
        counts.last = Some(Instant::now());
    }
}

/// A `Status` as the API server answers with.
fn refusal(code: u16) -> Response<Body> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "struck by the test", "reason": reason, "code": code,
    });
    let mut response = Response::new(full(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if code == 429 {
        headers.insert(header::RETRY_AFTER, "1".parse().unwrap());
    }
    response
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn class(path: &str) -> Class {
    let is = |plural: &str| path.split('/').any(|segment| segment == plural);
    if is("events") {
        Class::Event
    } else if is("leases") {
        Class::Lease
    } else {
        Class::Main
    }
}

/// Method, plural and name: the path behind the namespace.
fn describe(parts: &request::Parts) -> String {
    let path = parts.uri.path();
    let tail = path
        .split_once("/namespaces/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(path, |(_, tail)| tail);
    format!("{} {tail}", parts.method)
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
