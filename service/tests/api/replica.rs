//! Readers without a token are sent to a replica that is at most two seconds late.

use crate::kit::{Answer, Options, Service, mysqld::Mysqld, say, tokens, wait::until};
use nix::sys::signal::Signal;
use post_service::{auth::Keys, store};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How late an answer without a token may be.
const LATEST: Duration = Duration::from_secs(2);

async fn titles(service: &Service, path: &str, token: Option<&str>) -> Vec<String> {
    let request = service.request(Method::GET, path);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    let data = &answer.json["data"];
    let all = data.as_array().cloned().unwrap_or(vec![data.clone()]);
    let name = |entry: &serde_json::Value| {
        let name = entry.get("title").or_else(|| entry.get("name"));
        name.and_then(|name| name.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    all.iter().map(name).collect()
}

/// When each title was acknowledged.
#[derive(Default)]
struct Written(Mutex<Vec<(u64, Instant)>>);

impl Written {
    /// The latest title that everybody must see who asks at this time.
    fn due(&self, asked: Instant) -> u64 {
        let written = self.0.lock().expect("a lock");
        let old = written.iter().filter(|(_, at)| *at + LATEST <= asked);
        old.map(|(title, _)| *title).max().unwrap_or_default()
    }

    fn latest(&self) -> u64 {
        let written = self.0.lock().expect("a lock");
        written.last().map_or(0, |(title, _)| *title)
    }
}

/// Gives the post new titles until it is stopped.
async fn write(service: &Service, id: &str, written: &Written, stop: &CancellationToken) {
    let path = format!("/api/v1/posts/{id}");
    for title in 1.. {
        if stop.is_cancelled() {
            return;
        }
        let request = service
            .request(Method::PATCH, &path)
            .bearer_auth(tokens::alice());
        let answer = Answer::of(request.json(&json!({"title": title.to_string()}))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        written
            .0
            .lock()
            .expect("a lock")
            .push((title, Instant::now()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads without a token until it is stopped; tells how many answers were not the latest.
async fn read(service: &Service, id: &str, written: &Written, stop: &CancellationToken) -> u64 {
    let path = format!("/api/v1/posts/{id}");
    let mut late = 0;
    while !stop.is_cancelled() {
        let (asked, latest) = (Instant::now(), written.latest());
        let seen: u64 = titles(service, &path, None).await[0]
            .parse()
            .expect("a number");
        let due = written.due(asked);
        assert!(
            seen >= due,
            "{seen} was seen, {due} is more than {LATEST:?} old"
        );
        late += u64::from(seen < latest);
    }
    late
}

/// Reads with a token until it is stopped: always the latest.
async fn read_own(service: &Service, id: &str, written: &Written, stop: &CancellationToken) {
    let path = format!("/api/v1/posts/{id}");
    while !stop.is_cancelled() {
        let latest = written.latest();
        let seen: u64 = titles(service, &path, Some(&tokens::alice())).await[0]
            .parse()
            .expect("a number");
        assert!(seen >= latest, "{seen} was seen, {latest} was acknowledged");
    }
}

/// The replica stops, goes on and dies.
async fn disturb(replica: &mut Mysqld, written: &Written, stop: &CancellationToken) {
    let more = async |titles: u64| {
        let goal = written.latest() + titles;
        until("more is written", async || written.latest() >= goal).await;
    };
    more(30).await;
    replica.execute(&["STOP REPLICA SQL_THREAD"]).await;
    more(60).await;
    replica.execute(&["START REPLICA SQL_THREAD"]).await;
    more(30).await;
    replica.end(Signal::SIGKILL).await;
    more(30).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_without_a_token_are_at_most_two_seconds_late_and_others_never_on_mysql() {
    let Some(primary) = Mysqld::start_new(11).await else {
        return;
    };
    let mut replica = Mysqld::start_new(12).await.expect("a second server");
    replica.follow(&primary).await;
    primary
        .execute(&["CREATE DATABASE replicated CHARACTER SET utf8mb4"])
        .await;
    let url = |server: &Mysqld| {
        format!("{}/replicated", server.url())
            .parse()
            .expect("a URL")
    };
    store::migrate(&url(&primary))
        .await
        .expect("migrations apply");
    let database = store::open(&url(&primary), Some(&url(&replica)), 4)
        .await
        .expect("a store");
    let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
    let service = Service::with(database, keys, None, Options::default()).await;
    let id = service
        .publish(&tokens::alice(), "0", "on the primary")
        .await;

    // What only the replica says.
    let there = async || titles(&service, "/api/v1/categories", None).await;
    replica.catch_up_with(&primary).await;
    assert_eq!(there().await, ["on the primary"]);
    replica
        .execute(&["UPDATE replicated.categories SET name = 'on the replica'"])
        .await;
    until("the replica is asked", async || {
        there().await == ["on the replica"]
    })
    .await;
    let own = titles(&service, "/api/v1/categories", Some(&tokens::alice())).await;
    assert_eq!(own, ["on the primary"]);

    let (written, stop) = (Written::default(), CancellationToken::new());
    let ((), late, (), ()) = tokio::join!(
        write(&service, &id, &written, &stop),
        read(&service, &id, &written, &stop),
        read_own(&service, &id, &written, &stop),
        disturb(&mut replica, &written, &stop),
    );
    assert!(late > 0, "no answer was the replica's");
    until("the primary is asked", async || {
        there().await == ["on the primary"]
    })
    .await;
    say(&format!(
        "replica: {} writes, {late} answers without a token were not the latest, none was more than {LATEST:?} late",
        written.latest()
    ));
}
