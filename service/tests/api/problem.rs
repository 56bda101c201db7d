//! Errors in the shape of RFC 9457, for those who ask.

use crate::kit::{self, Answer, Service, database::Database, tokens};
use post_service::http::{Gate, rate::Limits};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

const PROBLEM: &str = "application/problem+json";

async fn problem(request: RequestBuilder) -> Answer {
    let answer = Answer::of(request.header("Accept", PROBLEM)).await;
    assert_eq!(answer.header("content-type"), PROBLEM, "{}", answer.text);
    assert_eq!(answer.json["status"], answer.status.as_u16());
    assert_eq!(answer.json["type"], "about:blank");
    let instance = format!("urn:request-id:{}", answer.header("x-request-id"));
    assert_eq!(answer.json["instance"], instance);
    answer
}

#[tokio::test]
async fn every_kind_of_error_is_a_problem_for_those_who_ask() {
    let service = Service::on(Database::sqlite()).await;
    let create = || service.request(Method::POST, "/api/v1/posts");
    let (get, post) = (Method::GET, Method::POST);
    let cases = [
        (
            service.request(get.clone(), "/api/v1/posts/nope"),
            404,
            "post_not_found",
            "Not Found",
        ),
        (
            service.request(get.clone(), "/nothing"),
            404,
            "not_found",
            "Not Found",
        ),
        (
            service.request(post, "/health"),
            405,
            "method_not_allowed",
            "Method Not Allowed",
        ),
        (create(), 401, "token_required", "Unauthorized"),
        (
            create().bearer_auth("a.b.c"),
            401,
            "token_invalid",
            "Unauthorized",
        ),
        (
            create().bearer_auth(tokens::alice()).body("x"),
            415,
            "unsupported_media_type",
            "Unsupported Media Type",
        ),
        (
            create()
                .bearer_auth(tokens::alice())
                .json(&"x".repeat(2 << 20)),
            413,
            "body_too_large",
            "Payload Too Large",
        ),
    ];
    for (request, status, code, title) in cases {
        let answer = problem(request).await;
        let json = &answer.json;
        assert_eq!(
            (answer.status.as_u16(), &json["code"]),
            (status, &json!(code))
        );
        assert_eq!(
            (&json["title"], &json["errors"]),
            (&json!(title), &json!([]))
        );
        assert!(json["detail"].as_str().is_some_and(|text| !text.is_empty()));
    }
    service.readiness.drain();
    let unready = problem(service.request(get, "/readyz")).await;
    assert_eq!(unready.json["code"], "unavailable");
}

#[tokio::test]
async fn a_problem_of_fields_names_them() {
    let service = Service::on(Database::sqlite()).await;
    let create = |body| {
        let request = service.request(Method::POST, "/api/v1/posts");
        request.bearer_auth(tokens::alice()).json(&body)
    };
    let blank = json!({"title": " ", "content": "c", "category": "d"});
    let wrong_type = json!({"title": "t", "content": 1, "category": "d"});
    for (body, field, message) in [
        (blank, "title", "title 필드가 필요합니다."),
        (
            wrong_type,
            "content",
            "content 필드의 값이 올바르지 않습니다.",
        ),
    ] {
        let answer = problem(create(body)).await;
        assert_eq!(
            answer.json["errors"],
            json!([{"field": field, "message": message}])
        );
        assert_eq!(
            (&answer.json["detail"], &answer.json["code"]),
            (&json!(message), &json!("invalid_field"))
        );
    }
}

#[tokio::test]
async fn a_refusal_for_coming_too_often_keeps_its_headers() {
    let service = Service::behind(Gate {
        limits: Limits::per_minute(1, 0),
        ..kit::gate()
    })
    .await;
    service.get("/api/v1/posts/nope").await;
    let answer = problem(service.request(Method::GET, "/api/v1/posts/nope")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json["code"]),
        (429, &json!("rate_limited"))
    );
    assert!(!answer.header("retry-after").is_empty() && !answer.header("ratelimit").is_empty());
}

#[tokio::test]
async fn everybody_else_is_answered_as_ever() {
    let service = Service::on(Database::sqlite()).await;
    for accept in ["*/*", "application/json", "application/problem+json;q=0"] {
        let request = service.request(Method::GET, "/api/v1/posts/nope");
        let answer = Answer::of(request.header("Accept", accept)).await;
        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{accept}"
        );
        assert_eq!(answer.json["error"], json!({"code": 404, "details": null}));
    }
    let request = service
        .request(Method::GET, "/health")
        .header("Accept", PROBLEM);
    assert_eq!(
        Answer::of(request).await.header("content-type"),
        "application/json"
    );
}

#[tokio::test]
async fn https_is_asked_for_where_it_is_set() {
    let service = Service::behind(Gate {
        hsts_max_age: 600,
        ..kit::gate()
    })
    .await;
    let header = "strict-transport-security";
    for path in ["/health", "/nothing"] {
        assert_eq!(service.get(path).await.header(header), "max-age=600");
    }
    let silent = Service::on(Database::sqlite()).await;
    assert_eq!(silent.get("/health").await.header(header), "");
}
