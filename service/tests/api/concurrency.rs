//! Many clients at once.

use crate::kit::{Answer, Service, database::Database, say, tokens};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, MySqlConnection};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

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

/// A user of these tests.
fn user(number: usize) -> (String, String) {
    let id = format!("{number:08}-0000-4000-8000-000000000000");
    let token = tokens::signed(&tokens::id_claims(&id, &format!("user{number}")));
    (id, token)
}

/// Likes a post in a user's name.
async fn like(service: &Service, post: &str, user: usize) -> Answer {
    let request = service.request(Method::POST, &format!("/api/v1/posts/{post}/like"));
    Answer::of(request.bearer_auth(self::user(user).1)).await
}

on_every_database! {
    async fn likes_made_at_the_same_time_are_counted_one_after_the_other(service) {
        const LIKERS: usize = 20;
        let (_, author) = user(9_999);
        let mut posts = Vec::new();
        for title in ["a", "b", "c"] {
            posts.push(service.publish(&author, title, "c").await);
        }
        let gone = "0".repeat(32);
        let likes = (0..LIKERS).flat_map(|user| posts.iter().chain([&gone]).map(move |post| (post, user)));
        let answers = join_all(likes.map(async |(post, user)| (post, like(service, post, user).await)));
        let mut counts = BTreeMap::<&String, Vec<i64>>::new();
        for (post, answer) in answers.await {
            if *post == gone {
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
                continue;
            }
            assert_eq!(answer.json["data"]["is_liked"], true, "{}", answer.text);
            let count = answer.json["data"]["like_count"].as_i64().expect("a count");
            counts.entry(post).or_default().push(count);
        }
        let all: Vec<i64> = (1..=20).collect();
        for counts in counts.values_mut() {
            counts.sort_unstable();
            assert_eq!(*counts, all);
        }
        assert_eq!(counts.len(), 3);
        // One user's at the same time: each turns it over.
        let again = join_all((0..LIKERS).map(async |_| like(service, &posts[0], 0).await)).await;
        let added = again.iter().filter(|answer| answer.json["data"]["is_liked"] == true).count();
        assert_eq!(added, LIKERS / 2);
        let post = service.get(&format!("/api/v1/posts/{}", posts[0])).await;
        assert_eq!(post.json["data"]["like_count"], 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_somebody_locks_keeps_no_likes_of_others_waiting_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let alice = tokens::alice();
    let locked = service.publish(&alice, "locked", "c").await;
    let free = service.publish(&alice, "free", "c").await;
    let url = service.database().url_text();
    let mut holder = MySqlConnection::connect(&url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    let lock = format!("SELECT 1 FROM posts WHERE id = '{locked}' FOR UPDATE");
    holder.execute(lock.as_str()).await.unwrap();
    let likes = (0..24).map(|user| (if user % 8 == 0 { &locked } else { &free }, user));
    let likes = likes.map(async |(post, user)| (post, like(&service, post, user).await));
    let mut answers: FuturesUnordered<_> = likes.collect();
    for number in 0..24 {
        let (post, answer) = answers.next().await.expect("an answer");
        let expected = if number < 21 {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        assert_eq!(*post == free, number < 21, "{number}: {}", answer.text);
        assert_eq!(answer.status, expected, "{number}: {}", answer.text);
    }
    holder.execute("ROLLBACK").await.unwrap();
    let answer = like(&service, &locked, 0).await;
    assert_eq!(answer.json["data"]["like_count"], 1, "{}", answer.text);
}

/// Kills all connections now and then, until told to stop; tells how many were killed.
async fn kill_connections(database: &Database, done: &CancellationToken) -> usize {
    let mut killed = 0;
    while !done.is_cancelled() {
        killed += database.kill_connections().await;
        let pause = tokio::time::sleep(Duration::from_millis(150));
        tokio::select! { () = pause => {}, () = done.cancelled() => {} }
    }
    killed
}

/// The number in the first row.
async fn number(database: &Database, sql: &str) -> i64 {
    database.number(sql).await
}

const MANY: usize = 64;

/// What a client of the storm did.
#[derive(Default)]
struct Done {
    requests: u64,
    refused: u64,
    posts: u64,
    /// Whether the client likes the shared post, as far as it was told.
    liked: Option<bool>,
}

/// One client: publishes, likes and unlikes, moves its posts between categories, deletes some. What
/// it was told last is what must hold at the end.
async fn client(service: &Service, me: usize, shared: &str, kills: bool) -> Done {
    let (_, token) = user(me);
    let mut done = Done::default();
    let mut liked: Option<bool> = None;
    let mut own: Vec<String> = Vec::new();
    let send = async |method: Method, path: &str, body: Value| {
        Answer::of(
            service
                .request(method, path)
                .bearer_auth(&token)
                .json(&body),
        )
        .await
    };
    for round in 0..12 {
        done.requests += 1;
        let answer = match round % 6 {
            0 | 3 => {
                let body =
                    json!({"title": "t", "content": "c", "category": format!("c{}", me % 4)});
                let answer = send(Method::POST, "/api/v1/posts", body).await;
                if answer.status == StatusCode::CREATED {
                    done.posts += 1;
                    own.push(
                        answer.json["data"]["id"]
                            .as_str()
                            .expect("an id")
                            .to_owned(),
                    );
                }
                answer
            }
            1 | 4 => {
                let answer = send(
                    Method::POST,
                    &format!("/api/v1/posts/{shared}/like"),
                    json!({}),
                )
                .await;
                if answer.status.is_success() {
                    let is_liked = answer.json["data"]["is_liked"].as_bool().expect("a bool");
                    // Nobody else toggles this user's like: it turns over each time.
                    if let Some(before) = liked {
                        assert_ne!(before, is_liked, "client {me}");
                    }
                    liked = Some(is_liked);
                } else {
                    // It may have been done all the same.
                    liked = None;
                }
                answer
            }
            2 => match own.last() {
                Some(post) => {
                    let body = json!({"category": format!("c{}", (me + round) % 4)});
                    send(Method::PATCH, &format!("/api/v1/posts/{post}"), body).await
                }
                None => continue,
            },
            _ => match own.first() {
                Some(post) if me.is_multiple_of(2) => {
                    send(Method::DELETE, &format!("/api/v1/posts/{post}"), json!({})).await
                }
                _ => continue,
            },
        };
        if !answer.status.is_success() {
            done.refused += 1;
            // A post deleted by its owner before; or, with connections being killed, no answer in time.
            let is_fair = match answer.status {
                StatusCode::NOT_FOUND => matches!(round % 6, 2 | 5),
                status => kills && status == StatusCode::SERVICE_UNAVAILABLE,
            };
            assert!(is_fair, "round {round}: {}: {}", answer.status, answer.text);
        }
    }
    done.liked = liked;
    done
}

/// Sixty-four clients write at once; afterwards every counter equals what it counts.
async fn storm(service: &Service, kills: bool) {
    let (_, author) = user(9_999);
    let shared = service.publish(&author, "shared", "c0").await;
    let database = service.database();
    let (begun, done) = (Instant::now(), CancellationToken::new());
    let killing = async {
        if kills {
            kill_connections(database, &done).await
        } else {
            0
        }
    };
    let writing = async {
        let all = join_all((0..MANY).map(|me| client(service, me, &shared, kills))).await;
        done.cancel();
        all
    };
    let (killed, all) = tokio::join!(killing, writing);
    let seconds = begun.elapsed().as_secs_f64();
    let sum = |of: fn(&Done) -> u64| all.iter().map(of).sum::<u64>();
    let (requests, refused, posts) = (sum(|d| d.requests), sum(|d| d.refused), sum(|d| d.posts));

    let drift = number(
        database,
        "SELECT COUNT(*) FROM posts p WHERE p.like_count <> \
        (SELECT COUNT(*) FROM likes l WHERE l.post_id = p.id)",
    )
    .await;
    let rows = number(database, "SELECT COUNT(*) FROM posts").await;
    let numbers = number(database, "SELECT COUNT(DISTINCT No) FROM posts").await;
    let visible = number(
        database,
        "SELECT COUNT(*) FROM posts WHERE status = 'visible'",
    )
    .await;
    say(&format!(
        "storm: {MANY} clients, {requests} requests in {seconds:.1} s, {killed} connections killed, \
         {refused} refused, {rows} posts, {drift} posts with drifted likes"
    ));
    for (me, done) in all.iter().enumerate() {
        let (id, _) = user(me);
        let path = format!("/api/v1/posts/{shared}/like/status?user_id={id}");
        let status = service.get(&path).await.json["data"]["is_liked"].as_bool();
        assert!(
            done.liked.is_none() || status == done.liked,
            "client {me}: {status:?}"
        );
    }
    assert_eq!(drift, 0);
    assert_eq!(rows, numbers);
    assert!(
        rows.unsigned_abs() > posts,
        "{rows} stored, {posts} acknowledged and one before"
    );
    assert!(!kills || killed > 0);
    assert_eq!(
        service.get("/api/v1/posts").await.json["meta"]["total"],
        visible
    );
    for category in 0..4 {
        let counted = number(
            database,
            &format!(
                "SELECT COUNT(*) FROM posts WHERE status = 'visible' AND category = 'c{category}'"
            ),
        )
        .await;
        let list = service
            .get(&format!("/api/v1/posts?category=c{category}"))
            .await;
        assert_eq!(list.json["meta"]["total"], counted, "c{category}");
    }
    for author in (0..MANY).map(|me| user(me).0) {
        let by_author = "SELECT COUNT(*) FROM posts WHERE status = 'visible' AND user_id =";
        let counted = number(database, &format!("{by_author} '{author}'")).await;
        let list = service
            .get(&format!("/api/v1/posts?user_id={author}"))
            .await;
        assert_eq!(list.json["meta"]["total"], counted, "{author}");
    }
    for level in [1, 2] {
        let sum = format!(
            "SELECT COALESCE(SUM(visible), 0) FROM post_totals WHERE scope = '' AND level = {level}"
        );
        assert_eq!(number(database, &sum).await, visible);
    }
}

on_every_database! {
    async fn counters_equal_what_they_count_under_sixty_four_clients(service) {
        storm(service, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_equal_what_they_count_while_connections_are_killed_on_mysql() {
    if let Some(database) = Database::mysql().await {
        storm(&Service::on(database).await, true).await;
    }
}
