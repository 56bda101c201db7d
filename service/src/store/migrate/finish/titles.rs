//! The index of titles (`title_grams`).

use super::{Finished, patiently};
use crate::store::{
    migrate::progress::{Say, Walk},
    mysql::index::{FARTHEST_PLACE, select_grams},
    totals::LEVEL_2,
};
use sqlx::{Connection, MySqlConnection};
use std::time::Duration;

/// Rows deleted at once.
const BATCH: u64 = 10_000;
/// After that no search reads an index that is not complete: it asks each second, and takes two turns at
/// waiting for a connection and at reading, three seconds each.
const UNNOTICED: Duration = Duration::from_secs(15);

/// Whether the index holds every title.
pub(super) async fn is_complete(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    Ok(next_bucket(connection).await?.is_none())
}

/// Says that the index is incomplete, if it is not said yet, and waits until every search knows.
pub(super) async fn forget(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let forgotten = patiently!(
        sqlx::query(
            "UPDATE title_index SET next_bucket = NULL, completed_at = NULL \
             WHERE completed_at IS NOT NULL"
        )
        .execute(&mut *connection)
    )?;
    if forgotten.rows_affected() > 0 {
        tokio::time::sleep(UNNOTICED).await;
    }
    Ok(())
}

/// Fills the index if it does not hold every title yet.
///
/// Each bucket's titles stay locked until they are in it: whoever writes one of them does so before it
/// is read, or writes into the index after it was filled.
pub(super) async fn index(
    connection: &mut MySqlConnection,
    say: Say,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    let Some(next) = next_bucket(connection).await? else {
        return Ok(());
    };
    let mut walk = Walk::new(say, "index of titles");
    // By default a group's text is cut off after a kilobyte.
    sqlx::query("SET SESSION group_concat_max_len = 16777216")
        .execute(&mut *connection)
        .await?;
    let mut from = match next {
        Some(bucket) => bucket,
        None => clear(connection).await?,
    };
    while let Some(bucket) = bucket_at(connection, from).await? {
        patiently!(fill(connection, bucket))?;
        finished.indexed += 1;
        from = bucket + 1;
        let number = Some(from * LEVEL_2);
        walk.advance(usize::try_from(LEVEL_2).unwrap_or(0), number);
    }
    patiently!(
        sqlx::query("UPDATE title_index SET completed_at = UTC_TIMESTAMP() WHERE id = 1")
            .execute(&mut *connection)
    )?;
    Ok(())
}

/// The bucket to go on with, if an earlier run has begun; None if the index is complete.
async fn next_bucket(connection: &mut MySqlConnection) -> sqlx::Result<Option<Option<i64>>> {
    sqlx::query_scalar(
        "SELECT CAST(next_bucket AS SIGNED) FROM title_index WHERE completed_at IS NULL",
    )
    .fetch_optional(connection)
    .await
}

/// Forgets what was written beside an older service, which may have changed titles since; returns the
/// first bucket.
async fn clear(connection: &mut MySqlConnection) -> sqlx::Result<i64> {
    loop {
        let deleted = patiently!(
            sqlx::query("DELETE FROM title_grams LIMIT ?")
                .bind(BATCH)
                .execute(&mut *connection)
        )?;
        if deleted.rows_affected() < BATCH {
            return Ok(i64::from(i32::MIN));
        }
    }
}

/// The first bucket with posts from here on.
async fn bucket_at(connection: &mut MySqlConnection, from: i64) -> sqlx::Result<Option<i64>> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT CAST(MIN(No) AS SIGNED) FROM posts WHERE No >= ?")
            .bind(from * LEVEL_2)
            .fetch_one(connection)
            .await?;
    Ok(number.map(|number| number.div_euclid(LEVEL_2)))
}

/// Adds a bucket's titles, in place of those that were written since the index was [cleared](clear).
async fn fill(connection: &mut MySqlConnection, bucket: i64) -> sqlx::Result<()> {
    // Repeatable read, by which what was read for writing stays locked.
    let mut transaction = connection.begin().await?;
    let numbers = (bucket * LEVEL_2, (bucket + 1) * LEVEL_2);
    let last_place = last_place(&mut transaction, numbers).await?;
    sqlx::query(concat!(
        "INSERT INTO title_grams (gram, bucket, postings) \
         SELECT gram, bucket, GROUP_CONCAT(posting ORDER BY posting SEPARATOR '') FROM (",
        select_grams!(),
        "WHERE p.status = 'visible' AND p.No >= ? AND p.No < ?) grams \
         GROUP BY gram, bucket ORDER BY gram \
         ON DUPLICATE KEY UPDATE postings = VALUES(postings)",
    ))
    .bind(last_place)
    .bind(numbers.0)
    .bind(numbers.1)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE title_index SET next_bucket = ? WHERE id = 1")
        .bind(bucket + 1)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// The last place in any title of these numbers that begins a pair: every place beyond it would be
/// tried with every title. The titles stay locked.
async fn last_place(
    transaction: &mut MySqlConnection,
    (from, end): (i64, i64),
) -> sqlx::Result<i64> {
    let longest: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(MAX(CHAR_LENGTH(title)) AS SIGNED) FROM posts \
         WHERE status = 'visible' AND No >= ? AND No < ? LOCK IN SHARE MODE",
    )
    .bind(from)
    .bind(end)
    .fetch_one(transaction)
    .await?;
    Ok((longest.unwrap_or_default() - 2).clamp(0, FARTHEST_PLACE))
}
