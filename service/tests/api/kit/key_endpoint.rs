//! An endpoint that publishes token keys, or does what endpoints do when they fail.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use post_service::auth::{development::SigningKey, jwks::KeyCache};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How the endpoint answers.
#[derive(Clone)]
pub enum Answer {
    /// With this text.
    Text(String),
    /// With this status and no keys.
    Status(u16),
    /// With a redirect to a set of keys.
    Redirect(Value),
    /// Never.
    Hung,
    /// With the head of an answer, and then nothing.
    Stuck,
}

/// A key set endpoint whose answer can be changed, and which counts its fetches.
#[derive(Clone)]
pub struct Endpoint {
    answer: Arc<Mutex<Answer>>,
    fetches: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            answer: Arc::new(Mutex::new(Answer::Status(502))),
            fetches: Arc::default(),
            stop: CancellationToken::new(),
        }
    }
}

impl Endpoint {
    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public_jwk().unwrap()).collect();
        self.answer(Answer::Text(json!({ "keys": keys }).to_string()));
    }

    /// Publishes these keys from now on.
    pub fn publish_jwks(&self, keys: &[Value]) {
        self.answer(Answer::Text(json!({ "keys": keys }).to_string()));
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Answers with an error from now on.
    pub fn break_down(&self) {
        self.answer(Answer::Status(502));
    }

    /// Ends: connections are refused from now on.
    pub fn shut_down(&self) {
        self.stop.cancel();
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// A cache that fetches from here.
    pub async fn cache(&self) -> Arc<KeyCache> {
        let url = self.start().await.parse().unwrap();
        Arc::new(KeyCache::new(url).unwrap())
    }

    /// Begins to serve and tells where.
    pub async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let elsewhere =
            get(
                async |State(endpoint): State<Self>| match &*endpoint.answer.lock().unwrap() {
                    Answer::Redirect(set) => set.to_string().into_response(),
                    _ => StatusCode::NOT_FOUND.into_response(),
                },
            );
        let router = Router::new()
            .route("/jwks.json", get(serve))
            .route("/elsewhere.json", elsewhere)
            .with_state(self.clone());
        let serving = async move { axum::serve(listener, router).await };
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(serving));
        url
    }
}

async fn serve(State(endpoint): State<Endpoint>) -> Response {
    endpoint.fetches.fetch_add(1, Ordering::SeqCst);
    let answer = endpoint.answer.lock().unwrap().clone();
    match answer {
        Answer::Text(text) => text.into_response(),
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(_) => {
            (StatusCode::FOUND, [(header::LOCATION, "/elsewhere.json")]).into_response()
        }
        Answer::Hung => std::future::pending().await,
        Answer::Stuck => {
            let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            Body::from_stream(never).into_response()
        }
    }
}
