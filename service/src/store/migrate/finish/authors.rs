//! The counter rows of authors (`author_totals`).

use super::{Finished, patiently};
use crate::store::migrate::progress::{Say, Walk};
use sqlx::{Connection, MySqlConnection, QueryBuilder};

/// Authors read, and counted, at once.
const BATCH: usize = 200;

/// Makes every author's row right, and says so.
pub(super) async fn repair(
    connection: &mut MySqlConnection,
    say: Say,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    make_rows(connection).await?;
    let mut walk = Walk::new(say, "posts of authors");
    let mut after = None;
    loop {
        let authors = rows_after(connection, after.as_deref()).await?;
        let Some(last) = authors.last() else {
            break;
        };
        for (author, by) in patiently!(drifts(connection, &authors))? {
            patiently!(shift(connection, &author, by))?;
            finished.totals += 1;
        }
        walk.advance(authors.len(), None);
        after = Some(last.clone());
    }
    patiently!(
        sqlx::query(
            "UPDATE adoption SET authors_counted_at = UTC_TIMESTAMP() \
             WHERE id = 1 AND authors_counted_at IS NULL"
        )
        .execute(&mut *connection)
    )
    .map(drop)
}

/// Whether every author's row is right.
pub(super) async fn are_counted(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let counted: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM adoption WHERE authors_counted_at IS NOT NULL")
            .fetch_one(connection)
            .await?;
    Ok(counted > 0)
}

/// Gives a row to every author of a post. Those of later posts get theirs from services.
async fn make_rows(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let mut after = None;
    loop {
        let authors = authors_after(connection, after.as_deref()).await?;
        let Some(last) = authors.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        let mut insert = QueryBuilder::new("INSERT IGNORE INTO author_totals (user_id, visible) ");
        insert.push_values(&authors, |mut row, author| {
            row.push_bind(author).push("0");
        });
        patiently!(insert.build().persistent(false).execute(&mut *connection))?;
    }
}

/// The next authors of posts, in the order of their index.
async fn authors_after(
    connection: &mut MySqlConnection,
    after: Option<&str>,
) -> sqlx::Result<Vec<String>> {
    let mut select = QueryBuilder::new(
        "SELECT CAST(user_id AS CHAR) FROM (SELECT DISTINCT user_id FROM posts WHERE user_id IS NOT NULL",
    );
    if let Some(after) = after {
        select.push(" AND user_id > ").push_bind(after);
    }
    select
        .push(" ORDER BY user_id LIMIT ")
        .push_bind(BATCH as u64);
    select.push(") authors ORDER BY user_id");
    select.build_query_scalar().fetch_all(connection).await
}

/// The next authors who have a row.
async fn rows_after(
    connection: &mut MySqlConnection,
    after: Option<&str>,
) -> sqlx::Result<Vec<String>> {
    let mut select = QueryBuilder::new("SELECT user_id FROM author_totals");
    if let Some(after) = after {
        select.push(" WHERE user_id > ").push_bind(after);
    }
    select
        .push(" ORDER BY user_id LIMIT ")
        .push_bind(BATCH as u64);
    select.build_query_scalar().fetch_all(connection).await
}

/// What has to be added to the rows of these authors, in one snapshot. Each is counted by itself, as a
/// list of theirs would be: the two tables may compare texts in different ways.
async fn drifts(
    connection: &mut MySqlConnection,
    authors: &[String],
) -> sqlx::Result<Vec<(String, i64)>> {
    let mut snapshot = connection.begin().await?;
    let mut select = QueryBuilder::new("");
    for (place, author) in authors.iter().enumerate() {
        if place > 0 {
            select.push(" UNION ALL ");
        }
        select
            .push("SELECT ")
            .push(place)
            .push(", (SELECT COUNT(*) FROM posts WHERE status = 'visible' AND user_id = ")
            .push_bind(author)
            .push(") - (SELECT visible FROM author_totals WHERE user_id = ")
            .push_bind(author)
            .push(")");
    }
    let drifts: Vec<(i64, i64)> = select
        .build_query_as()
        .persistent(false)
        .fetch_all(&mut *snapshot)
        .await?;
    snapshot.rollback().await?;
    let wrong = drifts.into_iter().filter(|(_, by)| *by != 0);
    let named = wrong.filter_map(|(place, by)| {
        let author = authors.get(usize::try_from(place).ok()?)?;
        Some((author.clone(), by))
    });
    Ok(named.collect())
}

async fn shift(connection: &mut MySqlConnection, author: &str, by: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE author_totals SET visible = visible + ? WHERE user_id = ?")
        .bind(by)
        .bind(author)
        .execute(connection)
        .await
        .map(drop)
}
