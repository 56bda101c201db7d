//! The database is away.

use crate::kit::{Answer, ORIGIN, Service, tokens};
use post_service::{
    auth::Keys,
    store::{DatabaseUrl, open},
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn requests_are_told_to_come_back_and_readiness_stays() {
    // Nothing listens on port 1.
    let url: DatabaseUrl = "mysql://u:p@127.0.0.1:1/d".parse().expect("a URL");
    let store = open(&url, 2).await.expect("a store that connects later");
    let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
    let service = Service::with(store, keys, None).await;
    let list = service
        .request(Method::GET, "/api/v1/posts")
        .header("Origin", ORIGIN);
    let post = json!({"title": "t", "content": "c", "category": "k"});
    let create = service
        .request(Method::POST, "/api/v1/posts")
        .header("Origin", ORIGIN);
    let create = create.bearer_auth(tokens::alice()).json(&post);
    let (list, create) = tokio::join!(Answer::of(list), Answer::of(create));
    for answer in [&list, &create] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.header("retry-after").parse::<u32>().is_ok());
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert_eq!(answer.json["request_id"], answer.header("x-request-id"));
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
    assert_eq!(list.json["error"], json!({"code": 503, "details": null}));
    assert_eq!(create.json["error"], create.json["message"]);
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
}
