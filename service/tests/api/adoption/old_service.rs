//! The Flask service's own statements, as SQLAlchemy sends them: text, each request in a
//! transaction.

use super::board::{post_id, user_id};
use sqlx::{Connection, Executor, MySqlConnection, Row};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

const COLUMNS: &str = "posts.id AS posts_id, posts.`No` AS `posts_No`, posts.username AS \
    posts_username, posts.user_id AS posts_user_id, posts.category AS posts_category, \
    posts.category_id AS posts_category_id, posts.title AS posts_title, posts.content AS \
    posts_content, posts.view_count AS posts_view_count, posts.like_count AS posts_like_count, \
    posts.comment_count AS posts_comment_count, posts.status AS posts_status, posts.media_files AS \
    posts_media_files, posts.media_count AS posts_media_count, posts.created_at AS \
    posts_created_at, posts.updated_at AS posts_updated_at";

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
        self.run(
            "SELECT count(*) AS count_1 FROM (SELECT posts.id AS posts_id FROM posts \
             WHERE posts.status = 'visible') AS anon_1",
        )
        .await?;
        self.run(&format!(
            "SELECT {COLUMNS} FROM posts WHERE posts.status = 'visible' \
             ORDER BY posts.created_at DESC LIMIT 0, 10"
        ))
        .await?;
        self.run("COMMIT").await
    }

    async fn view(&mut self, post: &str) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        self.run(&format!(
            "SELECT {COLUMNS} FROM posts WHERE posts.id = '{post}' LIMIT 1"
        ))
        .await?;
        self.run(&format!(
            "UPDATE posts SET view_count=IFNULL(view_count, 0) + 1 WHERE posts.id = '{post}'"
        ))
        .await?;
        self.run("COMMIT").await
    }

    async fn create(&mut self, round: usize) -> sqlx::Result<()> {
        self.run("BEGIN").await?;
        let rows = self
            .fetch("SELECT max(posts.`No`) AS max_1 FROM posts")
            .await?;
        let highest: i32 = rows[0].get(0);
        let (id, number) = (uuid::Uuid::new_v4().simple(), highest + 1);
        self.run(&format!(
            "INSERT INTO posts (id, `No`, username, user_id, category, category_id, title, content, \
             view_count, like_count, comment_count, status, media_files, media_count, created_at, \
             updated_at) VALUES ('{id}', {number}, '옛 사용자', '{}', '자유', NULL, '옛 글 {round}', \
             '내용', 0, 0, 0, 'visible', 'null', 0, '2025-06-01 10:00:00', '2025-06-01 10:00:00')",
            user_id(self.name)
        ))
        .await?;
        self.run("COMMIT").await?;
        self.deeds.inserted += 1;
        Ok(())
    }

    async fn toggle_like(&mut self, post: &str) -> sqlx::Result<()> {
        let user = user_id(1_000 + self.name);
        self.run("BEGIN").await?;
        self.run(&format!(
            "SELECT {COLUMNS} FROM posts WHERE posts.id = '{post}' LIMIT 1"
        ))
        .await?;
        let likes = self
            .fetch(&format!(
                "SELECT likes.id AS likes_id FROM likes WHERE likes.post_id = '{post}' \
                 AND likes.user_id = '{user}' LIMIT 1"
            ))
            .await?;
        let by = if let Some(like) = likes.first() {
            let id: String = like.get(0);
            self.run(&format!("DELETE FROM likes WHERE likes.id = '{id}'"))
                .await?;
            "- 1"
        } else {
            self.run(&format!(
                "INSERT INTO likes (id, post_id, user_id, created_at) \
                 VALUES ('{}', '{post}', '{user}', '2025-06-01 10:00:00')",
                uuid::Uuid::new_v4().simple()
            ))
            .await?;
            "+ 1"
        };
        self.run(&format!(
            "UPDATE posts SET like_count=IFNULL(like_count, 0) {by} WHERE posts.id = '{post}'"
        ))
        .await?;
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
