//! `Idempotency-Key`: a request that is sent again publishes nothing new.

use crate::kit::{
    Answer, CLIENT_ID, Service, database::Database, key_endpoint::Endpoint, process::Served,
    tokens, wait::until,
};
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

async fn publish(service: &Service, token: &str, key: &str, body: &Value) -> Answer {
    let request = service
        .request(Method::POST, "/api/v1/posts")
        .bearer_auth(token);
    Answer::of(request.header("Idempotency-Key", key).json(body)).await
}

fn post(title: &str) -> Value {
    json!({"title": title, "content": "c", "category": "k"})
}

async fn total(service: &Service) -> Value {
    service.get("/api/v1/posts").await.json["meta"]["total"].clone()
}

on_every_database! {
    async fn the_same_key_publishes_once_a_user_and_day(service) {
        let (alice, bob) = (tokens::alice(), tokens::bob());
        let first = publish(service, &alice, "k1", &post("t")).await;
        let again = publish(service, &alice, "k1", &post("t")).await;
        assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!((&first.text, first.header("location")), (&again.text, again.header("location")));
        assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
        let other = publish(service, &alice, "k1", &post("u")).await;
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(total(service).await, 1);
        assert_eq!(publish(service, &bob, "k1", &post("t")).await.status, StatusCode::CREATED);
        assert_eq!(publish(service, &alice, "k2", &post("t")).await.status, StatusCode::CREATED);
        assert_eq!(total(service).await, 3);
        // A day later the key is free again.
        service.execute("UPDATE idempotency_keys SET created_at = '2020-01-01T00:00:00'").await;
        let later = publish(service, &alice, "k1", &post("v")).await;
        assert_eq!((later.status, later.header("idempotency-replayed")), (StatusCode::CREATED, ""));
        assert_eq!(publish(service, &alice, "k1", &post("v")).await.header("idempotency-replayed"), "true");
    }
}

on_every_database! {
    async fn a_key_has_a_length_and_is_ascii(service) {
        let alice = tokens::alice();
        for key in [String::new(), "x".repeat(256), "키".into()] {
            let refused = publish(service, &alice, &key, &post("t")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{key}");
            assert!(refused.message().contains("Idempotency-Key"), "{}", refused.text);
        }
        for key in ["x".repeat(255), "a key\tof words".into()] {
            assert_eq!(publish(service, &alice, &key, &post("t")).await.status, StatusCode::CREATED);
        }
        // A refused draft takes no key.
        assert_eq!(publish(service, &alice, "k", &json!({"title": "t"})).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(publish(service, &alice, "k", &post("t")).await.status, StatusCode::CREATED);
    }
}

/// Answers are the one post, or a request to wait; at least one is the post.
fn check(answers: &[Answer]) {
    let mut ids = BTreeSet::new();
    for answer in answers {
        match answer.status {
            StatusCode::CREATED => drop(ids.insert(answer.json["data"]["id"].to_string())),
            status => assert_eq!(status, StatusCode::CONFLICT, "{}", answer.text),
        }
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
}

on_every_database! {
    async fn requests_sent_at_once_publish_once(service) {
        let alice = tokens::alice();
        for round in 0..10 {
            let key = format!("round {round}");
            let body = post("t");
            let send = || publish(service, &alice, &key, &body);
            check(&futures::future::join_all((0..8).map(|_| send())).await);
            assert_eq!(total(service).await, round + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_at_once_to_two_processes_publish_once_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let one = Service::on(database).await;
    let two = one.beside().await;
    let (alice, body) = (tokens::alice(), post("t"));
    for round in 0..20 {
        let key = format!("round {round}");
        let send = |number: usize| publish([&one, &two][number % 2], &alice, &key, &body);
        check(&futures::future::join_all((0..8).map(send)).await);
        assert_eq!(total(&one).await, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_after_its_process_was_killed_publishes_once_on_mysql() {
    let Some(database) = Database::mysql().await else {
        return;
    };
    let service = Service::on(database).await;
    let keys = Endpoint::default();
    keys.publish(&[&tokens::KEY]);
    let (url, jwks) = (service.database().url_text(), keys.start().await);
    let (alice, body) = (tokens::alice(), post("t"));
    let mut answered = 0;
    for round in 0..12 {
        let mut served = Served::start(&[
            ("DATABASE_URL", &url),
            ("SECRET_KEY", "s"),
            ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
            ("COGNITO_REGION", "ap-northeast-2"),
            ("COGNITO_CLIENT_ID", CLIENT_ID),
            ("COGNITO_JWKS_URL", &jwks),
        ])
        .await;
        served.log_line("ready to serve").await;
        let key = format!("round {round}");
        let request = served
            .client
            .post(format!("http://{}/api/v1/posts", served.api));
        let request = request.bearer_auth(&alice).header("Idempotency-Key", &key);
        let sending = tokio::spawn(request.json(&body).send());
        // Somewhere on its way, a little later each time.
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        served.signal(Signal::SIGKILL);
        answered += u32::from(sending.await.expect("an end").is_ok());
        until("the killed process's transaction is gone", async || {
            publish(&service, &alice, &key, &body).await.status == StatusCode::CREATED
        })
        .await;
        assert_eq!(total(&service).await, round + 1);
    }
    assert!(answered < 12, "no process was killed on its way");
}
