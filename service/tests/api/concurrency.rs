//! Many clients at once.

use crate::kit::{Answer, Service, database::Database, tokens};
use reqwest::Method;
use std::collections::BTreeMap;

const CLIENTS: usize = 32;
const POSTS_EACH: usize = 4;

on_every_database! {
    async fn thirty_two_clients_lose_nothing(service) {
        let alice = tokens::alice();
        let client = async |number: usize| {
            let mut ids = Vec::new();
            for post in 0..POSTS_EACH {
                // Every client begins with the same new category.
                let category = if post == 0 { "새" } else { ["a", "b", "c"][number % 3] };
                ids.push(service.publish(&alice, "t", category).await);
            }
            ids
        };
        let created = futures::future::join_all((0..CLIENTS).map(client)).await;

        let total = CLIENTS * POSTS_EACH;
        let mut listed = Vec::new();
        for page in 1..=total.div_ceil(50) {
            let list = service.get(&format!("/api/v1/posts?per_page=50&page={page}")).await;
            assert_eq!(list.json["meta"]["total"], total);
            for post in list.json["data"].as_array().expect("posts") {
                listed.push(post["id"].as_str().expect("an id").to_owned());
            }
        }
        // A client's posts got rising numbers, newest first.
        for ids in created {
            let places: Vec<_> = ids.iter()
                .map(|id| listed.iter().position(|other| other == id).expect("listed"))
                .collect();
            assert!(places.is_sorted_by(|earlier, later| earlier > later), "{places:?}");
        }
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), total);

        let categories = service.get("/api/v1/categories").await;
        let mut totals = BTreeMap::new();
        for category in categories.json["data"].as_array().expect("categories") {
            let (id, name) = (category["id"].as_str(), category["name"].as_str());
            let path = format!("/api/v1/posts?per_page=1&category_id={}", id.expect("an id"));
            let list = service.get(&path).await;
            totals.insert(name.expect("a name").to_owned(), list.json["meta"]["total"].as_u64());
        }
        let each = |clients: u64| Some(clients * 3);
        let expected = [("a", each(11)), ("b", each(11)), ("c", each(10)), ("새", Some(32))];
        assert_eq!(totals, expected.map(|(name, total)| (name.to_owned(), total)).into());
    }
}

on_every_database! {
    async fn a_category_asked_for_by_many_is_made_once(service) {
        let alice = tokens::alice();
        let create = async |_| {
            let request = service.request(Method::POST, "/api/v1/categories").bearer_auth(&alice);
            Answer::of(request.json(&serde_json::json!({"name": "하나"}))).await.status.as_u16()
        };
        let mut answers = futures::future::join_all((0..16).map(create)).await;
        answers.sort_unstable();
        assert_eq!(answers[0], 200);
        assert!(answers[1..].iter().all(|status| *status == 400), "{answers:?}");
    }
}
