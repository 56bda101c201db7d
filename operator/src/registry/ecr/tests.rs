//! Against a server that speaks as ECR does where the stand-ins do not: in pages.

use aws_sdk_ecr::config::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/p";

/// What the server answers to a request's body.
type Answer = fn(&Value) -> (StatusCode, Value);

async fn ecr(answer: Answer) -> Arc<Ecr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let reply = |State(answer): State<Answer>, body: String| async move {
        let (status, body) = answer(&serde_json::from_str(&body).unwrap());
        (status, body.to_string()).into_response()
    };
    let router = Router::new().route("/", post(reply)).with_state(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = aws_config::from_env()
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    Arc::new(Ecr::new(config))
}

fn image(number: u64, status: &str) -> Value {
    json!({
        "imageDigest": format!("sha256:{number:064x}"), "imageTags": [format!("t{number}")],
        "imagePushedAt": 1_700_000_000 + number, "imageStatus": status,
    })
}

/// 2,500 images in pages of the length that is asked for.
fn pages(request: &Value) -> (StatusCode, Value) {
    assert_eq!(request["registryId"], "123456789012");
    assert_eq!(request["repositoryName"], "team/p");
    assert_eq!(request["filter"]["imageStatus"], "ANY");
    let from: u64 = request["nextToken"]
        .as_str()
        .map_or(0, |token| token.parse().unwrap());
    let to = (from + request["maxResults"].as_u64().unwrap()).min(2500);
    let status = |number| if number == 7 { "ARCHIVED" } else { "ACTIVE" };
    let images: Vec<_> = (from..to)
        .map(|number| image(number, status(number)))
        .collect();
    let next = (to < 2500).then(|| to.to_string());
    (
        StatusCode::OK,
        json!({"imageDetails": images, "nextToken": next}),
    )
}

#[tokio::test]
async fn a_listing_has_the_images_of_every_page_newest_first() {
    let listing = ecr(pages).await.list(REPOSITORY.into()).await.unwrap();
    assert_eq!(listing.images().len(), 2500);
    assert_eq!(listing.images()[0].tags, ["t2499"]);
    let archived = listing.images().iter().filter(|image| image.archived);
    assert_eq!(archived.count(), 1);
}

#[tokio::test]
async fn a_listing_without_its_last_page_is_none() {
    let answer: Answer = |request| match request["nextToken"].as_str() {
        Some("2000") => (
            StatusCode::BAD_REQUEST,
            json!({"__type": "ServerException"}),
        ),
        _ => pages(request),
    };
    let error = ecr(answer).await.list(REPOSITORY.into()).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_comes_twice_ends_in_an_error_not_in_a_part() {
    let answer: Answer = |_| {
        let page = json!({"imageDetails": [image(1, "ACTIVE")], "nextToken": "again"});
        (StatusCode::OK, page)
    };
    let result = ecr(answer).await.list(REPOSITORY.into()).await;
    assert!(
        matches!(result, Err(RegistryError::Unavailable { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn what_is_refused_names_the_action() {
    let answer: Answer = |_| {
        let body = json!({"__type": "AccessDeniedException", "message": "no"});
        (StatusCode::BAD_REQUEST, body)
    };
    let error = ecr(answer).await.list(REPOSITORY.into()).await.unwrap_err();
    assert!(
        error.to_string().contains("allow ecr:DescribeImages to"),
        "{error}"
    );
}

#[tokio::test]
async fn an_archived_image_is_not_resolved() {
    let answer: Answer = |_| {
        (
            StatusCode::OK,
            json!({"imageDetails": [image(7, "ARCHIVED")]}),
        )
    };
    let resolved = ecr(answer)
        .await
        .resolve(REPOSITORY.into(), "t7".into())
        .await;
    assert!(
        matches!(resolved, Err(RegistryError::Archived { .. })),
        "{resolved:?}"
    );
}

#[tokio::test]
async fn an_unknown_tag_is_told_apart_from_an_unknown_repository() {
    let unknown: Answer = |_| {
        let body = json!({"__type": "ImageNotFoundException"});
        (StatusCode::BAD_REQUEST, body)
    };
    let resolved = ecr(unknown)
        .await
        .resolve(REPOSITORY.into(), "9".into())
        .await;
    assert!(
        matches!(resolved, Err(RegistryError::TagNotFound { .. })),
        "{resolved:?}"
    );
    let unknown: Answer = |_| {
        let body = json!({"__type": "RepositoryNotFoundException"});
        (StatusCode::BAD_REQUEST, body)
    };
    let resolved = ecr(unknown)
        .await
        .resolve(REPOSITORY.into(), "9".into())
        .await;
    assert!(
        matches!(resolved, Err(RegistryError::RepositoryNotFound { .. })),
        "{resolved:?}"
    );
}
