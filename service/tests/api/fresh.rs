//! Reads that are shared by requests are as fresh as those that are not.

use crate::kit::{client, database::Database, process::Served, say, tokens};
use axum::{Router, routing::get};
use futures::future::join_all;
use post_service::store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tokio::net::TcpListener;

const WRITERS: usize = 8;
const EDITS: i64 = 20;
const READERS: usize = 48;
const CATEGORY: &str = "watched";

/// Processes of the service on one database.
struct Board {
    processes: Vec<Served>,
    client: reqwest::Client,
    token: String,
    /// The posts and, of each, the newest text that was acknowledged; texts are rising numbers.
    posts: Vec<(String, AtomicI64)>,
    /// How many posts were acknowledged.
    total: AtomicI64,
    writing: AtomicUsize,
    reads: AtomicUsize,
    _database: Database,
}

impl Board {
    async fn start(database: Database, processes: usize) -> Self {
        store::migrate(&database.url())
            .await
            .expect("migrations apply");
        let url = database.url_text();
        let keys = key_server().await;
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("SECRET_KEY", "s"),
            ("COGNITO_USER_POOL_ID", "ap-northeast-2_Test"),
            ("COGNITO_REGION", "ap-northeast-2"),
            ("COGNITO_CLIENT_ID", "test-client"),
            ("COGNITO_JWKS_URL", &keys),
            ("RATE_LIMIT_READS_PER_MINUTE", "0"),
            ("RATE_LIMIT_WRITES_PER_MINUTE", "0"),
            // Nobody reads their log.
            ("RUST_LOG", "info,post_service::http=error"),
        ];
        let mut board = Self {
            processes: Vec::new(),
            client: client(),
            token: tokens::alice(),
            posts: Vec::new(),
            total: AtomicI64::new(0),
            writing: AtomicUsize::new(WRITERS),
            reads: AtomicUsize::new(0),
            _database: database,
        };
        for _ in 0..processes {
            let mut served = Served::start(&environment).await;
            served.log_line("ready to serve").await;
            board.processes.push(served);
        }
        for number in 0..WRITERS {
            let body = json!({"title": "t", "content": "0", "category": CATEGORY});
            let answer = board.write(number, Method::POST, "", body).await;
            let id = answer["data"]["id"].as_str().expect("an id").to_owned();
            board.posts.push((id, AtomicI64::new(0)));
        }
        board
    }

    /// The place of a path, on one process after the other.
    fn url(&self, number: usize, path: &str) -> String {
        let process = &self.processes[number % self.processes.len()];
        format!("http://{}/api/v1/posts{path}", process.api)
    }

    async fn write(&self, number: usize, method: Method, path: &str, body: Value) -> Value {
        let is_new = method == Method::POST;
        let request = self.client.request(method, self.url(number, path));
        let answer = request.bearer_auth(&self.token).json(&body).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        let answer = answer.json().await.expect("JSON");
        if is_new {
            self.total.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }

    /// Edits a post again and again and publishes another in between.
    async fn writer(&self, me: usize) {
        let (id, acknowledged) = &self.posts[me];
        // By one process after the other; both are read.
        for (edit, number) in (1..=EDITS).zip(me..) {
            let path = format!("/{id}");
            let body = json!({"content": edit.to_string()});
            self.write(number, Method::PATCH, &path, body).await;
            acknowledged.store(edit, Ordering::SeqCst);
            if edit % 5 == 0 {
                let body = json!({"title": "t", "content": "0", "category": "others"});
                self.write(number, Method::POST, "", body).await;
            }
        }
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    async fn read(&self, number: usize, path: &str) -> Value {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let answer = self.client.get(self.url(number, path)).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.expect("JSON")
    }

    /// Reads single posts, the list that holds them and the whole list's total.
    async fn reader(&self, me: usize) {
        let mut round = me;
        while self.writing.load(Ordering::SeqCst) > 0 {
            round += 1;
            match round % 4 {
                0 => self.read_total(round / 4).await,
                1 => self.read_list(round / 4).await,
                _ => self.read_post(round).await,
            }
        }
    }

    async fn read_post(&self, round: usize) {
        let (id, acknowledged) = &self.posts[round / 2 % WRITERS];
        let at_least = acknowledged.load(Ordering::SeqCst);
        let answer = self.read(round / 3, &format!("/{id}")).await;
        let seen = content(&answer["data"]);
        assert!(seen >= at_least, "a post: {seen} is older than {at_least}");
    }

    async fn read_list(&self, round: usize) {
        let at_least = self.posts.iter().map(|(_, acknowledged)| acknowledged);
        let at_least: Vec<_> = at_least.map(|edit| edit.load(Ordering::SeqCst)).collect();
        let answer = self
            .read(round, &format!("?category={CATEGORY}&per_page=50"))
            .await;
        let list = answer["data"].as_array().expect("posts");
        assert_eq!(list.len(), WRITERS);
        for ((id, _), at_least) in self.posts.iter().zip(at_least) {
            let post = list.iter().find(|post| post["id"] == *id).expect("listed");
            let seen = content(post);
            assert!(seen >= at_least, "a list: {seen} is older than {at_least}");
        }
    }

    async fn read_total(&self, round: usize) {
        let at_least = self.total.load(Ordering::SeqCst);
        let answer = self.read(round, "").await;
        let seen = answer["meta"]["total"].as_i64().expect("a total");
        assert!(seen >= at_least, "a total: {seen} is older than {at_least}");
    }

    /// Requests and the reads they cost, over all processes, from their metrics.
    async fn cost(&self, read: &str) -> (u64, u64) {
        let (mut requests, mut runs) = (0, 0);
        for process in &self.processes {
            let url = format!("http://{}/metrics", process.metrics);
            let answer = self.client.get(url).send().await.expect("an answer");
            let text = answer.text().await.expect("text");
            requests += sample(
                &text,
                &format!("fresh_read_requests_total{{read=\"{read}\"}}"),
            );
            runs += sample(&text, &format!("fresh_read_runs_total{{read=\"{read}\"}}"));
        }
        (requests, runs)
    }
}

/// Serves the tests' token keys; the address.
async fn key_server() -> String {
    let set = json!({"keys": [tokens::KEY.public_jwk().expect("a key")]}).to_string();
    let router = Router::new().route("/jwks.json", get(async move || set));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}/jwks.json")
}

fn content(post: &Value) -> i64 {
    let content = post["content"].as_str().expect("a text");
    content.parse().expect("a number")
}

/// The value of a metric.
fn sample(metrics: &str, name: &str) -> u64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Many write and many more read; a read begun after a write was acknowledged sees it, and reads
/// are shared.
async fn nothing_is_stale(database: Database, processes: usize) {
    let board = Board::start(database, processes).await;
    let writing = join_all((0..WRITERS).map(|me| board.writer(me)));
    let reading = join_all((0..READERS).map(|me| board.reader(me)));
    tokio::join!(writing, reading);
    let mut said = format!("{processes} processes, {:?} reads", board.reads);
    for read in ["post", "list"] {
        let (requests, runs) = board.cost(read).await;
        said = format!("{said}; {requests} of a {read} by {runs} of the database");
        assert!(runs < requests, "{said}: nothing is shared");
    }
    say(&said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_an_acknowledged_write_sees_it_on_sqlite() {
    nothing_is_stale(Database::sqlite(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_an_acknowledged_write_sees_it_on_mysql() {
    if let Some(database) = Database::mysql().await {
        nothing_is_stale(database, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_that_another_process_acknowledged_sees_it_on_mysql() {
    if let Some(database) = Database::mysql().await {
        nothing_is_stale(database, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_that_another_process_acknowledged_sees_it_on_mariadb() {
    if let Some(database) = Database::mariadb().await {
        nothing_is_stale(database, 2).await;
    }
}
