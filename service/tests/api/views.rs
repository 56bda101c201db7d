//! Views: each viewer once a day, whoever counts.

use crate::kit::{
    Answer, Service, client, database::Database, process::Served, tokens, wait::until,
};
use futures::future::join_all;
use nix::sys::signal::Signal;
use post_service::board::ViewerHash;
use post_service::store::{self, Views};
use reqwest::{Method, StatusCode};
use sqlx::{Connection, Executor, MySqlConnection};

async fn view(service: &Service, id: &str, viewer: &str) -> i64 {
    let request = service.request(Method::GET, &format!("/api/v1/posts/{id}"));
    let answer = request
        .header("User-Agent", viewer)
        .send()
        .await
        .expect("an answer");
    let json: serde_json::Value = answer.json().await.expect("JSON");
    json["data"]["view_count"].as_i64().expect("a count")
}

/// Stored views: lists show no others.
async fn stored(service: &Service, id: &str) -> i64 {
    let list = service.get("/api/v1/posts?per_page=50").await;
    let posts = list.json["data"].as_array().expect("posts");
    let post = posts.iter().find(|post| post["id"] == id).expect("listed");
    post["view_count"].as_i64().expect("a count")
}

on_every_database! {
    async fn a_viewer_counts_once_and_sees_it_at_once(service) {
        let alice = tokens::alice();
        let id = service.publish(&alice, "t", "c").await;
        for _ in 0..3 {
            assert_eq!(view(service, &id, "one").await, 1);
        }
        until("the view is stored", async || stored(service, &id).await == 1).await;
        for stored_before in [1, 2, 2] {
            assert_eq!(view(service, &id, "one").await, stored_before);
            assert_eq!(view(service, &id, "two").await, 2);
            until("the view is stored", async || stored(service, &id).await == 2).await;
        }
        // A token's user is another viewer than the same browser without it.
        let read = service.request(Method::GET, &format!("/api/v1/posts/{id}"));
        let answer = read.bearer_auth(&alice).send().await.expect("an answer");
        assert!(answer.text().await.expect("text").contains("\"view_count\":3"));
        // Days later everybody counts again. (A process that has seen them today knows better.)
        until("the view is stored", async || stored(service, &id).await == 3).await;
        service.execute("UPDATE post_views SET day = '2020-01-01'").await;
        assert_eq!(view(&service.beside().await, &id, "one").await, 4);
    }
}

on_every_database! {
    async fn who_comes_back_to_a_post_sees_what_has_become_of_it(service) {
        let alice = tokens::alice();
        let (id, other) = (service.publish(&alice, "t", "c").await, service.beside().await);
        let path = format!("/api/v1/posts/{id}");
        view(service, &id, "one").await;
        until("the view is stored", async || stored(service, &id).await == 1).await;
        // From the second of these on it is known that the view is counted.
        for title in ["second", "third", "fourth"] {
            let edit = serde_json::json!({"title": title, "content": "c"});
            let edit = other.request(Method::PUT, &path).bearer_auth(&alice).json(&edit);
            assert_eq!(Answer::of(edit).await.status, StatusCode::OK);
            let read = service.request(Method::GET, &path).header("User-Agent", "one");
            let read = Answer::of(read).await.json;
            assert_eq!((&read["data"]["title"], &read["data"]["view_count"]), (&title.into(), &1.into()));
        }
        let delete = other.request(Method::DELETE, &path).bearer_auth(&alice);
        assert_eq!(Answer::of(delete).await.status, StatusCode::OK);
        let gone = service.request(Method::GET, &path).header("User-Agent", "one");
        assert_eq!(Answer::of(gone).await.status, StatusCode::NOT_FOUND);
    }
}

on_every_database! {
    async fn a_crowd_is_counted_to_the_last(service) {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(service.publish(&tokens::alice(), "t", "c").await);
        }
        let views = (0..300).map(|number| {
            let (id, viewer) = (&ids[number % 3], format!("viewer {}", number % 150));
            async move { view(service, id, &viewer).await }
        });
        join_all(views).await;
        for id in &ids {
            until("all are stored", async || stored(service, id).await == 50).await;
        }
    }
}

on_every_database! {
    async fn a_crowd_of_more_than_one_transaction_is_counted_to_the_last(service) {
        let alice = tokens::alice();
        let famous = service.publish(&alice, "famous", "c").await;
        let other = service.publish(&alice, "other", "c").await;
        let store = store::open(&service.database().url(), None, 2).await;
        let (views, writer) = Views::new(store.expect("a store"));
        let now = "2026-01-01T00:00:00".parse().expect("a time");
        let viewers = ViewerHash::new("test");
        for number in 0..5_000 {
            let post = if number % 50 == 0 { &other } else { &famous };
            let viewer = format!("viewer {}", number % 2_500);
            views.record(viewers.view(&post.parse().expect("an id"), &viewer, now));
        }
        drop(views);
        let waiting = writer.waiting();
        writer.run().await;
        assert_eq!(waiting.count(), 0);
        assert_eq!(stored(service, &famous).await, 2_450);
        assert_eq!(stored(service, &other).await, 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_count_a_viewer_once_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let one = Service::on(database).await;
    let two = one.beside().await;
    let id = one.publish(&tokens::alice(), "t", "c").await;
    let views = (0..400).map(|number| {
        let (service, viewer) = ([&one, &two][number % 2], format!("viewer {}", number / 4));
        let id = &id;
        async move { view(service, id, &viewer).await }
    });
    join_all(views).await;
    until("all are stored", async || stored(&one, &id).await == 100).await;
    assert_eq!(view(&one, &id, "viewer 0").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_somebody_locks_keeps_no_other_views_of_its_batch_waiting_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let alice = tokens::alice();
    let locked = service.publish(&alice, "locked", "c").await;
    let free = service.publish(&alice, "free", "c").await;
    let store = store::open(&service.database().url(), None, 2).await;
    let (views, writer) = Views::new(store.expect("a store"));
    let now = "2026-01-01T00:00:00".parse().expect("a time");
    let viewers = ViewerHash::new("test");
    for (post, viewer) in [(&locked, "one"), (&free, "one"), (&free, "two")] {
        let post = post.parse().expect("an id");
        views.record(viewers.view(&post, viewer, now));
    }
    drop(views);

    let url = service.database().url_text();
    let mut holder = MySqlConnection::connect(&url).await.expect("a connection");
    let lock = format!("BEGIN; SELECT 1 FROM posts WHERE id = '{locked}' FOR UPDATE");
    holder.execute(lock.as_str()).await.expect("a lock");
    let writer = tokio::spawn(writer.run());
    until("the others are stored", async || {
        stored(&service, &free).await == 2
    })
    .await;
    assert_eq!(stored(&service, &locked).await, 0);
    holder.execute("ROLLBACK").await.expect("no lock");
    writer.await.expect("an end");
    assert_eq!(stored(&service, &locked).await, 1);
    assert_eq!(stored(&service, &free).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_process_has_counted_every_view() {
    for database in [Some(Database::sqlite()), Database::mysql().await]
        .into_iter()
        .flatten()
    {
        let service = Service::on(database).await;
        let id = service.publish(&tokens::alice(), "t", "c").await;
        let url = service.database().url_text();
        let mut served = Served::start(&[
            ("DATABASE_URL", &url),
            ("SECRET_KEY", "s"),
            ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
            ("COGNITO_REGION", "ap-northeast-2"),
            ("COGNITO_CLIENT_ID", "client"),
            ("COGNITO_JWKS_URL", "http://127.0.0.1:1/jwks.json"),
        ])
        .await;
        served.log_line("ready to serve").await;
        let client = client();
        let views = (0..200).map(|number| {
            let url = format!("http://{}/api/v1/posts/{id}", served.api);
            let request = client
                .get(url)
                .header("User-Agent", format!("viewer {number}"));
            async move { request.send().await.expect("an answer").status().as_u16() }
        });
        assert!(join_all(views).await.iter().all(|status| *status == 200));
        served.signal(Signal::SIGTERM);
        assert_eq!(served.exit_code().await, Some(0));
        assert_eq!(stored(&service, &id).await, 200);
    }
}

on_every_database! {
    async fn days_and_keys_that_are_over_are_forgotten(service) {
        let id = service.publish(&tokens::alice(), "t", "c").await;
        for viewer in ["one", "two"] {
            view(service, &id, viewer).await;
        }
        until("the views are stored", async || stored(service, &id).await == 2).await;
        service.execute("UPDATE post_views SET day = '2020-01-01'").await;
        service.execute(
            "INSERT INTO idempotency_keys (user_id, key_hash, request_hash, post_id, created_at) \
             VALUES ('u', 'k', 'r', 'p', '2020-01-01T00:00:00')"
        ).await;
        view(service, &id, "three").await;
        until("the view is stored", async || stored(service, &id).await == 3).await;
        let store = store::open(&service.database().url(), None, 2).await.expect("a store");
        let today = "2026-01-01".parse().expect("a day");
        assert_eq!(store.purge_views(today).await.expect("purged"), 2);
        let now = "2026-01-01T00:00:00".parse().expect("a time");
        assert_eq!(store.purge_idempotency_keys(now).await.expect("purged"), 1);
        let database = service.database();
        assert_eq!(database.number("SELECT COUNT(*) FROM post_views").await, 1);
        assert_eq!(database.number("SELECT COUNT(*) FROM idempotency_keys").await, 0);
        // The counts stay.
        assert_eq!(stored(service, &id).await, 3);
        store.close().await;
    }
}
