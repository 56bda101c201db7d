//! Health, readiness, documents.

use crate::kit::{Service, database::Database};
use post_service::http;
use reqwest::StatusCode;
use serde_json::Value;

#[tokio::test]
async fn readiness_ends_with_draining_and_health_does_not() {
    let service = Service::on(Database::sqlite()).await;
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
    service.readiness.drain();
    let draining = service.get("/readyz").await;
    assert_eq!(draining.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(draining.header("connection"), "close");
    for path in ["/health", "/api/v1/health", "/livez"] {
        assert_eq!(service.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_document_is_openapi_31_and_names_every_route() {
    let service = Service::on(Database::sqlite()).await;
    let document = service.get("/api/openapi.json").await.json;
    assert_eq!(
        document,
        serde_json::to_value(http::openapi()).expect("JSON")
    );
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let paths: Vec<_> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .collect();
    for path in [
        "/api/v1/posts",
        "/api/v1/posts/my",
        "/api/v1/posts/{id}",
        "/api/v1/categories",
        "/api/v1/health",
        "/health",
        "/livez",
        "/readyz",
    ] {
        assert!(
            paths.iter().any(|found| *found == path),
            "{path} is not in {paths:?}"
        );
    }
    let create = &document["paths"]["/api/v1/posts"]["post"];
    assert_eq!(create["security"][0]["bearer"], Value::Array(vec![]));
}

#[tokio::test]
async fn the_documentation_is_served_from_the_program() {
    let service = Service::on(Database::sqlite()).await;
    assert_eq!(
        service.get("/api/docs").await.header("location"),
        "/api/docs/"
    );
    let page = service.get("/api/docs/").await;
    assert!(page.text.contains("swagger-ui"));
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'self'")
    );
    assert!(
        !page.text.contains("https://"),
        "nothing is loaded from elsewhere"
    );
    let script = service.get("/api/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/api/openapi.json"));
}
