//! Likes.

use crate::kit::{Answer, Options, Service, database::Database, tokens};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn like(
    service: &Service,
    method: Method,
    id: &str,
    token: Option<&str>,
    body: Value,
) -> Answer {
    let request = service.request(method, &format!("/api/v1/posts/{id}/like"));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Answer::of(request.json(&body)).await
}

fn state(answer: &Answer) -> (bool, i64) {
    let data = &answer.json["data"];
    let action = if data["is_liked"] == true {
        "added"
    } else {
        "removed"
    };
    assert_eq!(data["action"], action, "{}", answer.text);
    (
        data["is_liked"].as_bool().expect("a bool"),
        data["like_count"].as_i64().expect("a count"),
    )
}

on_every_database! {
    async fn likes_toggle_and_are_set_idempotently(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        let id = service.publish(&alice, "t", "c").await;
        let before = service.get(&format!("/api/v1/posts/{id}")).await.json["data"]["updated_at"].clone();
        for (method, token, expected) in [
            (Method::POST, &alice, (true, 1)), (Method::POST, &bob, (true, 2)),
            (Method::POST, &alice, (false, 1)), (Method::PUT, &alice, (true, 2)),
            (Method::PUT, &alice, (true, 2)), (Method::DELETE, &bob, (false, 1)),
            (Method::DELETE, &bob, (false, 1)), (Method::POST, &bob, (true, 2)),
        ] {
            let answer = like(service, method.clone(), &id, Some(token), json!({"user_id": "x"})).await;
            assert_eq!(state(&answer), expected, "{method}");
        }
        for (action, count) in [("like", 2), ("unlike", 1), ("unlike", 1), ("like", 2)] {
            let request = service.request(Method::PATCH, &format!("/api/v1/posts/{id}"));
            let answer = Answer::of(request.bearer_auth(&bob).json(&json!({"action": action}))).await;
            assert_eq!(answer.status, StatusCode::OK);
            let post = service.get(&format!("/api/v1/posts/{id}")).await.json["data"].clone();
            assert_eq!((&post["like_count"], &post["updated_at"], &post["version"]),
                       (&json!(count), &before, &json!(1)));
        }
    }
}

on_every_database! {
    async fn a_like_needs_no_body_and_no_handler_demands_one(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        let path = format!("/api/v1/posts/{id}/like");
        for (kind, body) in [
            (None, None), (Some("application/json"), None), (Some("application/json"), Some("")),
            (Some("application/json"), Some("nonsense")), (Some("text/plain"), Some("x")),
        ] {
            let mut request = service.request(Method::POST, &path).bearer_auth(&alice);
            if let Some(kind) = kind {
                request = request.header("Content-Type", kind);
            }
            let answer = Answer::of(request.body(body.unwrap_or_default())).await;
            assert_eq!(answer.status, StatusCode::OK, "{kind:?} {body:?}: {}", answer.text);
        }
    }
}

on_every_database! {
    async fn the_status_is_the_tokens_users_or_else_the_named_ones(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        let id = service.publish(&alice, "t", "c").await;
        like(service, Method::POST, &id, Some(&alice), json!({})).await;
        let status = async |query: &str, token: Option<&str>| {
            let request = service.request(Method::GET, &format!("/api/v1/posts/{id}/like/status{query}"));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            Answer::of(request).await
        };
        let of_alice = format!("?user_id={}", tokens::ALICE);
        let expired = tokens::signed(&tokens::with(tokens::id_claims(tokens::ALICE, "alice"), "exp", json!(1)));
        for (query, token, liked) in [
            (&*of_alice, None, true), ("", Some(&*alice), true), ("", Some(&*bob), false),
            (&*of_alice, Some(&*bob), false), (&*of_alice, Some(&*expired), true),
            ("?user_id=nobody", None, false),
        ] {
            let answer = status(query, token).await;
            assert_eq!(answer.json["data"]["is_liked"], liked, "{query}: {}", answer.text);
        }
        assert_eq!(status("", None).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(status("?user_id=", Some(&expired)).await.status, StatusCode::BAD_REQUEST);
    }
}

on_every_database! {
    async fn without_a_token_nobody_likes(service) {
        let id = service.publish(&tokens::alice(), "t", "c").await;
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let refused = like(service, method, &id, None, json!({"user_id": tokens::BOB})).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        }
    }
}

async fn anonymous_likes_toggle_but_never_touch_a_verified_one(service: &Service) {
    let (alice, bob) = (tokens::alice(), tokens::bob());
    let id = service.publish(&alice, "t", "c").await;
    let named = || json!({"user_id": tokens::BOB});
    let anonymously = async || like(service, Method::POST, &id, None, named()).await;
    assert_eq!(state(&anonymously().await), (true, 1));
    assert_eq!(state(&anonymously().await), (false, 0));
    assert_eq!(state(&anonymously().await), (true, 1));
    // Bob's own token claims it: he does not like twice, and nobody takes it from him.
    assert_eq!(
        state(&like(service, Method::PUT, &id, Some(&bob), json!({})).await),
        (true, 1)
    );
    assert_eq!(anonymously().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        state(&like(service, Method::POST, &id, Some(&bob), json!({})).await),
        (false, 0)
    );
    assert_eq!(state(&anonymously().await), (true, 1));
    // An unverified like of his own is toggled away by his token.
    assert_eq!(
        state(&like(service, Method::POST, &id, Some(&bob), json!({})).await),
        (false, 0)
    );
    for body in [
        json!({}),
        json!({"user_id": ""}),
        json!({"user_id": "x".repeat(37)}),
        json!({"user_id": 1}),
        json!({"user_id": "a\0"}),
        json!([]),
    ] {
        let refused = like(service, Method::POST, &id, None, body.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
    }
    // A bad token is not taken for none.
    let refused = like(service, Method::POST, &id, Some("x.y.z"), named()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

fn anonymously() -> Options {
    Options {
        anonymous_likes: true,
        ..Options::default()
    }
}

#[tokio::test]
async fn anonymous_likes_where_they_are_allowed_on_sqlite() {
    let service = Service::on_with(Database::sqlite(), anonymously()).await;
    anonymous_likes_toggle_but_never_touch_a_verified_one(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_likes_where_they_are_allowed_on_mysql() {
    if let Some(database) = Database::mysql().await {
        let service = Service::on_with(database, anonymously()).await;
        anonymous_likes_toggle_but_never_touch_a_verified_one(&service).await;
    }
}
