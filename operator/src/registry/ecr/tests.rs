//! Against a server that speaks as ECR does where the stand-ins do not: in pages.

use aws_sdk_ecr::config::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::registry::lifecycle::{Outlook, Taking};

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/p";

/// What the server answers to an operation with that body.
type Answer = fn(&str, &Value) -> (StatusCode, Value);

async fn ecr(answer: Answer) -> Arc<Ecr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let reply = |State(answer): State<Answer>, headers: HeaderMap, body: String| async move {
        let target = headers["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit('.').next().unwrap();
        let (status, body) = answer(operation, &serde_json::from_str(&body).unwrap());
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
fn pages(_: &str, request: &Value) -> (StatusCode, Value) {
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
    let answer: Answer = |operation, request| match request["nextToken"].as_str() {
        Some("2000") => (
            StatusCode::BAD_REQUEST,
            json!({"__type": "ServerException"}),
        ),
        _ => pages(operation, request),
    };
    let error = ecr(answer).await.list(REPOSITORY.into()).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_comes_twice_ends_in_an_error_not_in_a_part() {
    let answer: Answer = |_, _| {
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
    let answer: Answer = |_, _| {
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
    let answer: Answer = |_, _| {
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
    let unknown: Answer = |_, _| {
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
    let unknown: Answer = |_, _| {
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

/// A repository with one image, nothing of whose lifecycle may be read but what `operation` says.
fn keeping(operation: &str, status: &str, lifecycle: Answer) -> (StatusCode, Value) {
    match operation {
        "DescribeImages" => (StatusCode::OK, json!({"imageDetails": [image(1, status)]})),
        _ => lifecycle(operation, &Value::Null),
    }
}

fn exception(name: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({"__type": name}))
}

const KEEP_ONE: &str = r#"{"rules": [{"rulePriority": 5, "action": {"type": "expire"}, "selection":
    {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]}"#;

async fn kept(answer: Answer) -> Result<Keeping, RegistryError> {
    let digest = Digest::parse(&format!("sha256:{:064x}", 1)).unwrap();
    ecr(answer).await.keeping(REPOSITORY.into(), digest).await
}

#[tokio::test]
async fn an_image_is_gone_archived_or_kept_where_there_is_no_lifecycle_policy() {
    let gone = kept(|_, _| exception("ImageNotFoundException")).await;
    assert_eq!(gone, Ok(Keeping::Gone));
    let archived =
        kept(|operation, _| keeping(operation, "ARCHIVED", |_, _| exception("unexpected")));
    assert_eq!(archived.await, Ok(Keeping::Archived));
    let safe = kept(|operation, _| {
        keeping(operation, "ACTIVE", |_, _| {
            exception("LifecyclePolicyNotFoundException")
        })
    });
    assert_eq!(safe.await, Ok(Keeping::Kept(Outlook::Safe)));
}

#[tokio::test]
async fn a_lifecycle_that_may_not_be_read_is_no_error() {
    let unknown = kept(|operation, _| {
        keeping(operation, "ACTIVE", |_, _| {
            exception("AccessDeniedException")
        })
    });
    assert_eq!(unknown.await, Ok(Keeping::Kept(Outlook::Unreadable)));
}

#[tokio::test]
async fn without_the_preview_rank_and_age_say_what_comes() {
    let next = kept(|operation, _| {
        keeping(operation, "ACTIVE", |operation, _| match operation {
            "GetLifecyclePolicy" => (StatusCode::OK, json!({"lifecyclePolicyText": KEEP_ONE})),
            _ => exception("AccessDeniedException"),
        })
    });
    let taking = Taking {
        rule: 5,
        archives: false,
    };
    assert_eq!(next.await, Ok(Keeping::Kept(Outlook::Next(taking))));
}

#[tokio::test]
async fn the_preview_says_what_is_due() {
    let due = kept(|operation, _| {
        keeping(operation, "ACTIVE", |operation, _| {
            let results = json!([{
                "imageDigest": format!("sha256:{:064x}", 1), "appliedRulePriority": 5,
                "action": {"type": "TRANSITION"},
            }]);
            let body = match operation {
                "GetLifecyclePolicy" => json!({"lifecyclePolicyText": KEEP_ONE}),
                "StartLifecyclePolicyPreview" => json!({"status": "IN_PROGRESS"}),
                _ => json!({"status": "COMPLETE", "previewResults": results}),
            };
            (StatusCode::OK, body)
        })
    });
    let taking = Taking {
        rule: 5,
        archives: true,
    };
    assert_eq!(due.await, Ok(Keeping::Kept(Outlook::Due(taking))));
}

#[tokio::test]
async fn where_a_filter_does_not_go_with_a_digest_it_is_left_out() {
    let answer: Answer = |operation, request| match operation {
        "DescribeImages" if !request["filter"].is_null() => exception("InvalidParameterException"),
        "DescribeImages" => (
            StatusCode::OK,
            json!({"imageDetails": [image(1, "ACTIVE")]}),
        ),
        _ => exception("LifecyclePolicyNotFoundException"),
    };
    assert_eq!(kept(answer).await, Ok(Keeping::Kept(Outlook::Safe)));
}
