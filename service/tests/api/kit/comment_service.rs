//! A stand-in for the comment service, which can be made to misbehave.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How it answers.
#[derive(Clone)]
pub enum Mode {
    /// As it should.
    Good,
    /// Never.
    Hung,
    /// With the head of an answer, and then nothing.
    Stuck,
    /// As it should, after this long.
    Slow(Duration),
    /// With this status and a count of 99.
    Status(u16),
    /// With a redirect to an answer with a count.
    Redirect,
    /// With this body.
    Text(String),
    /// With a count of 99 behind this many spaces.
    Padded(usize),
    /// As it should, this many times; then with status 500.
    GoodFor(usize),
    /// As it should, but for this post, which it does not know.
    Without(String),
}

#[derive(Default)]
struct Inner {
    counts: HashMap<String, u32>,
    asked: Vec<(String, Instant)>,
}

/// A comment service on a free port, until it is dropped.
pub struct CommentService {
    pub url: String,
    shared: Shared,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shared {
    inner: Arc<Mutex<Inner>>,
    mode: Arc<Mutex<Mode>>,
}

impl CommentService {
    /// One that behaves.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Shared {
            inner: Arc::default(),
            mode: Arc::new(Mutex::new(Mode::Good)),
        };
        let router = Router::new()
            .route("/api/v1/posts/{id}/comments", get(comments))
            .route("/elsewhere", get(async || told(99)))
            .with_state(shared.clone());
        let stop = CancellationToken::new();
        let serving = async move { axum::serve(listener, router).await };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Self {
            url,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// From now on it answers so.
    pub fn behave(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// A post has this many comments.
    pub fn set(&self, id: &str, count: u32) {
        let mut inner = self.shared.inner.lock().unwrap();
        inner.counts.insert(id.to_owned(), count);
    }

    /// When it was asked for this post.
    pub fn asked_for(&self, id: &str) -> Vec<Instant> {
        let inner = self.shared.inner.lock().unwrap();
        let of_post = inner.asked.iter().filter(|(asked, _)| asked == id);
        of_post.map(|(_, instant)| *instant).collect()
    }

    /// The posts it was asked for so far, in order.
    pub fn asked(&self) -> Vec<String> {
        let inner = self.shared.inner.lock().unwrap();
        inner.asked.iter().map(|(id, _)| id.clone()).collect()
    }
}

async fn comments(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let (count, requests) = {
        let mut inner = shared.inner.lock().unwrap();
        inner.asked.push((id.clone(), Instant::now()));
        (
            inner.counts.get(&id).copied().unwrap_or(0),
            inner.asked.len(),
        )
    };
    let mode = shared.mode.lock().unwrap().clone();
    match mode {
        Mode::Good => told(count),
        Mode::Hung => std::future::pending().await,
        Mode::Stuck => {
            let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            Body::from_stream(never).into_response()
        }
        Mode::Slow(time) => {
            tokio::time::sleep(time).await;
            told(count)
        }
        Mode::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, told(99)).into_response()
        }
        Mode::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Mode::Text(text) => text.into_response(),
        Mode::Padded(spaces) => {
            format!("{}{}", " ".repeat(spaces), json!({"data": {"total": 99}})).into_response()
        }
        Mode::GoodFor(times) if requests > times => {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Mode::Without(missing) if missing == id => StatusCode::NOT_FOUND.into_response(),
        Mode::GoodFor(_) | Mode::Without(_) => told(count),
    }
}

fn told(count: u32) -> Response {
    let page = json!({"comments": [], "page": 1, "total": count});
    axum::Json(json!({"success": true, "message": "Success", "data": page})).into_response()
}
