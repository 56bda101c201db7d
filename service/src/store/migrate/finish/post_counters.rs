//! `like_count` and `media_count` of posts, and NULL where there should be a number.

use super::{Finished, patiently};
use crate::store::migrate::progress::{Say, Walk};
use sqlx::{Connection, FromRow, MySqlConnection, QueryBuilder};

/// Posts read at once, without locks.
const BATCH: usize = 1_000;
/// Posts locked, counted again and written at once: requests for them wait so long.
const LOCKED: usize = 100;

/// A post's counters and what they should be. The list of media may be anything that JSON can say.
const COUNTED: &str = "SELECT CAST(p.No AS SIGNED) AS number, \
    CAST(p.like_count AS SIGNED) AS like_count, CAST(p.media_count AS SIGNED) AS media_count, \
    p.view_count IS NULL OR p.comment_count IS NULL AS has_nulls, \
    (SELECT COUNT(*) FROM likes l WHERE l.post_id = p.id) AS likes, \
    CAST(CASE WHEN JSON_VALID(p.media_files) AND JSON_TYPE(p.media_files) = 'ARRAY' \
        THEN JSON_LENGTH(p.media_files) ELSE 0 END AS SIGNED) AS media \
    FROM posts p WHERE p.No ";

#[derive(Debug, Clone, FromRow)]
struct Counted {
    number: i64,
    like_count: Option<i64>,
    media_count: Option<i64>,
    has_nulls: bool,
    likes: i64,
    media: i64,
}

impl Counted {
    fn is_right(&self) -> bool {
        self.like_count == Some(self.likes)
            && self.media_count == Some(self.media)
            && !self.has_nulls
    }
}

/// Makes every post's counters right.
pub(super) async fn repair(
    connection: &mut MySqlConnection,
    say: Say,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    let mut walk = Walk::new(say, "likes and media of posts");
    let mut after = i64::MIN;
    loop {
        let posts = next_batch(connection, after).await?;
        let Some(last) = posts.last() else {
            return Ok(());
        };
        after = last.number;
        finished.posts += posts.len() as u64;
        // What is right in this snapshot stays right: services count what they change.
        let wrong: Vec<i64> = posts
            .iter()
            .filter(|post| !post.is_right())
            .map(|post| post.number)
            .collect();
        for numbers in wrong.chunks(LOCKED) {
            finished.repaired += patiently!(repair_locked(connection, numbers))?;
        }
        walk.advance(posts.len(), Some(after));
    }
}

async fn next_batch(connection: &mut MySqlConnection, after: i64) -> sqlx::Result<Vec<Counted>> {
    QueryBuilder::new(COUNTED)
        .push("> ")
        .push_bind(after)
        .push(" ORDER BY p.No LIMIT ")
        .push_bind(BATCH as u64)
        .build_query_as()
        .fetch_all(connection)
        .await
}

/// Locks these posts, counts again and writes what differs; tells how many did.
async fn repair_locked(connection: &mut MySqlConnection, numbers: &[i64]) -> sqlx::Result<u64> {
    let mut transaction = connection.begin().await?;
    let mut lock = QueryBuilder::new("SELECT CAST(No AS SIGNED) FROM posts WHERE No ");
    push_among(&mut lock, numbers);
    lock.push(" ORDER BY No FOR UPDATE");
    lock.build()
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    // The transaction's snapshot is taken here, after the locks.
    let mut count = QueryBuilder::new(COUNTED);
    push_among(&mut count, numbers);
    let counted: Vec<Counted> = count
        .build_query_as()
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    let wrong: Vec<Counted> = counted
        .into_iter()
        .filter(|post| !post.is_right())
        .collect();
    if !wrong.is_empty() {
        write(&mut transaction, &wrong).await?;
    }
    transaction.commit().await?;
    Ok(wrong.len() as u64)
}

fn push_among(query: &mut QueryBuilder<'_, sqlx::MySql>, numbers: &[i64]) {
    query.push("IN (");
    let mut list = query.separated(", ");
    for number in numbers {
        list.push_bind(*number);
    }
    query.push(")");
}

/// All in one statement, found by number: ids have a collation, numbers have none.
async fn write(connection: &mut MySqlConnection, posts: &[Counted]) -> sqlx::Result<()> {
    let mut update = QueryBuilder::new("UPDATE (");
    let mut rows = update.separated(" UNION ALL ");
    for post in posts {
        rows.push("SELECT CAST(")
            .push_bind_unseparated(post.number)
            .push_unseparated(" AS SIGNED) AS number, CAST(")
            .push_bind_unseparated(post.likes)
            .push_unseparated(" AS SIGNED) AS likes, CAST(")
            .push_bind_unseparated(post.media)
            .push_unseparated(" AS SIGNED) AS media");
    }
    // Times stay, even if the column would follow updates.
    update.push(
        ") counted STRAIGHT_JOIN posts p ON p.No = counted.number \
         SET p.like_count = counted.likes, p.media_count = counted.media, \
         p.view_count = COALESCE(p.view_count, 0), p.comment_count = COALESCE(p.comment_count, 0), \
         p.updated_at = p.updated_at",
    );
    update.build().persistent(false).execute(connection).await?;
    Ok(())
}
