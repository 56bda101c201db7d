//! The database restarts, fails over, vanishes and loses connections under load.
//!
//! Every answer is right or a 503 that says when to come back, the service stays ready, and no
//! later than five seconds after the database is back every answer is right again.

use crate::kit::{
    Answer, ORIGIN, Options, Service, database::kill_connections_to, mysqld::Mysqld, say,
    switchboard::Switchboard, tokens, wait::until,
};
use futures::future::join_all;
use nix::sys::signal::Signal;
use post_service::{auth::Keys, store};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const CLIENTS: usize = 12;
/// How soon after the database is back every answer must be right.
const BACK: Duration = Duration::from_secs(5);

/// Clients that read and write until they are stopped.
#[derive(Default)]
struct Load {
    right: AtomicU64,
    /// When each refused request was sent.
    refused: Mutex<Vec<Instant>>,
    /// Posts whose creation was acknowledged.
    posts: Mutex<Vec<String>>,
    stop: CancellationToken,
}

impl Load {
    async fn client(&self, service: &Service, number: usize, shared: &str) {
        let token = tokens::alice();
        for round in number.. {
            if self.stop.is_cancelled() {
                return;
            }
            let (method, path, expected) = match round % 4 {
                0 => (Method::GET, "/api/v1/posts?per_page=5".to_owned(), 200),
                1 => (Method::GET, format!("/api/v1/posts/{shared}"), 200),
                2 => (Method::POST, "/api/v1/posts".to_owned(), 201),
                _ => (Method::PUT, format!("/api/v1/posts/{shared}/like"), 200),
            };
            let body =
                json!({"title": format!("{number} {round}"), "content": "c", "category": "k"});
            let sent = Instant::now();
            let request = service.request(method, &path).header("Origin", ORIGIN);
            let answer = Answer::of(request.bearer_auth(&token).json(&body)).await;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(answer.header("retry-after").parse::<u32>().is_ok());
                assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
                self.refused.lock().expect("a lock").push(sent);
                continue;
            }
            assert_eq!(answer.status, expected, "{path}: {}", answer.text);
            self.right.fetch_add(1, Ordering::Relaxed);
            let data = &answer.json["data"];
            match round % 4 {
                1 => assert_eq!(data["id"], shared),
                2 => {
                    assert_eq!(data["title"], body["title"]);
                    let id = data["id"].as_str().expect("an id").to_owned();
                    self.posts.lock().expect("a lock").push(id);
                }
                3 => assert_eq!(
                    (&data["is_liked"], &data["like_count"]),
                    (&json!(true), &json!(1))
                ),
                _ => assert!(!data.as_array().expect("posts").is_empty()),
            }
        }
    }

    /// Waits until so many more answers were right.
    async fn more(&self, answers: u64) {
        let goal = self.right.load(Ordering::Relaxed) + answers;
        until("answers are right", async || {
            self.right.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// Checks that nothing sent long enough after this moment was refused, and says how soon it was.
    fn check(&self, fault: &str, back: Instant) {
        let refused = self.refused.lock().expect("a lock");
        let late = refused
            .iter()
            .map(|sent| sent.saturating_duration_since(back))
            .max();
        let late = late.unwrap_or_default();
        say(&format!(
            "failover: {fault}: {} right, {} refused so far, the last one sent {late:.1?} after the \
             database was back",
            self.right.load(Ordering::Relaxed),
            refused.len()
        ));
        assert!(late < BACK, "{fault}: still refused {late:?} after");
    }
}

/// Sends load for as long as somebody could have been refused late.
async fn settle(load: &Load, fault: &str, back: Instant) {
    load.more(200).await;
    let calm = async || back.elapsed() > BACK + Duration::from_millis(500);
    until("five seconds have passed", calm).await;
    load.more(50).await;
    load.check(fault, back);
}

async fn break_it(primary: &mut Mysqld, standby: &Mysqld, switchboard: &Switchboard, load: &Load) {
    load.more(100).await;
    for _ in 0..5 {
        kill_connections_to(&primary.url(), "failover").await;
        load.more(20).await;
    }
    settle(load, "connections killed", Instant::now()).await;

    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        primary.end(signal).await;
        primary.start().await;
        settle(load, &format!("restarted after {signal}"), Instant::now()).await;
    }

    // The machine vanishes without a word; a moment later its address leads to a living one.
    switchboard.silence();
    settle(load, "connections went silent", Instant::now()).await;

    // The replica takes over; what is connected stays with the old primary, now read-only.
    standby.take_over_from(primary).await;
    switchboard.lead_to(standby.port);
    settle(load, "read-only, address swapped", Instant::now()).await;
    load.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_right_or_says_when_to_come_back_on_mysql() {
    let Some(mut primary) = Mysqld::start_new(1).await else {
        return;
    };
    let standby = Mysqld::start_new(2).await.expect("a second server");
    standby.follow(&primary).await;
    primary
        .execute(&["CREATE DATABASE failover CHARACTER SET utf8mb4"])
        .await;
    let switchboard = Switchboard::to(primary.port).await;
    let url = format!("mysql://root@{}/failover", switchboard.address);
    let url = url.parse().expect("a URL");
    store::migrate(&url).await.expect("migrations apply");
    let database = store::open(&url, None, 8).await.expect("a store");
    let keys = Keys::Fixed(Arc::new(tokens::KEY.key_set()));
    let service = Service::with(database, keys, None, Options::default()).await;
    let shared = service.publish(&tokens::bob(), "shared", "k").await;

    let load = Load::default();
    let clients = join_all((0..CLIENTS).map(|number| load.client(&service, number, &shared)));
    let ready = async {
        while !load.stop.is_cancelled() {
            assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
            assert_eq!(service.get("/health").await.status, StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let breaking = break_it(&mut primary, &standby, &switchboard, &load);
    tokio::join!(clients, ready, breaking);
    let posts = load.posts.into_inner().expect("a lock");
    for id in &posts {
        let post = service.get(&format!("/api/v1/posts/{id}")).await;
        assert_eq!(post.status, StatusCode::OK, "{id} was acknowledged");
    }
    say(&format!(
        "failover: all {} acknowledged posts are there",
        posts.len()
    ));
}
