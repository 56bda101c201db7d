//! Users who deactivate their accounts.

use crate::kit::{
    Answer, ORIGIN, Options, Service,
    cognito::{Pool, Tokens},
    database::Database,
    process::Served,
    proxy::ClosedPort,
    tokens,
    wait::until,
};
use nix::sys::signal::Signal;
use post_service::store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DEACTIVATE: &str = "/api/v1/users/me/deactivate";

fn draft() -> Value {
    json!({"title": "t", "content": "c", "category": "k"})
}

/// A process of the service on this database, with this pool.
async fn serve(database: &Database, pool: &Pool, administration: &str, action: &str) -> Served {
    let mut settings = pool.settings(administration);
    settings.extend(
        [
            ("DATABASE_URL", database.url_text()),
            ("SECRET_KEY", "test".to_owned()),
            ("DEACTIVATION", action.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Served::start(&settings).await
}

async fn migrated(database: Option<Database>) -> Option<Database> {
    let database = database?;
    store::migrate(&database.url())
        .await
        .expect("migrations apply");
    Some(database)
}

async fn post(served: &Served, path: &str, token: &str, body: &Value) -> Answer {
    let url = format!("http://{}{path}", served.api);
    // The frontend sends this header with everything.
    let request = served
        .client
        .post(url)
        .header("Content-Type", "application/json");
    let request = match body {
        Value::Null => request,
        body => request.body(body.to_string()),
    };
    Answer::of(request.bearer_auth(token)).await
}

async fn deactivate(served: &Served, token: &str) -> Answer {
    post(served, DEACTIVATE, token, &Value::Null).await
}

async fn publish(served: &Served, token: &str) -> Answer {
    post(served, "/api/v1/posts", token, &draft()).await
}

/// The user can do nothing any more, but read what everybody may.
async fn assert_refused(served: &Served, tokens: &Tokens) {
    for token in [&tokens.id, &tokens.access] {
        for answer in [
            publish(served, token).await,
            post(served, "/api/v1/categories", token, &json!({"name": "k"})).await,
            deactivate(served, token).await,
            get(served, "/api/v1/posts/my", token).await,
        ] {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.json["error"], "Token verification failed");
            assert!(!answer.message().is_empty());
        }
        let list = get(served, "/api/v1/posts", token).await;
        assert_eq!(list.status, StatusCode::OK);
    }
}

async fn get(served: &Served, path: &str, token: &str) -> Answer {
    let url = format!("http://{}{path}", served.api);
    Answer::of(served.client.get(url).bearer_auth(token)).await
}

/// Whether every deactivation in the database is finished.
async fn all_finished(database: &Database) -> bool {
    let store = store::open(&database.url(), None, 1).await.unwrap();
    let far = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let due = store.due_deactivations(far, 10).await.unwrap();
    store.close().await;
    due.is_empty()
}

on_every_database! {
    async fn without_a_user_pool_the_refusal_is_all_and_holds_at_once(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        let answer = service.post(DEACTIVATE, &alice, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK);
        let expected = json!({
            "data": {"deleted": true, "username": "alice"},
            "message": "계정이 완전히 삭제되었습니다", "success": true,
        });
        assert_eq!(answer.json, expected);
        for _ in 0..2 {
            let refused = service.post("/api/v1/posts", &alice, &draft()).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            assert_eq!(refused.json["error"], "Token verification failed");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        let again = service.post(DEACTIVATE, &alice, &Value::Null).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        let read = service.request(Method::GET, "/api/v1/posts").bearer_auth(&alice);
        assert_eq!(Answer::of(read).await.status, StatusCode::OK);
        let other = service.post("/api/v1/posts", &bob, &draft()).await;
        assert_eq!(other.status, StatusCode::CREATED);
        assert!(all_finished(service.database()).await);
    }
}

on_every_database! {
    async fn many_requests_of_one_user_at_once_deactivate_once(service) {
        let alice = tokens::alice();
        let requests = (0..16).map(|_| service.post(DEACTIVATE, &alice, &Value::Null));
        let answers = futures::future::join_all(requests).await;
        let done = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
        assert!(done > 0);
        for answer in &answers {
            assert!(matches!(answer.status.as_u16(), 200 | 401), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn nobody_is_deactivated_without_a_good_token() {
    let service = Service::on(Database::sqlite()).await;
    let send = async |authorization: Option<&str>| {
        let mut request = service
            .request(Method::POST, DEACTIVATE)
            .header("Origin", ORIGIN);
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        Answer::of(request).await
    };
    for none in [None, Some("Basic YTpi"), Some("Bearer ")] {
        let answer = send(none).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let expected = json!({
            "error": {"code": 401, "details": null},
            "message": "인증이 필요합니다", "success": false,
        });
        assert_eq!(answer.json, expected);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    }
    let impostors = tokens::IMPOSTOR
        .sign(&tokens::id_claims(tokens::ALICE, "alice"))
        .unwrap();
    for forged in ["e30.eyJ1c2VybmFtZSI6InZpY3RpbSJ9.x", &impostors] {
        let answer = send(Some(&format!("Bearer {forged}"))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json["error"], "Token verification failed");
    }
    let still = service
        .post("/api/v1/posts", &tokens::alice(), &draft())
        .await;
    assert_eq!(still.status, StatusCode::CREATED);
}

#[tokio::test]
async fn while_the_database_is_away_nobody_is_taken_for_somebody() {
    // Nothing listens on port 1.
    let url: store::DatabaseUrl = "mysql://u:p@127.0.0.1:1/d".parse().unwrap();
    let store = store::open(&url, None, 2).await.unwrap();
    let keys = post_service::auth::Keys::Fixed(std::sync::Arc::new(tokens::KEY.key_set()));
    let service = Service::with(store, keys, None, Options::default()).await;
    let answer = service
        .post(DEACTIVATE, &tokens::alice(), &Value::Null)
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
}

async fn refused_everywhere_and_deleted(database: Option<Database>) {
    let (Some(database), Some(pool)) = (migrated(database).await, Pool::create().await) else {
        return;
    };
    // Longer than the name that posts show.
    let name = "long-".repeat(24);
    let (leaver, stayer) = (pool.user(&name).await, pool.user("bob").await);
    let (one, other) = tokio::join!(
        serve(&database, &pool, &pool.endpoint, "delete"),
        serve(&database, &pool, &pool.endpoint, "delete"),
    );
    for served in [&one, &other] {
        for token in [&leaver.id, &leaver.access, &stayer.id] {
            assert_eq!(publish(served, token).await.status, StatusCode::CREATED);
        }
    }
    let answer = deactivate(&one, &leaver.access).await;
    assert_refused(&other, &leaver).await;
    assert_refused(&one, &leaver).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let expected = json!({
        "data": {"deleted": true, "username": name},
        "message": "계정이 완전히 삭제되었습니다", "success": true,
    });
    assert_eq!(answer.json, expected);
    assert_eq!(pool.enabled(&name).await, None);
    assert_eq!(pool.enabled("bob").await, Some(true));
    assert!(all_finished(&database).await);
    for served in [&one, &other] {
        let answer = publish(served, &stayer.id).await;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_is_refused_by_every_process_at_once_and_deleted_on_mysql() {
    refused_everywhere_and_deleted(Database::mysql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_is_refused_and_deleted_on_sqlite() {
    refused_everywhere_and_deleted(Some(Database::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_shall_keep_its_users_has_them_disabled() {
    let Some(pool) = Pool::create().await else {
        return;
    };
    let database = Database::sqlite();
    let tokens = pool.user("alice").await;
    let served = serve(&database, &pool, &pool.endpoint, "disable").await;
    let answer = deactivate(&served, &tokens.id).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let data = json!({"deleted": false, "username": "alice"});
    assert_eq!(answer.json["data"], data);
    assert!(answer.message().contains("비활성화"));
    assert_eq!(pool.enabled("alice").await, Some(false));
    assert_refused(&served, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_the_pool_does_not_know_any_more_is_done_with() {
    let Some(pool) = Pool::create().await else {
        return;
    };
    let database = Database::sqlite();
    let tokens = pool.user("alice").await;
    let served = serve(&database, &pool, &pool.endpoint, "delete").await;
    pool.delete_user("alice").await;
    let answer = deactivate(&served, &tokens.id).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json["data"]["deleted"], true);
    assert!(all_finished(&database).await);
}

async fn outlives_an_outage(database: Option<Database>) {
    let (Some(database), Some(pool)) = (migrated(database).await, Pool::create().await) else {
        return;
    };
    let tokens = pool.user("alice").await;
    let port = ClosedPort::reserve();
    let administration = port.url();
    let mut one = serve(&database, &pool, &administration, "delete").await;
    let answer = deactivate(&one, &tokens.id).await;
    assert_refused(&one, &tokens).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let data = json!({"deleted": false, "username": "alice"});
    assert_eq!(answer.json["data"], data);
    assert_eq!(answer.json["success"], true);
    assert_eq!(pool.enabled("alice").await, Some(true));
    one.signal(Signal::SIGKILL);
    one.exit_code().await;

    let other = serve(&database, &pool, &administration, "delete").await;
    assert_refused(&other, &tokens).await;
    assert!(!all_finished(&database).await);
    let _open = port.open(pool.endpoint.trim_start_matches("http://"));
    until("the user is gone from the pool", async || {
        pool.enabled("alice").await.is_none()
    })
    .await;
    until("nothing is left to do", async || {
        all_finished(&database).await
    })
    .await;
    assert_refused(&other, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outage_of_cognito_and_a_killed_process_left_is_finished_on_mysql() {
    outlives_an_outage(Database::mysql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outage_of_cognito_and_a_killed_process_left_is_finished_on_sqlite() {
    outlives_an_outage(Some(Database::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_cognito_is_waited_for_a_moment_only() {
    let Some(pool) = Pool::create().await else {
        return;
    };
    let database = Database::sqlite();
    let tokens = pool.user("alice").await;
    let port = ClosedPort::reserve();
    let administration = port.url();
    let _hung = port.hang();
    let served = serve(&database, &pool, &administration, "disable").await;
    let begun = Instant::now();
    let answer = deactivate(&served, &tokens.id).await;
    let elapsed = begun.elapsed();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    assert_refused(&served, &tokens).await;
    assert!(!all_finished(&database).await);
}
