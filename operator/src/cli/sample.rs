//! A `PostService` for tests.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::api::v1alpha1::{ImageRef, PostService, PostServiceSpec, PostServiceStatus};

/// A moment.
pub fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A spec that asks for `tag`.
pub fn spec(tag: &str) -> PostServiceSpec {
    let image = json!({"repository": "registry.example/post-service", "tag": tag});
    serde_json::from_value(json!({"image": image})).unwrap()
}

/// Generation 3 of `shop/api`, which asks for `tag` and of which nothing is known.
pub fn service(tag: &str) -> PostService {
    let mut service = PostService::new("api", spec(tag));
    service.metadata.namespace = Some("shop".into());
    service.metadata.uid = Some("uid".into());
    service.metadata.generation = Some(3);
    service
}

/// The same, of which the operator says `conditions`: type, status, reason.
pub fn seen(tag: &str, conditions: &[(&str, &str, &str)]) -> PostService {
    let mut service = service(tag);
    service.status = Some(PostServiceStatus {
        observed_generation: Some(3),
        conditions: conditions.iter().map(|each| condition(*each)).collect(),
        ..PostServiceStatus::default()
    });
    service
}

/// A condition of generation 3 whose message is its reason, said.
pub fn condition((type_, status, reason): (&str, &str, &str)) -> Condition {
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: format!("because of {reason}"),
        observed_generation: Some(3),
        last_transition_time: Time(now()),
    }
}

/// An image.
pub fn image(tag: &str) -> ImageRef {
    ImageRef {
        repository: Some("registry.example/post-service".into()),
        tag: Some(tag.into()),
        digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
        pushed_at: None,
    }
}
