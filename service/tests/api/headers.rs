//! What stands in the heads of answers.

use crate::kit::{Answer, ORIGIN, Service, database::Database, tokens};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn every_answer_carries_cors_for_known_origins_and_none_for_others() {
    let service = Service::on(Database::sqlite()).await;
    for (method, path, status) in [
        (Method::GET, "/api/v1/posts", 200),
        (Method::GET, "/api/v1/posts/nope", 404),
        (Method::POST, "/api/v1/posts", 401),
        (Method::PUT, "/api/v1/posts", 405),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/api/v1/posts?page=x", 400),
    ] {
        for (origin, echoed) in [(ORIGIN, ORIGIN), ("https://evil.example", "")] {
            let request = service
                .request(method.clone(), path)
                .header("Origin", origin);
            let answer = Answer::of(request).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(
                answer.header("access-control-allow-origin"),
                echoed,
                "{path}"
            );
            let varies = answer.headers.get_all("vary").iter();
            let varies = varies.map(|value| value.to_str().expect("ASCII"));
            assert!(varies.collect::<String>().contains("origin"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_plain_request_id_is_taken_over_and_any_other_replaced() {
    let service = Service::on(Database::sqlite()).await;
    let answered = async |sent: &str| {
        let request = service
            .request(Method::GET, "/nothing")
            .header("X-Request-Id", sent);
        Answer::of(request).await.header("x-request-id").to_owned()
    };
    let longest = "x".repeat(64);
    for id in ["abc-1.2_3", &longest] {
        assert_eq!(answered(id).await, id);
    }
    for id in ["", "a b", "a\"b", "{}", &"x".repeat(65)] {
        let made = answered(id).await;
        assert!(made != id && made.len() == 32, "{id}: {made}");
    }
}

#[tokio::test]
async fn long_answers_are_compressed_and_nothing_is_sniffed() {
    let service = Service::on(Database::sqlite()).await;
    for _ in 0..10 {
        service
            .publish(&tokens::alice(), &"가".repeat(100), "c")
            .await;
    }
    for encoding in ["br", "gzip"] {
        let request = service.request(Method::GET, "/api/v1/posts");
        let answer = request
            .header("Accept-Encoding", encoding)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], encoding);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert!(answer.bytes().await.expect("a body").len() < 1500);
    }
    assert_eq!(
        service
            .get("/api/v1/posts")
            .await
            .header("content-encoding"),
        ""
    );
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let service = Service::on(Database::sqlite()).await;
    let request = service
        .request(Method::GET, "/health")
        .header("X-Long", "x".repeat(20_000));
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
