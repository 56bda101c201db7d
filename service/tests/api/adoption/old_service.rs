//! Clients of the Flask service, by the statements that it sends.

use super::board::{post_id, user_id};
use super::flask;
use sqlx::{Connection, Executor, MySqlConnection, Row};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

/// What a client did.
#[derive(Debug, Default)]
pub struct Deeds {
    pub statements: usize,
    pub longest: Duration,
    pub longest_statement: String,
    pub inserted: usize,
    pub failures: Vec<String>,
}

/// Clients of the old service, until they are told to stop.
pub struct OldService {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Deeds>,
}

impl OldService {
    /// So many connections. Each works on posts of its own and only one inserts at a time: the old
    /// service fails by itself where two meet.
    pub fn start(url: &str, connections: usize, posts: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let inserting = Arc::new(Mutex::new(()));
        let mut clients = JoinSet::new();
        for client in 0..connections {
            let (url, stop, inserting) = (url.to_owned(), stop.clone(), inserting.clone());
            clients.spawn(async move {
                let connection = MySqlConnection::connect(&url).await.expect("a connection");
                let mut client = Client {
                    connection,
                    deeds: Deeds::default(),
                    name: client,
                };
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let post = post_id((round * connections + client.name) % posts);
                    if let Err(error) = client.round(round, &post, &inserting).await {
                        client.deeds.failures.push(error.to_string());
                        let _ = client.connection.execute("ROLLBACK").await;
                    }
                    round += 1;
                }
                client.deeds
            });
        }
        Self { stop, clients }
    }

    /// Stops them and adds their deeds up.
    pub async fn stop(self) -> Deeds {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Deeds::default();
        for deeds in self.clients.join_all().await {
            all.statements += deeds.statements;
            all.inserted += deeds.inserted;
            all.failures.extend(deeds.failures);
            if deeds.longest > all.longest {
                all.longest = deeds.longest;
                all.longest_statement = deeds.longest_statement;
            }
        }
        all
    }
}

struct Client {
    connection: MySqlConnection,
    deeds: Deeds,
    name: usize,
}

impl Client {
    async fn round(&mut self, round: usize, post: &str, inserting: &Mutex<()>) -> sqlx::Result<()> {
        match round % 5 {
            0 => self.list().await,
            1 => self.view(post).await,
            2 => {
                let _one_at_a_time = inserting.lock().await;
                self.create(round).await
            }
            3 => self.toggle_like(post).await,
            _ => self.rename(post, round).await,
        }
    }

    async fn list(&mut self) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        self.run(flask::COUNT).await?;
        self.run(&flask::latest()).await?;
        self.run("COMMIT").await
    }

    async fn view(&mut self, post: &str) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        self.run(&flask::one(post)).await?;
        self.run(&format!(
            "UPDATE posts SET view_count=IFNULL(view_count, 0) + 1 WHERE posts.id = '{post}'"
        ))
        .await?;
        self.run("COMMIT").await
    }

    async fn create(&mut self, round: usize) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        let rows = self.fetch(flask::HIGHEST).await?;
        let highest: i32 = rows[0].get(0);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (user, title) = (user_id(self.name), format!("옛 글 {round}"));
        self.run(&flask::insert(&id, highest + 1, &user, &title))
            .await?;
        self.run("COMMIT").await?;
        self.deeds.inserted += 1;
        Ok(())
    }

    async fn toggle_like(&mut self, post: &str) -> sqlx::Result<()> {
        let user = user_id(1_000 + self.name);
        self.run("BEGIN").await?;
        self.run(&flask::one(post)).await?;
        let likes = self.fetch(&flask::find_like(post, &user)).await?;
        let change = if let Some(like) = likes.first() {
            let id: String = like.get(0);
            self.run(&flask::delete_like(&id)).await?;
            "- 1"
        } else {
            let id = uuid::Uuid::new_v4().simple().to_string();
            self.run(&flask::insert_like(&id, post, &user)).await?;
            "+ 1"
        };
        self.run(&flask::count_like(post, change)).await?;
        self.run("COMMIT").await
    }

    async fn rename(&mut self, post: &str, round: usize) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        self.run(&format!(
            "UPDATE posts SET title='고친 제목 {round}', updated_at='2025-06-02 10:00:00' \
             WHERE posts.id = '{post}'"
        ))
        .await?;
        self.run("COMMIT").await
    }

    async fn run(&mut self, sql: &str) -> sqlx::Result<()> {
        self.fetch(sql).await.map(|_| ())
    }

    async fn fetch(&mut self, sql: &str) -> sqlx::Result<Vec<sqlx::mysql::MySqlRow>> {
        let started = Instant::now();
        let rows = self.connection.fetch_all(sql).await;
        let took = started.elapsed();
        self.deeds.statements += 1;
        if took > self.deeds.longest {
            self.deeds.longest = took;
            self.deeds.longest_statement = sql.chars().take(60).collect();
        }
        rows
    }
}
