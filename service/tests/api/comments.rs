//! Comment counts, from a comment service that behaves and misbehaves.

use crate::kit::{
    Answer, Service,
    comment_service::{CommentService, Mode},
    database::Database,
    process::Served,
    tokens,
    wait::until,
};
use nix::sys::signal::Signal;
use post_service::{
    board::PostId,
    comments::{Comments, Pace, RefreshError},
    store::{self, CommentSweep, Store},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// So that a test need not wait half a minute.
const QUICK: Pace = Pace {
    interval: Duration::from_millis(200),
    patience: Duration::from_millis(300),
    pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(100),
    look: Duration::from_millis(20),
};

/// What another process of the service has: a store and whoever refreshes counts.
struct Refreshing {
    comments: Comments,
    store: Arc<dyn Store>,
    _stop: DropGuard,
}

impl Refreshing {
    async fn start(service: &Service, source: &CommentService, pace: Pace) -> Self {
        let store = store::open(&service.database().url(), None, 4)
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let url = source.url.parse().unwrap();
        let comments = Comments::start(Arc::clone(&store), url, pace, &stop).unwrap();
        Self {
            comments,
            store,
            _stop: stop.drop_guard(),
        }
    }

    /// A read over HTTP, and what a read does with the ids it returns.
    async fn read(&self, service: &Service) -> Answer {
        let list = service.get("/api/v1/posts?per_page=50").await;
        assert_eq!(list.status, StatusCode::OK);
        let ids: Vec<PostId> = posts(&list).iter().map(id).collect();
        self.comments.seen(&ids);
        list
    }
}

fn posts(list: &Answer) -> Vec<Value> {
    list.json["data"].as_array().expect("posts").clone()
}

fn id(post: &Value) -> PostId {
    post["id"].as_str().expect("an id").parse().expect("an id")
}

async fn publish(service: &Service, number: usize) -> Vec<String> {
    let alice = tokens::alice();
    let mut ids = Vec::new();
    for _ in 0..number {
        ids.push(service.publish(&alice, "글", "자유").await);
    }
    ids
}

async fn count(service: &Service, id: &str) -> i64 {
    let post = service.get(&format!("/api/v1/posts/{id}")).await;
    post.json["data"]["comment_count"]
        .as_i64()
        .expect("a count")
}

on_every_database! {
    async fn counts_of_posts_that_are_read_converge_and_nothing_else_of_them_changes(service) {
        let source = CommentService::start().await;
        let ids = publish(service, 12).await;
        let refreshing = Refreshing::start(service, &source, QUICK).await;
        let before = service.get(&format!("/api/v1/posts/{}", ids[0])).await.json["data"].clone();
        for counts in [[3, 0, 7], [4, 2, 0]] {
            let expected = |at: usize| counts[at % 3];
            ids.iter().enumerate().for_each(|(at, id)| source.set(id, expected(at)));
            until("every count is as told", async || {
                let list = refreshing.read(service).await;
                let shown = posts(&list);
                // Newest first.
                shown.iter().rev().enumerate().all(|(at, post)| post["comment_count"] == expected(at))
            })
            .await;
        }
        let after = service.get(&format!("/api/v1/posts/{}", ids[0])).await.json["data"].clone();
        assert_eq!(after["comment_count"], 4);
        assert_eq!((&after["version"], &after["updated_at"]), (&before["version"], &before["updated_at"]));
    }
}

on_every_database! {
    async fn no_failure_changes_a_count(service) {
        let source = CommentService::start().await;
        let ids = publish(service, 1).await;
        let refreshing = Refreshing::start(service, &source, QUICK).await;
        let post: PostId = ids[0].parse().unwrap();
        source.set(&ids[0], 5);
        assert_eq!(refreshing.comments.refresh(&post).await.unwrap(), 5);
        let text = |text: &str| Mode::Text(text.to_owned());
        for mode in [
            Mode::Hung,
            Mode::Stuck,
            Mode::Slow(Duration::from_secs(20)),
            Mode::Status(404),
            Mode::Status(429),
            Mode::Status(500),
            Mode::Status(503),
            Mode::Redirect,
            Mode::Padded(2 * 1024 * 1024),
            text(""),
            text("null"),
            text("<html>"),
            text(r#"{"data": {"total": 99"#),
            text(r#"{"data": {}}"#),
            text(r#"{"data": {"total": null}}"#),
            text(r#"{"data": {"total": "99"}}"#),
            text(r#"{"data": {"total": -1}}"#),
            text(r#"{"data": {"total": 9.5}}"#),
            text(r#"{"data": {"total": 2147483648}}"#),
            text(r#"{"data": {"total": 99999999999999999999}}"#),
            text(&format!("{}1", "[".repeat(100_000))),
        ] {
            source.behave(mode);
            let asked_before = source.asked().len();
            refreshing.read(service).await;
            let refused = refreshing.comments.refresh(&post).await.unwrap_err();
            assert!(matches!(refused, RefreshError::Source(_)), "{refused}");
            assert!(source.asked().len() > asked_before);
            assert_eq!(count(service, &ids[0]).await, 5);
        }
        source.behave(Mode::Good);
        source.set(&ids[0], i32::MAX.unsigned_abs());
        refreshing.comments.refresh(&post).await.unwrap();
        assert_eq!(count(service, &ids[0]).await, i64::from(i32::MAX));
    }
}

on_every_database! {
    async fn a_post_that_is_gone_is_no_failure(service) {
        let source = CommentService::start().await;
        let ids = publish(service, 2).await;
        source.set(&ids[0], 1);
        source.set(&ids[1], 1);
        let refreshing = Refreshing::start(service, &source, QUICK).await;
        let [gone, here] = [0, 1].map(|at| ids[at].parse::<PostId>().unwrap());
        service.execute(&format!("UPDATE posts SET status = 'deleted' WHERE id = '{gone}'")).await;
        refreshing.comments.seen([&gone, &here]);
        until("the other post is refreshed", async || count(service, &ids[1]).await == 1).await;
        let refused = refreshing.comments.refresh(&gone).await.unwrap_err();
        assert!(matches!(refused, RefreshError::NoPost));
        let kept = format!("UPDATE posts SET status = 'visible' WHERE id = '{gone}'");
        service.execute(&kept).await;
        assert_eq!(count(service, &ids[0]).await, 0, "nothing was written to a deleted post");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_never_wait_for_a_hung_service_and_counts_converge_once_it_answers() {
    let service = Service::on(Database::sqlite()).await;
    let source = CommentService::start().await;
    source.behave(Mode::Hung);
    let ids = publish(&service, 5).await;
    source.set_all(&ids, 2);
    let refreshing = Refreshing::start(&service, &source, QUICK).await;
    refreshing.read(&service).await;
    until("it is asked", async || !source.asked().is_empty()).await;
    // More posts than are queued: those in excess are dropped, without waiting.
    let many: Vec<PostId> = (0..20_000).map(|_| PostId::random()).collect();
    let begun = Instant::now();
    refreshing.comments.seen(&many);
    for _ in 0..20 {
        refreshing.read(&service).await;
    }
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");

    source.behave(Mode::Good);
    until("the counts are as told", async || {
        let list = refreshing.read(&service).await;
        posts(&list).iter().all(|post| post["comment_count"] == 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_asked_for_at_most_once_in_an_interval_however_often_it_is_read() {
    assert_eq!(Pace::default().interval, Duration::from_secs(30));
    let service = Service::on(Database::sqlite()).await;
    let source = CommentService::start().await;
    let ids = publish(&service, 1).await;
    let refreshing = Refreshing::start(&service, &source, QUICK).await;
    until("it is asked for four times", async || {
        refreshing.read(&service).await;
        source.asked_for(&ids[0]).len() >= 4
    })
    .await;
    let asked = source.asked_for(&ids[0]);
    // A request may be under way longer than the one after it.
    let jitter = Duration::from_millis(50);
    for pair in asked.windows(2) {
        assert!(pair[1] - pair[0] + jitter >= QUICK.interval, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_service_is_given_longer_and_longer_rests() {
    let service = Service::on(Database::sqlite()).await;
    let source = CommentService::start().await;
    source.behave(Mode::Status(500));
    let pace = Pace {
        pause: Duration::from_millis(400),
        longest_pause: Duration::from_mins(1),
        ..QUICK
    };
    let refreshing = Refreshing::start(&service, &source, pace).await;
    let begun = Instant::now();
    let many: Vec<PostId> = (0..1_000).map(|_| PostId::random()).collect();
    refreshing.comments.seen(&many);
    until("it was asked again after two rests", async || {
        begun.elapsed() > Duration::from_millis(1_300)
    })
    .await;
    // Rests of 400 and 800 ms, before and after each at most as many as go at a time.
    let asked = source.asked().len();
    assert!((4..=24).contains(&asked), "{asked}");
}

/// Makes the sweep begin anew, as an adoption leaves it.
async fn adopt(service: &Service) {
    service
        .execute("UPDATE comment_sweep SET before_no = NULL")
        .await;
}

on_every_database! {
    async fn the_sweep_asks_for_every_visible_post_whatever_runs_beside_it(service) {
        let source = CommentService::start().await;
        let ids = publish(service, 75).await;
        ids.iter().zip(1..).for_each(|(id, count)| source.set(id, count));
        let hidden = &ids[40];
        service.execute(&format!("UPDATE posts SET status = 'deleted' WHERE id = '{hidden}'")).await;
        adopt(service).await;
        let one = Refreshing::start(service, &source, QUICK).await;
        let _two = Refreshing::start(service, &source, QUICK).await;
        until("the sweep is done", async || {
            one.store.comment_sweep().await.unwrap() == CommentSweep::Done
        })
        .await;
        for (id, expected) in ids.iter().zip(1_i64..) {
            if id != hidden {
                assert_eq!(count(service, id).await, expected);
            }
        }
        assert!(source.asked_for(hidden).is_empty());
    }
}

on_every_database! {
    async fn the_sweep_stays_where_a_dead_service_stopped_it_and_resumes_there(service) {
        let source = CommentService::start().await;
        let ids = publish(service, 75).await;
        source.set_all(&ids, 1);
        adopt(service).await;
        source.behave(Mode::GoodFor(40));
        let first = Refreshing::start(service, &source, QUICK).await;
        until("the service has been dead for a while", async || source.asked().len() > 50).await;
        let CommentSweep::Left { before: Some(before) } = first.store.comment_sweep().await.unwrap()
        else {
            panic!("one batch is behind it, not all")
        };
        drop(first);

        source.behave(Mode::Good);
        let asked_before = source.asked_for(&ids[74]).len();
        let second = Refreshing::start(service, &source, QUICK).await;
        until("the sweep is done", async || {
            second.store.comment_sweep().await.unwrap() == CommentSweep::Done
        })
        .await;
        for id in &ids {
            assert_eq!(count(service, id).await, 1);
        }
        assert_eq!(source.asked_for(&ids[74]).len(), asked_before, "not from the start again");
        second.store.advance_comment_sweep(before).await.unwrap();
        assert_eq!(second.store.comment_sweep().await.unwrap(), CommentSweep::Done, "never back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_the_service_does_not_know_is_asked_for_once_and_passed_by() {
    let service = Service::on(Database::sqlite()).await;
    let source = CommentService::start().await;
    let ids = publish(&service, 5).await;
    source.set_all(&ids, 1);
    source.behave(Mode::Without(ids[2].clone()));
    adopt(&service).await;
    let refreshing = Refreshing::start(&service, &source, QUICK).await;
    until("the sweep is done", async || {
        refreshing.store.comment_sweep().await.unwrap() == CommentSweep::Done
    })
    .await;
    assert_eq!(source.asked_for(&ids[2]).len(), 1);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(count(&service, id).await, i64::from(at != 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_begins_when_the_adoption_has_finished_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let source = CommentService::start().await;
    let ids = publish(&service, 3).await;
    source.set_all(&ids, 1);
    adopt(&service).await;
    service
        .execute("UPDATE adoption SET finished_at = NULL")
        .await;
    let refreshing = Refreshing::start(&service, &source, QUICK).await;
    for _ in 0..10 {
        let state = refreshing.store.comment_sweep().await.unwrap();
        assert_eq!(state, CommentSweep::Waiting);
    }
    assert!(source.asked().is_empty());
    service
        .execute("UPDATE adoption SET finished_at = UTC_TIMESTAMP()")
        .await;
    until("the sweep is done", async || {
        refreshing.store.comment_sweep().await.unwrap() == CommentSweep::Done
    })
    .await;
    assert_eq!(count(&service, &ids[0]).await, 1);
}

#[tokio::test]
async fn a_count_is_asked_for_again_by_anybody_and_never_taken_from_the_caller() {
    let source = CommentService::start().await;
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/posts.db", folder.path().display());
    let mut served = Served::start(&[
        ("DATABASE_URL", &database),
        ("COMMENT_SERVICE_URL", &source.url),
    ])
    .await;
    let (_, token) = served.development_token().await;
    let base = format!("http://{}/api/v1/posts", served.api);
    let draft = json!({"title": "t", "content": "c", "category": "k"});
    let created = served.client.post(&base).bearer_auth(token).json(&draft);
    let created = Answer::of(created).await;
    let id = created.json["data"]["id"].as_str().unwrap();
    let update = async |id: &str| {
        // As the frontend sends it, with what nobody may believe.
        let request = served
            .client
            .post(format!("{base}/{id}/update-comment-count"));
        Answer::of(request.json(&json!({"comment_count": 1000}))).await
    };
    source.set(id, 3);
    let answer = update(id).await;
    assert_eq!(answer.status, StatusCode::OK);
    let data = json!({
        "comment_count": 3, "message": "댓글 수가 업데이트되었습니다", "post_id": id,
    });
    let expected = json!({"data": data, "message": "Success", "success": true});
    assert_eq!(answer.json, expected);
    let bodiless = served
        .client
        .post(format!("{base}/{id}/update-comment-count"))
        .header("Content-Type", "application/json");
    assert_eq!(Answer::of(bodiless).await.json, expected);

    let asked = source.asked().len();
    for missing in ["nope", "0123456789abcdef0123456789abcdef"] {
        let answer = update(missing).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.json["error"], json!({"code": 404, "details": null}));
    }
    assert_eq!(
        source.asked().len(),
        asked,
        "nobody is bothered with made-up ids"
    );

    source.behave(Mode::Status(500));
    let answer = update(id).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json["error"], json!({"code": 502, "details": null}));
    // Of the sentence alone: the id of the request may have any digits.
    let said = answer.message();
    assert!(said.contains("댓글") && !said.contains("500"), "{said}");
    let read = Answer::of(served.client.get(format!("{base}/{id}"))).await;
    assert_eq!(read.json["data"]["comment_count"], 3);
}

#[tokio::test]
async fn without_a_comment_service_a_count_cannot_be_asked_for() {
    let service = Service::on(Database::sqlite()).await;
    let ids = publish(&service, 1).await;
    let path = |id: &str| format!("/api/v1/posts/{id}/update-comment-count");
    let answer = Answer::of(service.request(Method::POST, &path(&ids[0]))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.message().contains("설정"), "{}", answer.text);
    let answer = Answer::of(service.request(Method::POST, &path("nope"))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_hung_comment_service_does_not_keep_the_process_from_ending() {
    let database = Database::sqlite();
    let url = database.url_text();
    let source = CommentService::start().await;
    source.behave(Mode::Hung);
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("COMMENT_SERVICE_URL", &source.url),
    ];
    let mut served = Served::start(&settings).await;
    let (_, token) = served.development_token().await;
    let posts = format!("http://{}/api/v1/posts", served.api);
    let draft = json!({"title": "t", "content": "c", "category": "k"});
    let created = served.client.post(&posts).bearer_auth(token).json(&draft);
    assert_eq!(Answer::of(created).await.status, StatusCode::CREATED);
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit_code().await, Some(0));

    let begin_sweep = "UPDATE comment_sweep SET before_no = NULL";
    database.execute(begin_sweep).await;
    let mut served = Served::start(&settings).await;
    until("it is asked", async || !source.asked().is_empty()).await;
    let begun = Instant::now();
    served.signal(Signal::SIGTERM);
    assert_eq!(served.exit_code().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2));
}
