//! Writing the index of titles.
//!
//! Rows are locked in the order of grams by whoever adds a title; whoever takes one out may all the
//! same meet others, and one of them is then repeated.

use super::postings;
use crate::{board::PostId, store::totals::LEVEL_2};
use sqlx::MySqlConnection;

/// Places of a title that are looked at, beyond what this service writes: no recursion may go deeper
/// by default.
macro_rules! farthest_place {
    () => {
        "998"
    };
}
pub(in crate::store) use farthest_place;

/// Selects the grams of titles, their buckets and postings; conditions on the posts `p` follow. The
/// argument is the last place in a title that is looked at.
macro_rules! select_grams {
    ($last_place:expr) => {
        concat!(
            "WITH RECURSIVE places (place) AS \
             (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place < ",
            $last_place,
            ") SELECT CRC32(WEIGHT_STRING(SUBSTRING(p.title, place + 1, 2))) AS gram, \
             CAST(p.No DIV 1024 AS SIGNED) AS bucket, \
             UNHEX(LPAD(HEX((p.No MOD 1024) * 256 + place MOD 256), 6, '0')) AS posting \
             FROM posts p JOIN places ON place < CHAR_LENGTH(p.title) - 1 "
        )
    };
}
pub(in crate::store) use select_grams;

/// The grams of a post's title as it is, to be [taken out](remove) when it has been changed.
pub(in crate::store::mysql) async fn grams_of(
    transaction: &mut MySqlConnection,
    id: &PostId,
) -> Result<Vec<u32>, sqlx::Error> {
    sqlx::query_scalar(concat!(
        "SELECT DISTINCT CAST(gram AS UNSIGNED) AS gram FROM (",
        select_grams!(farthest_place!()),
        "WHERE p.id = ?) grams ORDER BY gram"
    ))
    .bind(id.as_str())
    .fetch_all(transaction)
    .await
    .map(|grams: Vec<u64>| {
        grams
            .into_iter()
            .filter_map(|gram| gram.try_into().ok())
            .collect()
    })
}

/// Adds a post's title as it is now.
pub(in crate::store::mysql) async fn add(
    transaction: &mut MySqlConnection,
    id: &PostId,
    title: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(concat!(
        "INSERT INTO title_grams (gram, bucket, postings) ",
        select_grams!("?"),
        "WHERE p.id = ? ORDER BY gram, place ",
        "ON DUPLICATE KEY UPDATE postings = CONCAT(title_grams.postings, VALUES(postings))"
    ))
    .bind(i64::try_from(title.chars().count()).unwrap_or(i64::MAX))
    .bind(id.as_str())
    .execute(transaction)
    .await
    .map(drop)
}

/// Takes a post of this number out of these grams.
///
/// Its row must have been written by then: `migrate --finish`, which locks the titles that it adds,
/// has either been waited for or reads what was written.
pub(in crate::store::mysql) async fn remove(
    transaction: &mut MySqlConnection,
    number: i64,
    grams: &[u32],
) -> Result<(), sqlx::Error> {
    let bucket = number.div_euclid(LEVEL_2);
    let gone = u32::try_from(number.rem_euclid(LEVEL_2)).unwrap_or_default();
    for gram in grams {
        let postings: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT postings FROM title_grams WHERE gram = ? AND bucket = ? FOR UPDATE",
        )
        .bind(gram)
        .bind(bucket)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(postings) = postings else { continue };
        sqlx::query("UPDATE title_grams SET postings = ? WHERE gram = ? AND bucket = ?")
            .bind(postings::without(&postings, gone))
            .bind(gram)
            .bind(bucket)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}
