//! Changing and deleting posts.

use crate::kit::{Answer, Service, database::Database, tokens};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn send(service: &Service, method: Method, id: &str, token: &str, body: &Value) -> Answer {
    let request = service.request(method, &format!("/api/v1/posts/{id}"));
    Answer::of(request.bearer_auth(token).json(body)).await
}

async fn read(service: &Service, id: &str) -> Value {
    service.get(&format!("/api/v1/posts/{id}")).await.json["data"].clone()
}

async fn total(service: &Service, category: &str) -> Value {
    let list = service
        .get(&format!("/api/v1/posts?category={category}"))
        .await;
    list.json["meta"]["total"].clone()
}

on_every_database! {
    async fn an_edit_changes_what_it_names_and_raises_the_version(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "old").await;
        service.execute("UPDATE posts SET created_at = '2026-01-01T00:00:00', \
                         updated_at = '2026-01-01T00:00:00'").await;
        let edited = send(service, Method::PATCH, &id, &alice, &json!({"title": " 새 제목 🍎 "})).await;
        assert_eq!(edited.status, StatusCode::OK);
        let post = read(service, &id).await;
        assert_eq!((&post["title"], &post["content"], &post["version"]), (&json!("새 제목 🍎"), &json!("내용"), &json!(2)));
        assert_eq!(post["created_at"], "2026-01-01T00:00:00");
        assert_ne!(post["updated_at"], "2026-01-01T00:00:00");
        let put = json!({"title": "a", "content": "b", "category": "new"});
        assert_eq!(send(service, Method::PUT, &id, &alice, &put).await.status, StatusCode::OK);
        let post = read(service, &id).await;
        assert_eq!((&post["content"], &post["category"], &post["version"]), (&json!("b"), &json!("new"), &json!(3)));
        assert_eq!((total(service, "old").await, total(service, "new").await), (json!(0), json!(1)));
        let same = json!({"category": " new "});
        assert_eq!(send(service, Method::PATCH, &id, &alice, &same).await.status, StatusCode::OK);
        assert_eq!(total(service, "new").await, 1);
    }
}

on_every_database! {
    async fn only_the_owner_edits_and_deletes(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        let id = service.publish(&alice, "t", "c").await;
        let mine = service.publish(&bob, "t", "c").await;
        let before = read(service, &id).await;
        let body = json!({"title": "x", "content": "x", "user_id": tokens::BOB,
            "username": "bob", "category": "남의 범주"});
        for method in [Method::PATCH, Method::PUT, Method::DELETE] {
            let refused = send(service, method.clone(), &id, &bob, &body).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method}");
            let anonymous = service.request(method.clone(), &format!("/api/v1/posts/{id}"));
            assert_eq!(Answer::of(anonymous.json(&body)).await.status, StatusCode::UNAUTHORIZED);
            let nowhere = send(service, method.clone(), &"0".repeat(32), &alice, &body).await;
            assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{method}");
        }
        assert_eq!(read(service, &id).await, before);
        // A post of the Flask service may have no owner: nobody is let in.
        service.execute(&format!("UPDATE posts SET user_id = NULL WHERE id = '{id}'")).await;
        let refused = send(service, Method::PATCH, &id, &alice, &body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let outdated = service.request(Method::PATCH, &format!("/api/v1/posts/{mine}"));
        let outdated = outdated.bearer_auth(&bob).header("If-Match", "\"v9\"").json(&body);
        assert_eq!(Answer::of(outdated).await.status, StatusCode::PRECONDITION_FAILED);
        // Nothing was made for any of them.
        assert!(!service.get("/api/v1/categories").await.text.contains("남의 범주"));
    }
}

on_every_database! {
    async fn an_edit_names_the_version_it_saw(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        let edit = async |method: Method, seen: &str| {
            let request = service.request(method, &format!("/api/v1/posts/{id}"));
            let body = json!({"title": seen, "content": "c"});
            let request = request.bearer_auth(&alice).header("If-Match", seen).json(&body);
            Answer::of(request).await.status.as_u16()
        };
        assert_eq!(edit(Method::PATCH, "\"v2\"").await, 412);
        assert_eq!(edit(Method::PATCH, "\"v1\"").await, 200);
        assert_eq!(edit(Method::PUT, "\"v1\"").await, 412);
        assert_eq!(edit(Method::PUT, "\"v2\"").await, 200);
        assert_eq!(edit(Method::PATCH, "*").await, 200);
        assert_eq!(edit(Method::PATCH, "W/\"v4\"").await, 412);
        assert_eq!(edit(Method::PATCH, "\"v4\", \"v5\"").await, 400);
        assert_eq!(edit(Method::DELETE, "\"v3\"").await, 412);
        assert_eq!(edit(Method::DELETE, "\"v4\"").await, 200);
    }
}

on_every_database! {
    async fn a_deleted_post_is_gone_and_its_row_stays(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        service.publish(&alice, "t", "c").await;
        let deleted = send(service, Method::DELETE, &id, &alice, &json!({})).await;
        assert_eq!(deleted.status, StatusCode::OK);
        for (method, path) in [
            (Method::GET, ""), (Method::PATCH, ""), (Method::PUT, ""), (Method::DELETE, ""),
            (Method::POST, "/like"), (Method::PUT, "/like"), (Method::DELETE, "/like"),
            (Method::GET, "/like/status"),
        ] {
            let answer = send(service, method.clone(), &format!("{id}{path}"), &alice,
                &json!({"title": "t", "content": "c"})).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
        assert_eq!(total(service, "c").await, 1);
        assert_eq!(service.get("/api/v1/posts").await.json["meta"]["total"], 1);
        // Back by hand: nothing of it was lost.
        service.execute(&format!("UPDATE posts SET status = 'visible' WHERE id = '{id}'")).await;
        assert_eq!(read(service, &id).await["content"], "내용");
    }
}

on_every_database! {
    async fn edits_are_checked_like_drafts_and_refused_whole(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        let before = read(service, &id).await;
        for (field, value) in [
            ("title", json!("")), ("title", json!(null)), ("title", json!(" \u{3000}")),
            ("title", json!("가".repeat(201))), ("title", json!(1)), ("title", json!("a\0")),
            ("content", json!(null)), ("content", json!("x".repeat(65_537))), ("content", json!([])),
            ("category", json!(null)), ("category", json!("")), ("category", json!("가".repeat(51))),
            ("action", json!("love")), ("action", json!(1)), ("action", json!(null)),
        ] {
            let mut body = json!({"title": "other", "content": "other"});
            body[field] = value.clone();
            let refused = send(service, Method::PATCH, &id, &alice, &body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{field} {value}");
            assert!(refused.message().contains(field), "{field}: {}", refused.text);
        }
        for missing in ["title", "content"] {
            let mut body = json!({"title": "t", "content": "c"});
            body[missing] = json!(null);
            let refused = send(service, Method::PUT, &id, &alice, &body).await;
            assert_eq!(refused.message(), "제목, 내용, 작성자 ID는 필수입니다");
        }
        assert_eq!(read(service, &id).await, before);
    }
}

on_every_database! {
    async fn a_read_that_the_client_knows_is_not_sent_again(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        for path in [format!("/api/v1/posts/{id}"), "/api/v1/posts".to_owned()] {
            let read = async |known: &str| {
                let request = service.request(Method::GET, &path).header("If-None-Match", known);
                Answer::of(request).await
            };
            let tag = read("").await.header("etag").to_owned();
            assert!(tag.starts_with("W/\""), "{tag}");
            let known = read(&tag).await;
            assert_eq!((known.status, known.header("etag"), known.text.as_str()),
                       (StatusCode::NOT_MODIFIED, tag.as_str(), ""));
            // Views change nothing, everything else does.
            service.execute("UPDATE posts SET view_count = view_count + 1").await;
            assert_eq!(read(&tag).await.status, StatusCode::NOT_MODIFIED);
            service.execute("UPDATE posts SET like_count = like_count + 1").await;
            assert_eq!(read(&tag).await.status, StatusCode::OK);
        }
    }
}
