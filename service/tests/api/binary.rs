//! The program itself.

use crate::kit::{
    database::Database,
    process::{Served, run},
};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn with_no_setting_but_a_home_it_serves_and_prints_a_line_that_creates_a_post() {
    let home = tempfile::Builder::new()
        .prefix("a ?%23 b")
        .tempdir()
        .expect("a folder");
    let home_path = home.path().to_str().expect("UTF-8");
    let mut served = Served::start(&[("HOME", home_path)]).await;
    served.log_line("ready to serve").await;
    let (printed, token) = served.development_token().await;
    assert!(
        printed.contains("DEVELOPMENT TOKENS") && printed.contains("/api/docs"),
        "{printed}"
    );
    let body = json!({"title": "Hello", "content": "First post", "category": "자유"});
    let url = format!("http://{}/api/v1/posts", served.api);
    let create = served.client.post(url).bearer_auth(token).json(&body);
    assert_eq!(
        create.send().await.expect("an answer").status(),
        StatusCode::CREATED
    );
    assert!(
        home.path()
            .join(".local/share/post-service/post-service.db")
            .exists()
    );

    // The log has one line for it, without the token.
    let line = served.log_line("request").await;
    assert_eq!(
        (&line["status"], &line["route"]),
        (&json!(201), &json!("/api/v1/posts"))
    );
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit_code().await, Some(0));
    let rest = served.rest_of_log().await.join("\n");
    assert!(!line.to_string().contains("eyJ") && !rest.contains("eyJ"));
}

#[tokio::test]
async fn a_signal_lets_requests_in_flight_finish() {
    let home = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(&[("HOME", home.path().to_str().expect("UTF-8"))]).await;
    served.log_line("ready to serve").await;
    let (_, token) = served.development_token().await;
    let body = json!({"title": "t", "content": "c", "category": "k"}).to_string();
    let head = format!(
        "POST /api/v1/posts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&served.api).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // "100 Continue" is sent when the handler asks for the body: the request is in flight.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("an answer");
    assert!(
        go_on.starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&go_on)
    );
    served.signal(Signal::SIGINT);
    served.log_line("draining").await;
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("an answer and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(served.exit_code().await, Some(0));
}

#[tokio::test]
async fn healthcheck_tells_whether_the_service_is_ready() {
    let home = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(&[("HOME", home.path().to_str().expect("UTF-8"))]).await;
    served.log_line("ready to serve").await;
    let api = served.api.clone();
    let listen = [("LISTEN_ADDRESS", api.as_str())];
    assert_eq!(run(&["healthcheck"], &listen).await.0, 0);
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit_code().await, Some(0));
    let (code, _, error) = run(&["healthcheck"], &listen).await;
    assert_eq!((code, error.lines().count()), (1, 1), "{error}");
}

#[tokio::test]
async fn metrics_have_a_port_of_their_own() {
    let home = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(&[("HOME", home.path().to_str().expect("UTF-8"))]).await;
    served.log_line("ready to serve").await;
    let get = async |address: &str, path: &str| {
        let answer = served
            .client
            .get(format!("http://{address}{path}"))
            .send()
            .await;
        answer.expect("an answer").text().await.expect("text")
    };
    get(
        &served.api,
        "/api/v1/posts/00000000000000000000000000000000",
    )
    .await;
    get(&served.api, "/some/where").await;
    let metrics = get(&served.metrics, "/metrics").await;
    for sample in [
        r#"http_requests_total{method="GET",route="/api/v1/posts/{id}",status="404"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"http_request_duration_seconds_bucket{method="GET",route="/api/v1/posts/{id}",le="0.001"}"#,
        r#"database_pool_connections{state="busy"}"#,
        "database_pool_connections_max 8",
        "views_waiting 0",
        r#"post_service_build_info{version=""#,
    ] {
        assert!(metrics.contains(sample), "{sample} is not in {metrics}");
    }
    assert!(get(&served.api, "/metrics").await.contains("Not Found"));
}

#[tokio::test]
async fn openapi_prints_the_document_with_no_setting() {
    let (code, document, _) = run(&["openapi"], &[]).await;
    assert_eq!(code, 0);
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert!(document["paths"]["/api/v1/posts"]["post"].is_object());
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_with_one_line_naming_it() {
    let mysql = ("DATABASE_URL", "mysql://u:geheim@127.0.0.1:1/d");
    let sqlite = ("DATABASE_URL", "sqlite:///nonexistent/p.db");
    let cases: [(&[(&str, &str)], &str); 13] = [
        (&[("TRUSTED_PROXIES", "10.0.0.0/8,x")], "TRUSTED_PROXIES"),
        (
            &[("RATE_LIMIT_WRITES_PER_MINUTE", "-1")],
            "RATE_LIMIT_WRITES_PER_MINUTE",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")],
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (&[("LISTEN_ADDRESS", "here")], "LISTEN_ADDRESS"),
        (&[("METRICS_ADDRESS", "9090")], "METRICS_ADDRESS"),
        (&[("DATABASE_URL", "postgres://geheim@h/d")], "DATABASE_URL"),
        (&[("DATABASE_POOL_SIZE", "0")], "DATABASE_POOL_SIZE"),
        (&[("MAX_PAGE_SIZE", "many")], "MAX_PAGE_SIZE"),
        (&[("LOG_FORMAT", "xml")], "LOG_FORMAT"),
        (&[("CORS_ALLOWED_ORIGINS", "*")], "CORS_ALLOWED_ORIGINS"),
        (&[mysql], "SECRET_KEY"),
        (&[mysql, ("SECRET_KEY", "geheim")], "COGNITO_USER_POOL_ID"),
        (
            &[sqlite, ("LISTEN_ADDRESS", "0.0.0.0:0")],
            "COGNITO_USER_POOL_ID",
        ),
    ];
    for (environment, setting) in cases {
        let (code, _, error) = run(&["serve"], environment).await;
        assert!(code != 0, "{setting}");
        assert!(
            error.lines().count() == 1 && error.contains(setting),
            "{setting}: {error}"
        );
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn an_empty_variable_counts_as_absent() {
    let environment = [
        ("COGNITO_JWKS_URL", ""),
        ("MAX_PAGE_SIZE", ""),
        ("SECRET_KEY", ""),
    ];
    assert_eq!(run(&["openapi"], &environment).await.0, 0);
}

#[tokio::test]
async fn migrate_asks_to_be_tried_again_when_nobody_answers() {
    let environment = [("DATABASE_URL", "mysql://u:geheim@127.0.0.1:1/d")];
    let (code, _, error) = run(&["migrate"], &environment).await;
    assert_eq!(code, 75);
    assert!(
        error.contains("cannot reach mysql://127.0.0.1:1/d"),
        "{error}"
    );
    assert!(!error.contains("geheim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_waits_for_the_schema_that_migrate_makes_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let url = database.url_text();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("SECRET_KEY", "s"),
        ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
        ("COGNITO_REGION", "ap-northeast-2"),
        ("COGNITO_CLIENT_ID", "client"),
        ("COGNITO_JWKS_URL", "http://127.0.0.1:1/jwks.json"),
    ];
    let mut served = Served::start(&environment).await;
    served.log_line("run `post-service migrate`").await;
    let readyz = format!("http://{}/readyz", served.api);
    let ready = async || {
        served
            .client
            .get(&readyz)
            .send()
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    let (code, out, error) = run(&["migrate"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("applied 0001 create adoption\n"), "{out}");
    served.log_line("ready to serve").await;
    let readyz = served
        .client
        .get(&readyz)
        .send()
        .await
        .expect("an answer")
        .status();
    assert_eq!(readyz, StatusCode::OK);
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_settings_of_encryption_are_demanded_of_the_server() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let url = format!("{}&ssl-mode=DISABLED", database.url_text());
    let migrate = async |mode: &str| {
        let environment = [("DATABASE_URL", url.as_str()), ("DATABASE_TLS_MODE", mode)];
        run(&["migrate"], &environment).await
    };
    // The server made its certificate itself.
    let (code, _, error) = migrate("VerifyIdentity").await;
    assert_ne!(code, 0);
    assert!(error.contains("certificate"), "{error}");
    let (code, _, error) = migrate("Required").await;
    assert_eq!(code, 0, "{error}");
}
