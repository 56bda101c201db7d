//! The database is away.

use crate::kit::{Answer, ORIGIN, Options, Service, database::Database, tokens};
use post_service::{
    auth::Keys,
    store::{DatabaseUrl, open},
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn requests_are_told_to_come_back_and_readiness_stays() {
    // Nothing listens on port 1.
    let url: DatabaseUrl = "mysql://u:p@127.0.0.1:1/d".parse().expect("a URL");
    let store = open(&url, None, 2)
        .await
        .expect("a store that connects later");
    let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
    let service = Service::with(store, keys, None, Options::default()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_a_killed_connection_is_answered_on_another_one_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let reads = async || {
        // Different ones, which share no read.
        let pages = (1..=16).map(|page| format!("/api/v1/posts?page={page}"));
        let reads = pages.map(async |page| service.get(&page).await);
        futures::future::join_all(reads)
            .await
            .into_iter()
            .map(|answer| answer.status)
    };
    assert!(reads().await.all(|status| status == StatusCode::OK));
    assert!(
        service.database().kill_connections().await > 1,
        "the pool has several connections"
    );
    assert!(reads().await.all(|status| status == StatusCode::OK));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_under_writes_cost_no_post_and_no_count_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let alice = tokens::alice();
    let done = CancellationToken::new();
    let killing = async {
        let mut killed = 0;
        while !done.is_cancelled() {
            killed += service.database().kill_connections().await;
        }
        killed
    };
    let writer = async |number: usize| {
        let mut acknowledged = 0_u64;
        for _ in 0..8 {
            let body =
                json!({"title": "t", "content": "c", "category": format!("c{}", number % 3)});
            match service.post("/api/v1/posts", &alice, &body).await.status {
                StatusCode::CREATED => acknowledged += 1,
                status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
        acknowledged
    };
    let writing = async {
        let acknowledged = futures::future::join_all((0..16).map(writer)).await;
        done.cancel();
        acknowledged.into_iter().sum::<u64>()
    };
    let (killed, acknowledged) = tokio::join!(killing, writing);
    assert!(
        killed > 0 && acknowledged > 0,
        "{killed} killed, {acknowledged} acknowledged"
    );

    let total = async |query: &str| {
        let list = service
            .get(&format!("/api/v1/posts?per_page=1{query}"))
            .await;
        list.json["meta"]["total"].as_u64().expect("a total")
    };
    // By author the posts themselves are counted. A post may be stored and not acknowledged.
    let stored = total(&format!("&user_id={}", tokens::ALICE)).await;
    assert!(
        stored >= acknowledged,
        "{stored} stored, {acknowledged} acknowledged"
    );
    assert_eq!(total("").await, stored);
    let mut in_categories = 0;
    let categories = service.get("/api/v1/categories").await;
    for category in categories.json["data"].as_array().expect("categories") {
        let id = category["id"].as_str().expect("an id");
        in_categories += total(&format!("&category_id={id}")).await;
    }
    assert_eq!(in_categories, stored);
}
