//! Writing the index of titles. Rows are locked in the order of grams, so that writers wait for each
//! other instead of standing in each other's way.

use super::postings;
use crate::{board::PostId, store::totals::LEVEL_2};
use sqlx::{MySql, MySqlConnection, QueryBuilder};
use std::collections::{BTreeMap, BTreeSet};

/// Places of a title that are looked at, beyond what this service writes: no recursion may go deeper
/// by default.
pub(in crate::store) const FARTHEST_PLACE: i64 = 998;

/// Selects the grams of titles, their buckets and postings; conditions on the posts `p` follow. The
/// first placeholder is for the last place in a title that is looked at.
macro_rules! select_grams {
    () => {
        concat!(
            "WITH RECURSIVE places (place) AS \
             (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place < ?\
             ) SELECT CRC32(WEIGHT_STRING(SUBSTRING(p.title, place + 1, 2))) AS gram, \
             CAST(p.No DIV 1024 AS SIGNED) AS bucket, \
             UNHEX(LPAD(HEX((p.No MOD 1024) * 256 + place MOD 256), 6, '0')) AS posting \
             FROM posts p JOIN places ON place < CHAR_LENGTH(p.title) - 1 "
        )
    };
}
pub(in crate::store) use select_grams;

/// The grams of a title, each with its postings.
pub(in crate::store::mysql) type Grams = BTreeMap<u32, Vec<u8>>;

/// The grams of a post's title as it is in this transaction.
pub(in crate::store::mysql) async fn grams_of(
    transaction: &mut MySqlConnection,
    id: &PostId,
) -> Result<Grams, sqlx::Error> {
    let found: Vec<(u32, Vec<u8>)> = sqlx::query_as(concat!(
        "SELECT CAST(gram AS UNSIGNED), posting FROM (",
        select_grams!(),
        "WHERE p.id = ?) grams"
    ))
    .bind(FARTHEST_PLACE)
    .bind(id.as_str())
    .fetch_all(transaction)
    .await?;
    let mut grams = Grams::new();
    for (gram, posting) in found {
        grams.entry(gram).or_default().extend(posting);
    }
    Ok(grams)
}

/// Adds a post's title as it is now.
pub(in crate::store::mysql) async fn add(
    transaction: &mut MySqlConnection,
    id: &PostId,
    title: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(concat!(
        "INSERT INTO title_grams (gram, bucket, postings) ",
        select_grams!(),
        "WHERE p.id = ? ORDER BY gram, place ",
        "ON DUPLICATE KEY UPDATE postings = CONCAT(title_grams.postings, VALUES(postings))"
    ))
    .bind(i64::try_from(title.chars().count()).unwrap_or(i64::MAX))
    .bind(id.as_str())
    .execute(transaction)
    .await
    .map(drop)
}

/// Puts a post of this number under the grams of its new title (none: it is gone) instead of those of
/// its old one.
///
/// Its row must have been written by then: `migrate --finish`, which locks the titles that it adds,
/// has either been waited for or reads what was written.
pub(in crate::store::mysql) async fn replace(
    transaction: &mut MySqlConnection,
    number: i64,
    old: &Grams,
    new: &Grams,
) -> Result<(), sqlx::Error> {
    if old == new {
        return Ok(());
    }
    let bucket = number.div_euclid(LEVEL_2);
    let within = u32::try_from(number.rem_euclid(LEVEL_2)).unwrap_or_default();
    let grams: BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
    let mut rows = locked(transaction, bucket, &grams).await?;
    for (gram, postings) in &mut rows {
        *postings = postings::without(postings, within);
        postings.extend(new.get(gram).into_iter().flatten());
    }
    let written = "postings = VALUES(postings)";
    write(transaction, bucket, rows, written).await
}

/// These grams' rows of a bucket, locked in order; they are made if there are none.
async fn locked(
    transaction: &mut MySqlConnection,
    bucket: i64,
    grams: &BTreeSet<u32>,
) -> Result<Vec<(u32, Vec<u8>)>, sqlx::Error> {
    let empty = grams.iter().map(|gram| (*gram, vec![]));
    let kept = "postings = title_grams.postings";
    write(transaction, bucket, empty, kept).await?;
    let mut query = QueryBuilder::<MySql>::new(
        "SELECT gram, postings FROM title_grams FORCE INDEX (PRIMARY) WHERE bucket = ",
    );
    query.push_bind(bucket).push(" AND gram IN (");
    let mut list = query.separated(", ");
    for gram in grams {
        list.push_bind(*gram);
    }
    query.push(") ORDER BY gram FOR UPDATE");
    let query = query.build_query_as().persistent(false);
    query.fetch_all(transaction).await
}

/// Writes rows of a bucket; those that are there are updated so.
async fn write(
    transaction: &mut MySqlConnection,
    bucket: i64,
    rows: impl IntoIterator<Item = (u32, Vec<u8>)>,
    update: &str,
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<MySql>::new("INSERT INTO title_grams (gram, bucket, postings) ");
    query.push_values(rows, |mut row, (gram, postings)| {
        row.push_bind(gram).push_bind(bucket).push_bind(postings);
    });
    query.push(" ON DUPLICATE KEY UPDATE ").push(update);
    let query = query.build().persistent(false);
    query.execute(transaction).await.map(drop)
}
