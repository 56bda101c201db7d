//! The counter rows of lists (`post_totals`).

use super::{Finished, patiently};
use crate::store::{
    migrate::progress::{Say, Walk},
    totals::{LEVEL_1, LEVEL_2, WHOLE_BOARD},
};
use sqlx::{Connection, MySqlConnection};
use std::collections::{BTreeMap, BTreeSet};

/// Visible posts by scope and bucket of one level.
type Totals = BTreeMap<(String, i64), i64>;

/// A counter row that is not right.
#[derive(Debug, PartialEq, Eq)]
struct Drift {
    scope: String,
    bucket: i64,
    /// What has to be added to it.
    by: i64,
}

/// What has to be added to the counters to make them the truth, in the order of scopes; the whole
/// board, whose name is empty, last.
fn drifts(counters: &Totals, truth: &Totals) -> Vec<Drift> {
    let keys: BTreeSet<_> = counters.keys().chain(truth.keys()).collect();
    let mut drifts: Vec<Drift> = keys
        .into_iter()
        .map(|key| Drift {
            scope: key.0.clone(),
            bucket: key.1,
            by: truth.get(key).unwrap_or(&0) - counters.get(key).unwrap_or(&0),
        })
        .filter(|drift| drift.by != 0)
        .collect();
    drifts.sort_by_key(|drift| drift.scope == WHOLE_BOARD);
    drifts
}

/// Makes every counter row right: the finest level by counting posts, the others by adding up the
/// level below.
pub(super) async fn repair(
    connection: &mut MySqlConnection,
    say: Say,
    finished: &mut Finished,
) -> sqlx::Result<()> {
    let mut walk = Walk::new(say, "totals of lists");
    let counted = buckets_that_count(connection).await?;
    let mut next = next_span(connection, &counted, i64::MIN).await?;
    while let Some(span) = next {
        let (counters, truth) = patiently!(compare_posts(connection, span))?;
        for drift in drifts(&counters, &truth) {
            patiently!(shift_all_levels(connection, &drift))?;
            finished.totals += 1;
        }
        let posts = truth.iter().filter(|((scope, _), _)| scope == WHOLE_BOARD);
        let posts: i64 = posts.map(|(_, visible)| visible).sum();
        let number = Some(span * LEVEL_1);
        walk.advance(usize::try_from(posts).unwrap_or(0), number);
        next = next_span(connection, &counted, span + 1).await?;
    }
    for level in [1, 0] {
        let (counters, truth) = patiently!(compare_level(connection, level))?;
        for drift in drifts(&counters, &truth) {
            patiently!(shift_one_level(connection, level, &drift))?;
            finished.totals += 1;
        }
    }
    Ok(())
}

/// Buckets of the finest level that count anything, with or without posts. Rows that are made later
/// are made by services, and right.
async fn buckets_that_count(connection: &mut MySqlConnection) -> sqlx::Result<BTreeSet<i64>> {
    let buckets: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT CAST(bucket AS SIGNED) FROM post_totals WHERE level = 2 AND visible <> 0",
    )
    .fetch_all(connection)
    .await?;
    Ok(buckets.into_iter().collect())
}

/// The next span, of [`LEVEL_1`] numbers, that has posts or counts some.
async fn next_span(
    connection: &mut MySqlConnection,
    counted: &BTreeSet<i64>,
    from: i64,
) -> sqlx::Result<Option<i64>> {
    let first_number = from.saturating_mul(LEVEL_1);
    let first_bucket = from.saturating_mul(LEVEL_1 / LEVEL_2);
    let number: Option<i64> =
        sqlx::query_scalar("SELECT CAST(MIN(No) AS SIGNED) FROM posts WHERE No >= ?")
            .bind(first_number)
            .fetch_one(connection)
            .await?;
    let of_posts = number.map(|number| number.div_euclid(LEVEL_1));
    let bucket = counted.range(first_bucket..).next();
    let of_counters = bucket.map(|bucket| bucket.div_euclid(LEVEL_1 / LEVEL_2));
    Ok(of_posts.into_iter().chain(of_counters).min())
}

/// The counters of a span's buckets, and its posts counted, in one snapshot.
async fn compare_posts(
    connection: &mut MySqlConnection,
    span: i64,
) -> sqlx::Result<(Totals, Totals)> {
    let mut snapshot = connection.begin().await?;
    let counters: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT CAST(scope AS CHAR), CAST(bucket AS SIGNED), visible FROM post_totals \
         WHERE level = 2 AND bucket >= ? AND bucket < ?",
    )
    .bind(span * (LEVEL_1 / LEVEL_2))
    .bind((span + 1) * (LEVEL_1 / LEVEL_2))
    .fetch_all(&mut *snapshot)
    .await?;
    let posts: Vec<(Option<String>, i64, i64)> = sqlx::query_as(
        "SELECT CAST(category_id AS CHAR), CAST(No DIV ? AS SIGNED) AS bucket, COUNT(*) FROM posts \
         WHERE status = 'visible' AND No >= ? AND No < ? GROUP BY category_id, bucket",
    )
    .bind(LEVEL_2)
    .bind(span * LEVEL_1)
    .bind((span + 1) * LEVEL_1)
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.rollback().await?;
    let mut truth = Totals::new();
    for (category, bucket, visible) in posts {
        let scopes = [Some(WHOLE_BOARD.to_owned()), category];
        for scope in scopes.into_iter().flatten() {
            *truth.entry((scope, bucket)).or_default() += visible;
        }
    }
    Ok((by_key(counters), truth))
}

/// The counters of a level, and those of the level below added up, in one snapshot.
async fn compare_level(
    connection: &mut MySqlConnection,
    level: i64,
) -> sqlx::Result<(Totals, Totals)> {
    let mut snapshot = connection.begin().await?;
    let counters: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT CAST(scope AS CHAR), CAST(bucket AS SIGNED), visible FROM post_totals \
         WHERE level = ?",
    )
    .bind(level)
    .fetch_all(&mut *snapshot)
    .await?;
    let below: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT CAST(scope AS CHAR), CAST(bucket AS SIGNED), visible FROM post_totals \
         WHERE level = ?",
    )
    .bind(level + 1)
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.rollback().await?;
    let span = if level == 0 {
        i64::MAX
    } else {
        LEVEL_1 / LEVEL_2
    };
    let above = below
        .into_iter()
        .map(|(scope, bucket, n)| (scope, bucket / span, n));
    Ok((by_key(counters), by_key(above.collect())))
}

fn by_key(rows: Vec<(String, i64, i64)>) -> Totals {
    let mut totals = Totals::new();
    for (scope, bucket, visible) in rows {
        *totals.entry((scope, bucket)).or_default() += visible;
    }
    totals
}

/// Adds to a bucket of the finest level and to the two that contain it, which count the same posts.
async fn shift_all_levels(connection: &mut MySqlConnection, drift: &Drift) -> sqlx::Result<()> {
    let above = drift.bucket / (LEVEL_1 / LEVEL_2);
    // Before the transaction proper: inside one an insert would lock gaps that others insert into.
    for (level, bucket) in [(0, 0), (1, above), (2, drift.bucket)] {
        ensure(connection, &drift.scope, level, bucket).await?;
    }
    sqlx::query(
        "UPDATE post_totals SET visible = visible + ? WHERE scope = ? \
         AND ((level = 0 AND bucket = 0) OR (level = 1 AND bucket = ?) OR (level = 2 AND bucket = ?))",
    )
    .bind(drift.by)
    .bind(&drift.scope)
    .bind(above)
    .bind(drift.bucket)
    .execute(connection)
    .await?;
    Ok(())
}

async fn shift_one_level(
    connection: &mut MySqlConnection,
    level: i64,
    drift: &Drift,
) -> sqlx::Result<()> {
    ensure(connection, &drift.scope, level, drift.bucket).await?;
    sqlx::query(
        "UPDATE post_totals SET visible = visible + ? WHERE scope = ? AND level = ? AND bucket = ?",
    )
    .bind(drift.by)
    .bind(&drift.scope)
    .bind(level)
    .bind(drift.bucket)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the row if there is none.
async fn ensure(
    connection: &mut MySqlConnection,
    scope: &str,
    level: i64,
    bucket: i64,
) -> sqlx::Result<()> {
    let found: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM post_totals WHERE scope = ? AND level = ? AND bucket = ?",
    )
    .bind(scope)
    .bind(level)
    .bind(bucket)
    .fetch_one(&mut *connection)
    .await?;
    if found == 0 {
        sqlx::query(
            "INSERT IGNORE INTO post_totals (scope, level, bucket, visible) VALUES (?, ?, ?, 0)",
        )
        .bind(scope)
        .bind(level)
        .bind(bucket)
        .execute(connection)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(rows: &[(&str, i64, i64)]) -> Totals {
        by_key(
            rows.iter()
                .map(|(scope, bucket, n)| ((*scope).to_owned(), *bucket, *n))
                .collect(),
        )
    }

    fn drift(scope: &str, bucket: i64, by: i64) -> Drift {
        Drift {
            scope: scope.to_owned(),
            bucket,
            by,
        }
    }

    #[test]
    fn what_differs_is_shifted_with_the_whole_board_last() {
        let counters = totals(&[("", 0, 3), ("a", 0, 3), ("gone", 7, 2)]);
        let truth = totals(&[("", 0, 5), ("a", 0, 3), ("b", 0, 2)]);
        let expected = [drift("b", 0, 2), drift("gone", 7, -2), drift("", 0, 2)];
        assert_eq!(drifts(&counters, &truth), expected);
    }

    #[test]
    fn a_second_look_finds_nothing() {
        let truth = totals(&[("", 0, 5), ("a", 0, 5)]);
        assert_eq!(drifts(&truth, &truth), []);
        assert_eq!(drifts(&totals(&[("x", 1, 0)]), &Totals::new()), []);
    }
}
