//! How often clients may come, and who counts as one.

use crate::kit::{self, Answer, ORIGIN, Service, process::Served, tokens};
use nix::sys::signal::Signal;
use post_service::http::{Gate, rate::Limits};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};

const READ: &str = "/api/v1/posts/nope";

/// A service that allows so many reads and writes a minute, behind proxies on this machine.
async fn limited(reads: u32, writes: u32) -> Service {
    Service::behind(Gate {
        limits: Limits::per_minute(reads, writes),
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
        ..kit::gate()
    })
    .await
}

/// A read that came from this address, as the proxy tells.
fn read_from(service: &Service, address: &str) -> RequestBuilder {
    service
        .request(Method::GET, READ)
        .header("X-Forwarded-For", address)
}

async fn status(request: RequestBuilder) -> u16 {
    Answer::of(request).await.status.as_u16()
}

#[tokio::test]
async fn every_answer_tells_the_quota_and_one_request_too_many_is_a_429() {
    let service = limited(2, 0).await;
    for left in ["1", "0"] {
        let answer = Answer::of(read_from(&service, "203.0.113.1")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("ratelimit-policy"), r#""reads";q=2;w=60"#);
        let limit = answer.header("ratelimit");
        assert!(
            limit.starts_with(&format!(r#""reads";r={left};t="#)),
            "{limit}"
        );
        assert_eq!(answer.header("retry-after"), "");
    }
    let request = read_from(&service, "203.0.113.1").header("Origin", ORIGIN);
    let refused = Answer::of(request).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        refused.json,
        json!({
            "success": false, "message": "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요",
            "error": {"code": 429, "details": null},
        })
    );
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), r#""reads";r=0;t=60"#);
    assert_eq!(refused.header("access-control-allow-origin"), ORIGIN);
    let exposed = refused.header("access-control-expose-headers");
    for name in ["ratelimit", "ratelimit-policy", "retry-after"] {
        assert!(
            exposed.split(',').any(|one| one == name),
            "{name}: {exposed}"
        );
    }
}

#[tokio::test]
async fn a_client_is_welcome_again_when_retry_after_has_passed() {
    let service = limited(60, 0).await;
    let begun = Instant::now();
    let refused = loop {
        let answer = Answer::of(read_from(&service, "203.0.113.1")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never refused");
    };
    assert_eq!(refused.header("retry-after"), "1");
    let refused_at = Instant::now();
    while status(read_from(&service, "203.0.113.1")).await == 429 {
        assert!(
            refused_at.elapsed() < Duration::from_secs(5),
            "still refused"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn reads_and_writes_are_counted_apart() {
    let service = limited(1, 1).await;
    let write = async || {
        let answer = service
            .post("/api/v1/posts", &tokens::alice(), &json!({}))
            .await;
        (
            answer.status.as_u16(),
            answer.header("ratelimit-policy").to_owned(),
        )
    };
    let read = || {
        service
            .request(Method::GET, READ)
            .bearer_auth(tokens::alice())
    };
    assert_eq!((status(read()).await, status(read()).await), (404, 429));
    let policy = r#""writes";q=1;w=60"#.to_owned();
    assert_eq!(write().await, (400, policy.clone()));
    assert_eq!(write().await, (429, policy));
}

#[tokio::test]
async fn users_are_counted_by_themselves_wherever_they_come_from() {
    let service = limited(1, 1).await;
    let read = |address, token: String| read_from(&service, address).bearer_auth(token);
    assert_eq!(status(read("203.0.113.1", tokens::alice())).await, 404);
    assert_eq!(status(read("203.0.113.1", tokens::bob())).await, 404);
    assert_eq!(status(read("203.0.113.2", tokens::alice())).await, 429);
    let forged = tokens::IMPOSTOR
        .sign(&tokens::id_claims(tokens::BOB, "bob"))
        .expect("a token");
    assert_eq!(
        status(read("203.0.113.3", forged)).await,
        404,
        "a bad token is nobody's: its client's address counts"
    );
}

#[tokio::test]
async fn clients_behind_trusted_proxies_are_told_apart_and_cannot_disguise_themselves() {
    let service = limited(1, 0).await;
    assert_eq!(status(read_from(&service, "203.0.113.1")).await, 404);
    assert_eq!(status(read_from(&service, "203.0.113.2")).await, 404);
    for disguise in ["6.6.6.6, 203.0.113.1", "garbage,203.0.113.1, 127.0.0.9"] {
        assert_eq!(
            status(read_from(&service, disguise)).await,
            429,
            "{disguise}"
        );
    }
    let request = service.request(Method::GET, READ);
    let forwarded = request.header(
        "Forwarded",
        "for=6.6.6.6, for=\"203.0.113.2:99\";proto=http",
    );
    assert_eq!(status(forwarded).await, 429);
}

#[tokio::test]
async fn without_trusted_proxies_headers_are_not_believed() {
    let service = Service::behind(Gate {
        limits: Limits::per_minute(1, 0),
        ..kit::gate()
    })
    .await;
    assert_eq!(status(read_from(&service, "203.0.113.1")).await, 404);
    assert_eq!(status(read_from(&service, "203.0.113.2")).await, 429);
}

#[tokio::test]
async fn zero_is_no_limit_and_probes_documents_and_preflights_have_none() {
    let unlimited = limited(0, 0).await;
    let answer = Answer::of(read_from(&unlimited, "203.0.113.1")).await;
    assert_eq!(answer.header("ratelimit"), "");
    let service = limited(1, 1).await;
    let paths = [
        "/health",
        "/api/v1/health",
        "/livez",
        "/readyz",
        "/api/openapi.json",
        "/api/docs/",
    ];
    for path in paths.into_iter().chain(paths) {
        let request = service.request(Method::GET, path);
        let answer = Answer::of(request.header("X-Forwarded-For", "203.0.113.1")).await;
        assert_eq!(
            (answer.status, answer.header("ratelimit")),
            (StatusCode::OK, ""),
            "{path}"
        );
    }
    for _ in 0..3 {
        let preflight = service
            .request(Method::OPTIONS, "/api/v1/posts")
            .header("Origin", ORIGIN)
            .header("Access-Control-Request-Method", "POST");
        assert_eq!(status(preflight).await, 200);
    }
}

#[tokio::test]
async fn a_proxy_that_names_nobody_turns_limits_off_with_one_warning() {
    let home = tempfile::tempdir().expect("a folder");
    let mut served = Served::start(&[
        ("HOME", home.path().to_str().expect("UTF-8")),
        ("RATE_LIMIT_READS_PER_MINUTE", "1"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,::1/128"),
    ])
    .await;
    let url = format!("http://{}{READ}", served.api);
    let read = |address: Option<&'static str>| {
        let request = served.client.get(&url);
        match address {
            Some(address) => status(request.header("X-Forwarded-For", address)),
            None => status(request),
        }
    };
    for _ in 0..3 {
        assert_eq!(read(None).await, 404);
    }
    let named = Some("203.0.113.1");
    assert_eq!((read(named).await, read(named).await), (404, 429));
    served.signal(Signal::SIGTERM);
    let log = served.rest_of_log().await;
    let warnings = log.iter().filter(|line| line.contains("TRUSTED_PROXIES"));
    assert_eq!(warnings.count(), 1, "{log:?}");
}
