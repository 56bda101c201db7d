//! Creating, reading and listing posts.

use crate::kit::{Answer, Service, database::Database, tokens};
use reqwest::{Method, StatusCode};
use serde_json::json;

on_every_database! {
    async fn a_created_post_is_read_back_at_its_location(service) {
        let text = "한글 𝄞 <b>&</b> \\ ' \" \r\n 끝 ";
        let body = json!({"title": " 제목 🍎 ", "content": text, "category": " 자유 "});
        let created = service.post("/api/v1/posts", &tokens::alice(), &body).await;
        assert_eq!(created.status, StatusCode::CREATED);
        let read = service.get(created.header("location")).await;
        assert_eq!(read.status, StatusCode::OK);
        let post = &read.json["data"];
        assert_eq!(post["id"], created.json["data"]["id"]);
        assert_eq!(post["title"], "제목 🍎");
        assert_eq!(post["content"], text);
        assert_eq!(post["category"], "자유");
        assert_eq!(post["username"], "alice");
        assert_eq!(post["user_id"], tokens::ALICE);
        assert_eq!(post["created_at"], created.json["data"]["created_at"]);
        assert_eq!(post["updated_at"], post["created_at"]);
    }
}

on_every_database! {
    async fn times_are_korean(service) {
        let id = service.publish(&tokens::alice(), "t", "c").await;
        let post = service.get(&format!("/api/v1/posts/{id}")).await;
        let text = post.json["data"]["created_at"].as_str().expect("a time");
        let local: jiff::civil::DateTime = text.parse().expect("a time");
        let instant = local.in_tz("Asia/Seoul").expect("a moment").timestamp();
        assert!((tokens::now() - instant.as_second()).abs() <= 30, "{text}");
    }
}

on_every_database! {
    async fn lists_are_newest_first_in_pages_that_add_up(service) {
        let alice = tokens::alice();
        let mut ids = Vec::new();
        for number in 0..7 {
            ids.insert(0, service.publish(&alice, &format!("글 {number}"), "자유").await);
        }
        let mut listed = Vec::new();
        for page in 1..=4 {
            let list = service.get(&format!("/api/v1/posts?page={page}&per_page=3")).await;
            let mut meta = list.json["meta"].clone();
            let next = meta.as_object_mut().expect("an object").remove("next_cursor");
            assert_eq!(meta, json!({"page": page, "per_page": 3, "total": 7, "pages": 3}));
            assert_eq!(next.is_some(), page < 3, "{page}");
            let posts = list.json["data"].as_array().expect("posts").clone();
            listed.extend(posts.iter().map(|post| post["id"].as_str().expect("an id").to_owned()));
        }
        assert_eq!(listed, ids);
    }
}

on_every_database! {
    async fn filters_narrow_the_list_and_its_total(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        service.publish(&alice, "사과 🍎", "과일").await;
        service.publish(&alice, "배", "과일").await;
        service.publish(&bob, "사과 🍌", "일상").await;
        let categories = service.get("/api/v1/categories").await;
        let fruit = categories.json["data"].as_array().expect("categories").iter()
            .find(|category| category["name"] == "과일").expect("the category")["id"]
            .as_str().expect("an id").to_owned();
        for (query, total) in [
            (String::new(), 3),
            (format!("category_id={fruit}"), 2),
            (format!("user_id={}", tokens::ALICE), 2),
            (format!("category_id={fruit}&user_id={}", tokens::BOB), 0),
            ("category_id=none".into(), 0),
            ("q=사과".into(), 2),
            ("search=사과".into(), 2),
            ("q=🍎".into(), 1),
            (format!("q=사과&user_id={}", tokens::BOB), 1),
            ("q=과".into(), 2),
            ("q=%25".into(), 0),
            ("q=_".into(), 0),
            ("q=!".into(), 0),
            ("q=%5C".into(), 0),
            ("q=&category_id=&user_id=".into(), 3),
            ("unknown=1&x[]=2".into(), 3),
        ] {
            let list = service.get(&format!("/api/v1/posts?{query}")).await;
            assert_eq!(list.json["meta"]["total"], total, "{query}: {}", list.text);
            assert_eq!(list.json["data"].as_array().map(Vec::len), Some(total), "{query}");
        }
    }
}

on_every_database! {
    async fn my_posts_are_the_tokens(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        service.publish(&alice, "mine", "c").await;
        service.publish(&bob, "his", "c").await;
        let mine = service.request(Method::GET, "/api/v1/posts/my").bearer_auth(&alice);
        let mine = Answer::of(mine).await;
        assert_eq!(mine.json["meta"]["total"], 1);
        assert_eq!(mine.json["data"][0]["title"], "mine");
        let nobody = service.get("/api/v1/posts/my").await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
        assert_eq!(nobody.json["error"], "Authorization token required");
        assert!(!nobody.message().is_empty());
    }
}

on_every_database! {
    async fn hidden_and_deleted_posts_are_nowhere(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "hidden", "c").await;
        service.execute(&format!("UPDATE posts SET status = 'hidden' WHERE id = '{id}'")).await;
        let read = service.get(&format!("/api/v1/posts/{id}")).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
        assert_eq!(service.get("/api/v1/posts").await.json["data"], json!([]));
    }
}

on_every_database! {
    async fn popular_is_most_liked_then_newest(service) {
        let alice = tokens::alice();
        let first = service.publish(&alice, "first", "c").await;
        service.publish(&alice, "second", "c").await;
        service.publish(&alice, "third", "c").await;
        service.execute(&format!("UPDATE posts SET like_count = 1 WHERE id = '{first}'")).await;
        let list = service.get("/api/v1/posts?sort=popular").await;
        let titles: Vec<_> = list.json["data"].as_array().expect("posts").iter()
            .map(|post| post["title"].as_str().expect("a title")).collect();
        assert_eq!(titles, ["first", "third", "second"]);
    }
}

on_every_database! {
    async fn public_reads_do_not_mind_a_bad_token(service) {
        let id = service.publish(&tokens::alice(), "t", "c").await;
        for path in [format!("/api/v1/posts/{id}"), "/api/v1/posts".into(), "/api/v1/categories".into()] {
            let request = service.request(Method::GET, &path).bearer_auth("bad.bad.bad")
                .header("Content-Type", "application/json");
            assert_eq!(Answer::of(request).await.status, StatusCode::OK, "{path}");
        }
    }
}
