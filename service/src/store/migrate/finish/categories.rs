//! Posts that name a category without referring to one.

use super::{Finished, patiently};
use crate::{
    board::{CategoryName, Clock, KstTime, SystemClock, new_id},
    store::migrate::progress::{Say, Walk},
};
use sqlx::{MySqlConnection, QueryBuilder};
use std::collections::BTreeMap;

/// Posts read, and written, at once.
const BATCH: u32 = 500;

/// Gives every post that names a category the category's id; made where there is none of the name.
pub(super) async fn assign(
    connection: &mut MySqlConnection,
    say: Say,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    let mut walk = Walk::new(say, "posts without a category");
    let mut after = i64::MIN;
    loop {
        let posts = next_batch(connection, after).await?;
        let Some((last, _)) = posts.last() else {
            return Ok(());
        };
        after = *last;
        let read = posts.len();
        for (name, numbers) in by_name(posts) {
            let (id, is_new) = category_id(connection, &name).await?;
            finished.categories += u64::from(is_new);
            finished.categorized += patiently!(set(connection, &id, &numbers))?;
        }
        walk.advance(read, Some(after));
    }
}

async fn next_batch(
    connection: &mut MySqlConnection,
    after: i64,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT CAST(No AS SIGNED), CAST(category AS CHAR) FROM posts \
         WHERE category_id IS NULL AND category <> '' AND No > ? ORDER BY No LIMIT ?",
    )
    .bind(after)
    .bind(BATCH)
    .fetch_all(connection)
    .await
}

/// The posts' numbers by the category's name as this service writes it. Names that it would not
/// accept (nothing but white space) are no category.
fn by_name(posts: Vec<(i64, String)>) -> BTreeMap<String, Vec<i64>> {
    let mut by_name: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (number, text) in posts {
        if let Ok(name) = CategoryName::parse("category", Some(&text)) {
            by_name
                .entry(name.as_str().to_owned())
                .or_default()
                .push(number);
        }
    }
    by_name
}

/// The id of the category of this name, and whether it was made now.
async fn category_id(connection: &mut MySqlConnection, name: &str) -> sqlx::Result<(String, bool)> {
    if let Some(id) = find(connection, name).await? {
        return Ok((id, false));
    }
    let now = KstTime::at(SystemClock.now()).to_string();
    let made = patiently!(
        sqlx::query("INSERT IGNORE INTO categories (id, name, created_at) VALUES (?, ?, ?)")
            .bind(new_id())
            .bind(name)
            .bind(&now)
            .execute(&mut *connection)
    )?;
    // Ours, or that of a service that was faster.
    let id = find(connection, name).await?;
    let id = id.ok_or(sqlx::Error::RowNotFound)?;
    Ok((id, made.rows_affected() > 0))
}

async fn find(connection: &mut MySqlConnection, name: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT CAST(id AS CHAR) FROM categories WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// How many of these posts got this category. Times stay, even if the column would follow updates.
async fn set(connection: &mut MySqlConnection, id: &str, numbers: &[i64]) -> sqlx::Result<u64> {
    let mut update = QueryBuilder::new("UPDATE posts SET category_id = ");
    update.push_bind(id);
    update.push(", updated_at = updated_at WHERE category_id IS NULL AND No IN (");
    let mut list = update.separated(", ");
    for number in numbers {
        list.push_bind(*number);
    }
    update.push(")");
    let result = update.build().persistent(false).execute(connection).await?;
    Ok(result.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_composed_and_blank_ones_are_none() {
        let posts = [
            (1, " 자유 "),
            (2, "자유"),
            (3, "\u{1112}\u{1161}\u{11ab}글"),
            (4, " \u{3000}"),
        ];
        let posts = posts.map(|(number, name)| (number, name.to_owned()));
        let by_name = by_name(posts.into());
        let expected = [("자유", vec![1, 2]), ("한글", vec![3])];
        assert_eq!(
            by_name,
            expected
                .map(|(name, posts)| (name.to_owned(), posts))
                .into()
        );
    }
}
