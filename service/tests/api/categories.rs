//! Categories.

use crate::kit::{Service, database::Database, tokens};
use reqwest::StatusCode;
use serde_json::json;

on_every_database! {
    async fn a_category_is_unique_after_composition_and_trimming(service) {
        let alice = tokens::alice();
        let create = async |name: &str| {
            service.post("/api/v1/categories", &alice, &json!({"name": name})).await
        };
        let created = create(" 한글 ").await;
        assert_eq!(created.status, StatusCode::OK);
        assert_eq!(created.json["data"]["name"], "한글");
        for same in ["한글", "한글  ", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"] {
            let again = create(same).await;
            assert_eq!(again.status, StatusCode::BAD_REQUEST, "{same}");
            assert_eq!(again.message(), "이미 존재하는 카테고리입니다");
        }
        for other in ["Cafe", "café", "CAFE", "🍎", "🍌"] {
            assert_eq!(create(other).await.status, StatusCode::OK, "{other}");
        }
    }
}

on_every_database! {
    async fn a_posts_category_is_made_on_first_use_and_counted(service) {
        let alice = tokens::alice();
        for _ in 0..2 {
            service.publish(&alice, "t", "여행").await;
        }
        service.publish(&alice, "t", "일상").await;
        let categories = service.get("/api/v1/categories").await;
        let names: Vec<_> = categories.json["data"].as_array().expect("categories").iter()
            .map(|category| category["name"].as_str().expect("a name")).collect();
        assert_eq!(names, ["여행", "일상"]);
        let id = categories.json["data"][0]["id"].as_str().expect("an id");
        let list = service.get(&format!("/api/v1/posts?category_id={id}&per_page=1")).await;
        assert_eq!(list.json["meta"]["total"], 2);
    }
}

on_every_database! {
    async fn names_are_bounded(service) {
        let alice = tokens::alice();
        for (name, status) in [
            (json!("가".repeat(50)), StatusCode::OK),
            (json!("가".repeat(51)), StatusCode::BAD_REQUEST),
            (json!("  "), StatusCode::BAD_REQUEST),
            (json!(null), StatusCode::BAD_REQUEST),
            (json!(7), StatusCode::BAD_REQUEST),
            (json!("a\0b"), StatusCode::BAD_REQUEST),
        ] {
            let answer = service.post("/api/v1/categories", &alice, &json!({"name": name})).await;
            assert_eq!(answer.status, status, "{name}: {}", answer.text);
        }
    }
}
