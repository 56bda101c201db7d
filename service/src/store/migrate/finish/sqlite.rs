//! The same on SQLite, whose one writer may do it all in one transaction.

use super::{Finished, refuse_unmigrated};
use crate::{
    board::{CategoryName, Clock, KstTime, SystemClock, new_id},
    store::{
        migrate::{CONNECT_TIMEOUT, MigrateError, SQLITE, Say, compare, progress::watched},
        totals::{LEVEL_1, LEVEL_2, WHOLE_BOARD},
        url::DatabaseUrl,
    },
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// Makes every counter of a SQLite file exact.
pub(in crate::store) async fn finish(
    options: &SqliteConnectOptions,
    say: Say,
) -> Result<Finished, MigrateError> {
    let place = DatabaseUrl::Sqlite(Box::new(options.clone())).to_string();
    let fail = |source| MigrateError::on(&place, source);
    if !options.get_filename().exists() {
        refuse_unmigrated(compare(&SQLITE, None), &place)?;
    }
    let options = options.clone().busy_timeout(CONNECT_TIMEOUT);
    let mut connection = options.connect().await.map_err(fail)?;
    let applied = applied(&mut connection).await.map_err(fail)?;
    refuse_unmigrated(compare(&SQLITE, applied), &place)?;
    let finished = watched(say, "recounting", run(&mut connection))
        .await
        .map_err(fail)?;
    connection.close().await.map_err(fail)?;
    Ok(finished)
}

/// The latest migration applied.
async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
    let recorded: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *connection)
            .await?;
    if recorded == 0 {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE")
        .fetch_one(connection)
        .await
}

async fn run(connection: &mut SqliteConnection) -> sqlx::Result<Finished> {
    let mut finished = Finished::default();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    assign_categories(&mut transaction, &mut finished).await?;
    finished.repaired = repair_counters(&mut transaction).await?;
    finished.posts = u64::try_from(
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM posts")
            .fetch_one(&mut *transaction)
            .await?,
    )
    .unwrap_or(0);
    finished.totals = repair_totals(&mut transaction).await?;
    sqlx::query(
        "UPDATE post_numbers SET last = MAX(last, (SELECT COALESCE(MAX(No), 0) FROM posts)) \
         WHERE id = 1",
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(finished)
}

async fn assign_categories(
    connection: &mut SqliteConnection,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT category FROM posts WHERE category_id IS NULL AND category <> ''",
    )
    .fetch_all(&mut *connection)
    .await?;
    for text in names {
        let Ok(name) = CategoryName::parse("category", Some(&text)) else {
            continue;
        };
        let made =
            sqlx::query("INSERT OR IGNORE INTO categories (id, name, created_at) VALUES (?, ?, ?)")
                .bind(new_id())
                .bind(name.as_str())
                .bind(KstTime::at(SystemClock.now()).to_string())
                .execute(&mut *connection)
                .await?;
        finished.categories += made.rows_affected();
        let assigned = sqlx::query(
            "UPDATE posts SET category_id = (SELECT id FROM categories WHERE name = ?) \
             WHERE category_id IS NULL AND category = ?",
        )
        .bind(name.as_str())
        .bind(&text)
        .execute(&mut *connection)
        .await?;
        finished.categorized += assigned.rows_affected();
    }
    Ok(())
}

/// How many posts' counters were not right.
async fn repair_counters(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let repaired = sqlx::query(
        "UPDATE posts SET like_count = counted.likes, media_count = counted.media, \
         view_count = COALESCE(view_count, 0), comment_count = COALESCE(comment_count, 0) \
         FROM (SELECT p.id, \
             (SELECT COUNT(*) FROM likes l WHERE l.post_id = p.id) AS likes, \
             CASE WHEN json_valid(p.media_files) AND json_type(p.media_files) = 'array' \
                 THEN json_array_length(p.media_files) ELSE 0 END AS media FROM posts p) counted \
         WHERE counted.id = posts.id AND (posts.like_count IS NOT counted.likes \
             OR posts.media_count IS NOT counted.media \
             OR posts.view_count IS NULL OR posts.comment_count IS NULL)",
    )
    .execute(connection)
    .await?;
    Ok(repaired.rows_affected())
}

/// How many counter rows were not right.
async fn repair_totals(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let mut repaired = 0;
    for (level, span) in [(0, i64::MAX), (1, LEVEL_1), (2, LEVEL_2)] {
        repaired += sqlx::query(
            "INSERT INTO post_totals (scope, level, bucket, visible) \
             SELECT scope, ?1, bucket, SUM(visible) FROM ( \
                 SELECT ?3 AS scope, No / ?2 AS bucket, 1 AS visible \
                     FROM posts WHERE status = 'visible' \
                 UNION ALL SELECT category_id, No / ?2, 1 FROM posts \
                     WHERE status = 'visible' AND category_id IS NOT NULL \
                 UNION ALL SELECT scope, bucket, 0 FROM post_totals WHERE level = ?1) \
             WHERE TRUE GROUP BY scope, bucket \
             ON CONFLICT DO UPDATE SET visible = excluded.visible \
             WHERE visible IS NOT excluded.visible",
        )
        .bind(level)
        .bind(span)
        .bind(WHOLE_BOARD)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    }
    Ok(repaired)
}
