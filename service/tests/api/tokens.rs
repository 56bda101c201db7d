//! Tokens, with keys fetched from a real endpoint.

use crate::kit::{
    Answer, Service,
    database::Database,
    tokens::{self, ALICE, KEY, id_claims},
};
use axum::{Router, extract::State, http::StatusCode as AxumStatus, routing::get};
use post_service::auth::{
    Keys,
    development::SigningKey,
    jwks::{KeyCache, MIN_FETCH_INTERVAL},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpListener;

/// A key set endpoint whose answer can be changed, and which counts its fetches.
#[derive(Clone, Default)]
struct Endpoint {
    answer: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
}

impl Endpoint {
    fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public_jwk().unwrap()).collect();
        *self.answer.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    fn break_down(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// A cache that fetches from here.
    async fn cache(&self) -> Arc<KeyCache> {
        async fn serve(State(endpoint): State<Endpoint>) -> Result<String, AxumStatus> {
            endpoint.fetches.fetch_add(1, Ordering::SeqCst);
            let answer = endpoint.answer.lock().unwrap().clone();
            answer
                .map(|set| set.to_string())
                .ok_or(AxumStatus::BAD_GATEWAY)
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/jwks.json", get(serve))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Arc::new(KeyCache::new(url.parse().unwrap()).unwrap())
    }
}

async fn create(service: &Service, token: &str) -> Answer {
    let body = json!({"title": "t", "content": "c", "category": "k"});
    service.post("/api/v1/posts", token, &body).await
}

#[tokio::test]
async fn each_bad_token_is_refused_with_its_reason() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let good = id_claims(ALICE, "alice");
    let changed =
        |name: &str, value: Value| tokens::signed(&tokens::with(good.clone(), name, value));
    let forged = |header: Value| {
        let part = |json: &Value| base64url(json.to_string().as_bytes());
        format!(
            "{}.{}.{}",
            part(&header),
            part(&good),
            base64url(b"signature")
        )
    };
    let impostors_key = tokens::IMPOSTOR.public_jwk().unwrap();
    let failed = "Token verification failed";
    for (token, expected) in [
        (changed("exp", json!(tokens::now() - 60)), "Token expired"),
        (
            changed(
                "iss",
                json!("https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_Tesu"),
            ),
            "Invalid token issuer",
        ),
        (
            changed("aud", json!("test-clienu")),
            "Invalid token audience",
        ),
        (changed("aud", json!(["test-client"])), failed),
        (changed("token_use", json!("access")), failed),
        (changed("exp", Value::Null), failed),
        (forged(json!({"alg": "none", "kid": "test-key"})), failed),
        (forged(json!({"alg": "HS256", "kid": "test-key"})), failed),
        (forged(json!({"alg": "PS256", "kid": "test-key"})), failed),
        (forged(json!({"alg": "RS256"})), failed),
        (forged(json!({"alg": "RS256", "kid": "test-key"})), failed),
        (
            forged(json!({"alg": "RS256", "kid": "x", "jwk": impostors_key})),
            failed,
        ),
        (
            forged(json!({"alg": "RS256", "kid": "x", "jku": "http://127.0.0.1:1/"})),
            failed,
        ),
        (tokens::IMPOSTOR.sign(&good).unwrap(), failed),
        ("x".repeat(7000), "Invalid token format"),
    ] {
        let answer = create(&service, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(answer.json["error"], expected, "{token}");
        assert!(!answer.message().is_empty());
    }
    assert_eq!(
        create(&service, &tokens::signed(&good)).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn unknown_keys_are_fetched_for_once_per_interval_however_many_ask() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let stranger = SigningKey::generate("stranger").unwrap();
    let token = stranger.sign(&id_claims(ALICE, "alice")).unwrap();
    let flood = (0..64).map(|_| create(&service, &token));
    for answer in futures::future::join_all(flood).await {
        assert_eq!(answer.json["error"], "Token verification failed");
    }
    assert_eq!(endpoint.fetches(), 1);
    assert_eq!(
        create(&service, &tokens::alice()).await.status,
        StatusCode::CREATED
    );
    assert_eq!(endpoint.fetches(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_old_keys_serve_while_the_endpoint_is_down() {
    let endpoint = Endpoint::default();
    endpoint.publish(&[&KEY]);
    let cache = endpoint.cache().await;
    assert!(
        cache
            .keys_for("test-key")
            .await
            .unwrap()
            .get("test-key")
            .is_some()
    );

    let next = SigningKey::generate("next").unwrap();
    endpoint.publish(&[&KEY, &next]);
    tokio::time::pause();
    assert!(
        cache.keys_for("next").await.unwrap().get("next").is_none(),
        "too soon"
    );
    tokio::time::advance(MIN_FETCH_INTERVAL).await;
    tokio::time::resume();
    assert!(cache.keys_for("next").await.unwrap().get("next").is_some());

    endpoint.break_down();
    tokio::time::pause();
    tokio::time::advance(MIN_FETCH_INTERVAL).await;
    tokio::time::resume();
    let keys = cache.keys_for("unknown").await.unwrap();
    assert!(keys.get("test-key").is_some() && keys.get("next").is_some());
    assert_eq!(endpoint.fetches(), 3);
}

#[tokio::test]
async fn without_any_key_a_token_is_neither_good_nor_bad() {
    let endpoint = Endpoint::default();
    let service = Service::with_keys(Keys::Cached(endpoint.cache().await)).await;
    let answer = create(&service, &tokens::alice()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    let read = service
        .request(Method::GET, "/api/v1/posts")
        .bearer_auth(tokens::alice());
    assert_eq!(Answer::of(read).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_author_is_the_tokens_user_whatever_the_body_says() {
    let service = Service::on(Database::sqlite()).await;
    let body = json!({
        "title": "t", "content": "c", "category": "k", "user_id": tokens::BOB, "username": "bob",
    });
    let token = tokens::signed(&tokens::access_claims(ALICE, &"긴".repeat(120)));
    let created = service.post("/api/v1/posts", &token, &body).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.json["data"]["username"], "긴".repeat(100));
    let read = service.get(created.header("location")).await;
    assert_eq!(read.json["data"]["user_id"], ALICE);
}

/// Unpadded base64url.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let index = usize::try_from(group >> (18 - 6 * digit) & 63).unwrap();
            text.push(char::from(DIGITS[index]));
        }
    }
    text
}
