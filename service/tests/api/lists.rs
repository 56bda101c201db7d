//! Orders, cursors and pages far down.

use crate::kit::{Answer, Service, database::Database, tokens};
use reqwest::Method;
use serde_json::Value;

/// Posts with few different counters, so that many are equal.
async fn board(service: &Service) {
    let (alice, bob) = (tokens::alice(), tokens::bob());
    for number in 0..23 {
        let author = if number % 3 == 0 { &bob } else { &alice };
        let category = ["자유", "여행"][number % 2];
        let id = service
            .publish(author, &format!("글 {number}"), category)
            .await;
        let (likes, views, comments) = (number % 4, number % 5, number % 2);
        service
            .execute(&format!(
                "UPDATE posts SET like_count = {likes}, view_count = {views}, \
                 comment_count = {comments} WHERE id = '{id}'"
            ))
            .await;
    }
}

fn titles(list: &Answer) -> Vec<String> {
    let posts = list.json["data"].as_array().expect("posts");
    posts
        .iter()
        .map(|post| post["title"].as_str().expect("a title").to_owned())
        .collect()
}

/// All titles of a list, walked page by page along `Link: …; rel="next"`.
async fn walk(service: &Service, query: &str) -> Vec<String> {
    let mut path = format!("/api/v1/posts?per_page=4&{query}");
    let mut walked = Vec::new();
    loop {
        let list = service.get(&path).await;
        assert_eq!(list.status, 200, "{path}: {}", list.text);
        walked.extend(titles(&list));
        let link = list.header("link");
        let next = list.json["meta"]["next_cursor"].as_str();
        assert_eq!(next.is_some(), !link.is_empty(), "{path}");
        if link.is_empty() {
            return walked;
        }
        let target = link.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let (target, relation) = target.expect("a target");
        assert_eq!(relation, "; rel=\"next\"");
        target.clone_into(&mut path);
    }
}

/// The numbers of the board's posts in the order of a counter, equal ones by number.
fn expected(counter: impl Fn(usize) -> usize, kept: impl Fn(usize) -> bool) -> Vec<String> {
    let mut numbers: Vec<usize> = (0..23).filter(|number| kept(*number)).collect();
    numbers.sort_by_key(|number| std::cmp::Reverse((counter(*number), *number)));
    numbers
        .into_iter()
        .map(|number| format!("글 {number}"))
        .collect()
}

on_every_database! {
    async fn cursors_walk_every_order_to_its_end_and_back(service) {
        board(service).await;
        let all = |_| true;
        for (by, descending) in [
            ("created_at", expected(|_| 0, all)),
            ("like_count", expected(|number| number % 4, all)),
            ("view_count", expected(|number| number % 5, all)),
            ("comment_count", expected(|number| number % 2, all)),
        ] {
            assert_eq!(walk(service, &format!("sortBy={by}")).await, descending, "{by}");
            let ascending: Vec<_> = descending.into_iter().rev().collect();
            let walked = walk(service, &format!("sortBy={by}&sortOrder=asc")).await;
            assert_eq!(walked, ascending, "{by} ascending");
        }
        assert_eq!(walk(service, "sort=popular").await, expected(|number| number % 4, all));
    }
}

on_every_database! {
    async fn cursors_respect_filters(service) {
        board(service).await;
        let bobs = format!("user_id={}&sort=popular", tokens::BOB);
        assert_eq!(walk(service, &bobs).await, expected(|number| number % 4, |number| number % 3 == 0));
        let travel = "category=%EC%97%AC%ED%96%89&sortBy=view_count";
        assert_eq!(walk(service, travel).await, expected(|number| number % 5, |number| number % 2 == 1));
        let search = "q=1&sort=popular";
        let holds_one = |number: usize| number.to_string().contains('1');
        assert_eq!(walk(service, search).await, expected(|number| number % 4, holds_one));
        let nothing = service.get("/api/v1/posts?category=none").await;
        assert_eq!((titles(&nothing).len(), &nothing.json["meta"]["total"]), (0, &Value::from(0)));
    }
}

on_every_database! {
    async fn posts_that_come_and_go_move_no_cursor(service) {
        board(service).await;
        let first = service.get("/api/v1/posts?per_page=5&sort=popular").await;
        let cursor = first.json["meta"]["next_cursor"].as_str().expect("a cursor");
        let last = titles(&first).pop().expect("a title");
        service.publish(&tokens::alice(), "새 글", "자유").await;
        service.execute(&format!("UPDATE posts SET status = 'hidden' WHERE title = '{last}'")).await;
        let second = service.get(&format!("/api/v1/posts?per_page=5&sort=popular&cursor={cursor}")).await;
        assert_eq!(titles(&second), expected(|number| number % 4, |_| true)[5..10]);
        assert!(second.json["meta"]["page"].is_null());
    }
}

on_every_database! {
    async fn a_cursor_goes_with_its_own_order_and_no_page(service) {
        board(service).await;
        let list = service.get("/api/v1/posts?per_page=5").await;
        let cursor = list.json["meta"]["next_cursor"].as_str().expect("a cursor").to_owned();
        for (query, named) in [
            (format!("cursor={cursor}&page=2"), "page"),
            (format!("cursor={cursor}&sort=popular"), "cursor"),
            (format!("cursor={cursor}&sortOrder=asc"), "cursor"),
            ("cursor=nonsense".to_owned(), "cursor"),
            ("cursor=%00".to_owned(), "cursor"),
            ("sortBy=title".to_owned(), "sortBy"),
            ("sortOrder=up".to_owned(), "sortOrder"),
        ] {
            let refused = service.get(&format!("/api/v1/posts?{query}")).await;
            assert_eq!(refused.status, 400, "{query}");
            assert!(refused.message().contains(named), "{query}: {}", refused.text);
        }
        assert_eq!(service.get("/api/v1/posts?cursor=&page=2&sort=").await.status, 200);
    }
}

on_every_database! {
    async fn my_posts_are_paged_by_cursor_too(service) {
        board(service).await;
        let bob = tokens::bob();
        let get = async |path: &str| {
            Answer::of(service.request(Method::GET, path).bearer_auth(&bob)).await
        };
        let first = get("/api/v1/posts/my?per_page=5").await;
        let cursor = first.json["meta"]["next_cursor"].as_str().expect("a cursor").to_owned();
        let second = get(&format!("/api/v1/posts/my?per_page=5&cursor={cursor}")).await;
        let all = [titles(&first), titles(&second)].concat();
        assert_eq!(all, expected(|_| 0, |number| number % 3 == 0));
        assert_eq!(second.header("link"), "");
    }
}

/// Posts enough for pages beyond a thousand entries, in two categories and far-apart numbers.
async fn large_board(service: &Service, posts: usize) {
    for name in ["a", "b"] {
        let path = "/api/v1/categories";
        service
            .post(path, &tokens::alice(), &serde_json::json!({"name": name}))
            .await;
    }
    let categories = service.get("/api/v1/categories").await;
    let ids: Vec<_> = [0, 1]
        .map(|index| categories.json["data"][index]["id"].clone())
        .into();
    for chunk in (0..posts).collect::<Vec<_>>().chunks(500) {
        let rows: Vec<String> = chunk
            .iter()
            .map(|number| {
                let category = ids[number % 2].as_str().expect("an id");
                let (no, status) = (
                    number * 41,
                    if number % 10 == 9 {
                        "hidden"
                    } else {
                        "visible"
                    },
                );
                format!(
                    "('{number:032x}', {no}, 'u', 'c', '{category}', 't{number}', 'c', '{status}', \
                 '2026-01-01T00:00:00', '2026-01-01T00:00:00')"
                )
            })
            .collect();
        service.execute(&format!(
            "INSERT INTO posts (id, No, username, category, category_id, title, content, status, \
             created_at, updated_at) VALUES {}", rows.join(", ")
        )).await;
    }
    count_totals(service).await;
}

/// Makes the counter rows of lists right.
async fn count_totals(service: &Service) {
    service.execute("UPDATE post_totals SET visible = 0").await;
    for scope in ["''", "category_id"] {
        for (level, bucket) in [
            (0, "0"),
            (1, "(No - No % 65536) / 65536"),
            (2, "(No - No % 1024) / 1024"),
        ] {
            service
                .execute(&format!(
                    "REPLACE INTO post_totals (scope, level, bucket, visible) \
                     SELECT s, {level}, b, COUNT(*) FROM (SELECT {scope} AS s, {bucket} AS b \
                     FROM posts WHERE status = 'visible') counted GROUP BY s, b"
                ))
                .await;
        }
    }
}

/// Pages of a large board hold what is visible of the posts in this range.
async fn pages_hold(service: &Service, posts: std::ops::Range<usize>) {
    let visible = |kept: &dyn Fn(usize) -> bool| -> Vec<String> {
        let visible = posts.clone().rev().filter(|n| n % 10 != 9 && kept(*n));
        visible.map(|n| format!("t{n}")).collect()
    };
    for (filter, all) in [
        ("", visible(&|_| true)),
        ("&category=a", visible(&|n| n % 2 == 0)),
        ("&category=b", visible(&|n| n % 2 == 1)),
    ] {
        let mut ascending = all.clone();
        ascending.reverse();
        for (direction, all) in [("desc", &all), ("asc", &ascending)] {
            for page in [1, 25, 30, 47, 48, 53, 54, 107, 108, 109, 1_000_000] {
                let path =
                    format!("/api/v1/posts?per_page=50&page={page}&sortOrder={direction}{filter}");
                let list = service.get(&path).await;
                let begin = ((page - 1) * 50).min(all.len());
                let end = (begin + 50).min(all.len());
                assert_eq!(
                    titles(&list),
                    all[begin..end],
                    "{filter} {direction} {page}"
                );
                assert_eq!(list.json["meta"]["total"], all.len(), "{filter}");
            }
        }
    }
}

on_every_database! {
    async fn pages_far_down_hold_what_counting_says(service) {
        const POSTS: usize = 6_000;
        large_board(service, POSTS).await;
        pages_hold(service, 0..POSTS).await;
        // The way to a page is known now, and then another one.
        pages_hold(service, 0..POSTS).await;
        for (gone, left) in [("No > 200000", 0..4_879), ("No < 70000", 1_708..4_879)] {
            service.execute(&format!("UPDATE posts SET status = 'hidden' WHERE {gone}")).await;
            count_totals(service).await;
            pages_hold(service, left).await;
        }
    }
}
