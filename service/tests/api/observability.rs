//! What the program tells of itself: log lines, metrics, traces.

use crate::kit::{
    database::Database,
    process::{Served, run},
    tokens,
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    routing::{get, post},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::Mutex};

/// A service on SQLite in a folder of its own, with the development token.
struct Running {
    served: Served,
    token: String,
    _home: tempfile::TempDir,
}

impl Running {
    async fn start(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut all = vec![("HOME", home.path().to_str().expect("UTF-8"))];
        all.extend(environment);
        let mut served = Served::start(&all).await;
        served.log_line("ready to serve").await;
        let (_, token) = served.development_token().await;
        Self {
            served,
            token,
            _home: home,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.served.api)
    }

    /// Publishes a post and returns its id.
    async fn publish(&self) -> String {
        let body =
            json!({"title": "geheimer titel", "content": "geheimer inhalt", "category": "c"});
        let request = self.served.client.post(self.url("/api/v1/posts"));
        let answer = request.bearer_auth(&self.token).json(&body).send().await;
        let answer: Value = answer.expect("an answer").json().await.expect("JSON");
        answer["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// The log line of a GET with this request id.
    async fn line_of_read(&mut self, path: &str, id: &str) -> Value {
        let request = self.served.client.get(self.url(path));
        let request = request.bearer_auth(&self.token).header("X-Request-Id", id);
        request.send().await.expect("an answer");
        self.line_of(id).await
    }

    async fn line_of(&mut self, id: &str) -> Value {
        loop {
            let line = self.served.log_line("request").await;
            if line["request_id"] == id {
                return line;
            }
        }
    }

    /// Ends the process; what it still said.
    async fn end(mut self) -> Vec<String> {
        self.served.signal(Signal::SIGTERM);
        let rest = self.served.rest_of_log().await;
        assert_eq!(self.served.exit_code().await, Some(0));
        rest
    }
}

/// The `sub` in a token.
fn sub(token: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    claims["sub"].as_str().expect("a sub").to_owned()
}

#[tokio::test]
async fn a_request_is_one_json_line_that_tells_everything_but_secrets() {
    let mut running = Running::start(&[]).await;
    let post = running.publish().await;
    let line = running
        .line_of_read("/api/v1/posts?q=geheime-suche", "list-1")
        .await;
    for (field, value) in [
        ("message", json!("request")),
        ("method", json!("GET")),
        ("route", json!("/api/v1/posts")),
        ("status", json!(200)),
        ("level", json!("INFO")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["ms"].as_f64().expect("ms") > 0.0, "{line}");
    assert!(line["sql_count"].as_u64().expect("a count") > 0, "{line}");
    assert!(line["sql_ms"].as_f64().expect("ms") > 0.0, "{line}");
    let user = line["user"].as_str().expect("a user").to_owned();
    assert_eq!(user.len(), 16, "{line}");

    let mut lines = vec![line.to_string()];
    let path = format!("/api/v1/posts/{post}");
    for attempt in 0.. {
        let line = running
            .line_of_read(&path, &format!("detail-{attempt}"))
            .await;
        assert_eq!(
            (&line["route"], &line["user"]),
            (&json!("/api/v1/posts/{id}"), &json!(user))
        );
        lines.push(line.to_string());
        // SQLite's worker may finish its last statement after the answer is sent.
        if line["sql_count"].as_u64() > Some(0) {
            break;
        }
        assert!(attempt < 100, "no statement is ever counted");
    }
    let health = running.line_of_read("/health", "health-1").await;
    assert_eq!(health["sql_count"], 0, "{health}");

    let (token, sub) = (running.token.clone(), sub(&running.token));
    lines.extend(running.end().await);
    let log = lines.join("\n");
    for secret in ["geheim", &token, &sub, "SELECT", "sqlx::query"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn statements_are_logged_for_those_who_ask() {
    let mut running = Running::start(&[("RUST_LOG", "info,sqlx::query=debug")]).await;
    let line = running.line_of_read("/api/v1/posts", "list-1").await;
    assert!(line["sql_count"].as_u64().expect("a count") > 0, "{line}");
    running.line_of_read("/api/v1/posts", "list-2").await;
    running.publish().await;
    let log = running.end().await.join("\n");
    assert!(
        log.contains("sqlx::query") && log.contains("INSERT"),
        "{log}"
    );
}

#[tokio::test]
async fn anonymous_requests_have_no_user_and_errors_are_counted_by_kind() {
    let mut running = Running::start(&[]).await;
    let request = running.served.client.get(running.url("/api/v1/posts/nope"));
    let request = request.header("X-Request-Id", "nobody-1");
    request.send().await.expect("an answer");
    let line = running.line_of("nobody-1").await;
    assert_eq!(
        (&line["user"], &line["status"]),
        (&Value::Null, &json!(404))
    );
    let metrics = format!("http://{}/metrics", running.served.metrics);
    let metrics = running.served.client.get(metrics).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    let sample = r#"http_requests_rejected_total{reason="post_not_found"} 1"#;
    assert!(metrics.contains(sample), "{metrics}");
}

/// What a collector was sent: path, content type, body.
type Sent = Arc<Mutex<Vec<(String, String, Bytes)>>>;

/// A collector that takes everything and understands nothing.
async fn collector() -> (String, Sent) {
    async fn take(State(sent): State<Sent>, request: axum::extract::Request) {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let kind = parts.headers["content-type"].to_str().expect("ASCII");
        sent.lock()
            .await
            .push((parts.uri.path().to_owned(), kind.to_owned(), body));
    }
    let sent = Sent::default();
    let router = Router::new()
        .route("/{*path}", post(take))
        .with_state(Arc::clone(&sent));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, router).into_future());
    (base, sent)
}

#[tokio::test]
async fn traces_are_sent_to_the_collector_at_the_latest_when_the_process_ends() {
    let (collector, sent) = collector().await;
    let mut running = Running::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = running
        .served
        .client
        .get(running.url("/api/v1/posts/nope?q=geheim"));
    let request = request
        .header("X-Request-Id", "traced-1")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    request.send().await.expect("an answer");
    assert_eq!(running.line_of("traced-1").await["trace_id"], trace);
    running.end().await;

    let sent = sent.lock().await;
    let (path, kind, _) = sent.first().expect("traces");
    assert_eq!(
        (path.as_str(), kind.as_str()),
        ("/v1/traces", "application/x-protobuf")
    );
    let bodies: Vec<u8> = sent.iter().flat_map(|(_, _, body)| body.to_vec()).collect();
    let holds = |text: &[u8]| bodies.windows(text.len()).any(|window| window == text);
    let trace = hex(trace);
    for text in [
        &trace[..],
        b"post-service",
        b"GET /api/v1/posts/{id}",
        b"http.request.method",
        b"http.route",
        b"http.response.status_code",
    ] {
        assert!(holds(text), "{}", String::from_utf8_lossy(text));
    }
    assert!(!holds(b"geheim"), "a query string is no part of a trace");
}

#[tokio::test]
async fn a_collector_that_is_down_delays_neither_requests_nor_the_end() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let mut running = Running::start(&[endpoint]).await;
    let line = running.line_of_read("/health", "health-1").await;
    assert!(line["ms"].as_f64().expect("ms") < 1000.0, "{line}");
    let ended = tokio::time::timeout(Duration::from_secs(10), running.end()).await;
    assert!(ended.is_ok(), "the end waits for the collector");
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_counted_on_mysql_too() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let url = database.url_text();
    let (code, _, error) = run(&["migrate"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(code, 0, "{error}");
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("SECRET_KEY", "s"),
        ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
        ("COGNITO_REGION", "ap-northeast-2"),
        ("COGNITO_CLIENT_ID", "client"),
        ("COGNITO_JWKS_URL", "http://127.0.0.1:1/jwks.json"),
    ];
    let mut served = Served::start(&environment).await;
    served.log_line("ready to serve").await;
    let categories = format!("http://{}/api/v1/categories", served.api);
    let mut counts = Vec::new();
    while counts.last() != Some(&Some(1)) {
        let answer = served.client.get(&categories).send().await;
        assert!(answer.expect("an answer").status().is_success());
        let mut line = served.log_line("request").await;
        while line["route"] != "/api/v1/categories" {
            line = served.log_line("request").await;
        }
        assert!(line["sql_ms"].as_f64() > Some(0.0), "{line}");
        // A request that finds no idle connection opens one, whose three statements count, too.
        counts.push(line["sql_count"].as_u64());
        assert!(matches!(counts[..], [.., Some(1 | 4)]), "{line}");
        assert!(counts.len() < 10, "no connection stays open: {counts:?}");
    }
}

#[tokio::test]
async fn the_age_of_the_token_keys_is_a_metric() {
    let set = json!({"keys": [tokens::KEY.public_jwk().expect("a key")]}).to_string();
    let router = Router::new().route("/jwks.json", get(async move || set));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let jwks = format!(
        "http://{}/jwks.json",
        listener.local_addr().expect("an address")
    );
    tokio::spawn(axum::serve(listener, router).into_future());
    let home = tempfile::tempdir().expect("a folder");
    let begun = tokens::now();
    let served = Served::start(&[
        ("HOME", home.path().to_str().expect("UTF-8")),
        ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
        ("COGNITO_REGION", "ap-northeast-2"),
        ("COGNITO_CLIENT_ID", "client"),
        ("COGNITO_JWKS_URL", &jwks),
    ])
    .await;
    let metrics = format!("http://{}/metrics", served.metrics);
    let deadline = Instant::now() + Duration::from_secs(20);
    let metrics = loop {
        let answer = served.client.get(&metrics).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        if text.contains("jwks_keys 1") {
            break text;
        }
        assert!(Instant::now() < deadline, "no keys in {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("jwks_last_success_timestamp_seconds "))
        .expect("a time");
    let fetched: f64 = value.parse().expect("a number");
    let around = begun..=tokens::now() + 1;
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds will do")]
    let fetched = fetched.ceil() as i64;
    assert!(around.contains(&fetched), "{fetched}");
}
