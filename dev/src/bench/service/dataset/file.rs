//! The board in a SQLite file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{Connection as _, SqliteConnection};

use super::super::content::{self, Post};
use super::{Dataset, ensure_consistent, totals};
use crate::progress::Step;

const FILE: &str = "board.db";
/// How often it is told how far the loading is.
const PACE: Duration = Duration::from_secs(2);

/// The URL of the board in a folder.
pub(super) fn url(data: &Path) -> String {
    format!("sqlite://{}", data.join(FILE).display())
}

/// Makes the board in a new folder.
pub(super) async fn make(dataset: Dataset<'_>, data: &Path) -> Result<()> {
    std::fs::create_dir(data)?;
    let why = dataset.making();
    let fill = async |step| fill(dataset, &url(data), step).await;
    dataset.progress.step("board", &why, fill).await
}

async fn fill(dataset: Dataset<'_>, url: &str, step: Step) -> Result<()> {
    dataset.migrate(url, &[]).await?;
    let mut connection = SqliteConnection::connect(url).await?;
    // What a crash would lose is made again from the start.
    let relaxed = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF";
    sqlx::raw_sql(relaxed).execute(&mut connection).await?;
    load(dataset, &mut connection, &step).await?;
    step.say("counting");
    for statement in totals(dataset.board, "/") {
        sqlx::raw_sql(&statement).execute(&mut connection).await?;
    }
    // All in one file, which is copied.
    let whole = "ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(whole).execute(&mut connection).await?;
    connection.close().await?;
    step.say("letting the service check every counter");
    ensure_consistent(&dataset.migrate(url, &["--finish"]).await?)
}

/// All rows in one transaction, posts in the order of ids.
async fn load(dataset: Dataset<'_>, connection: &mut SqliteConnection, step: &Step) -> Result<()> {
    let mut transaction = connection.begin().await?;
    let categories: Vec<_> = content::categories().collect();
    for (id, name) in &categories {
        sqlx::query(
            "INSERT INTO categories (id, name, created_at) VALUES (?, ?, '2023-01-01T00:00:00')",
        )
        .bind(id)
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    }
    let board = dataset.board;
    let mut told = Instant::now();
    for place in 0..board.posts() {
        let number = board.number_at(place);
        let post = board.post(number);
        insert(&mut transaction, &post, &categories[post.category]).await?;
        for like in board.likes(number) {
            sqlx::query("INSERT INTO likes (id, post_id, user_id, created_at, verified) VALUES (?, ?, ?, ?, 1)")
                .bind(like.id)
                .bind(&post.id)
                .bind(like.user)
                .bind(time(&post))
                .execute(&mut *transaction)
                .await?;
        }
        if told.elapsed() > PACE {
            step.say(format!("{place} of {} posts loaded", board.posts()));
            told = Instant::now();
        }
    }
    Ok(transaction.commit().await?)
}

async fn insert(
    transaction: &mut SqliteConnection,
    post: &Post,
    (category_id, category): &(String, &str),
) -> Result<()> {
    let (user_id, username) = content::user(post.author);
    let (media, count) = &post.media;
    sqlx::query(
        "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
         view_count, like_count, comment_count, status, media_files, media_count, created_at, \
         updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)",
    )
    .bind(&post.id)
    .bind(i64::try_from(post.number)?)
    .bind(username)
    .bind(user_id)
    .bind(category)
    .bind(category_id)
    .bind(&post.title)
    .bind(&post.content)
    .bind(i64::try_from(post.views)?)
    .bind(i64::try_from(post.likes)?)
    .bind(i64::try_from(post.comments)?)
    .bind(post.status)
    .bind(media)
    .bind(i64::try_from(*count)?)
    .bind(time(post))
    .execute(transaction)
    .await?;
    Ok(())
}

/// As the service writes times here.
fn time(post: &Post) -> String {
    post.created_at.replacen(' ', "T", 1)
}
