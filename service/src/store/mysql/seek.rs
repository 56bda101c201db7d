//! The way to a page far down a list: by counter rows, in one statement where the way is known.

use super::lists::List;
use crate::{
    board::Direction,
    store::{
        list::From,
        totals::{LEVEL_1, LEVEL_2, seek},
    },
};
use quick_cache::sync::Cache;
use sqlx::MySqlConnection;
use std::{fmt, ops::Range};

/// Buckets of level 2 in one of level 1.
const PARTS: i64 = LEVEL_1 / LEVEL_2;
/// Ways remembered.
const CAPACITY: usize = 4_096;
/// The longest scope there is; readers may ask for others.
const SCOPE_BYTES: usize = 32;

/// In which bucket of level 1 pages were found. Posts come and go: it is a guess.
pub(super) struct Ways(Cache<Way, i64>);

/// About so many entries down this list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Way {
    scope: String,
    direction: Direction,
    /// Entries before the page, in spans of [`LEVEL_2`].
    skipped: i64,
}

impl Default for Ways {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ways").field(&self.0.len()).finish()
    }
}

/// A counter row: level, bucket and visible posts.
type Row = (i64, i64, i64);

/// The rows of a level that count these buckets.
type Span = (i64, Range<i64>);

impl List<'_> {
    /// The total, and where the page begins: by one statement if the guess is right, else by two. (One
    /// that does not guess was slower: it needs a window function.)
    pub(super) async fn seek(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
    ) -> Result<(i64, Option<From>), sqlx::Error> {
        const ALL: Span = (1, 0..i64::MAX);
        let parts = |bucket: i64| (2, bucket * PARTS..(bucket + 1) * PARTS);
        let way = Way {
            scope: scope.to_owned(),
            direction: self.order.direction,
            skipped: self.request.offset() / LEVEL_2,
        };
        let guess = self.ways.0.get(&way);
        let rows = match guess {
            Some(bucket) => {
                self.buckets(connection, scope, &[ALL, parts(bucket)])
                    .await?
            }
            None => self.buckets(connection, scope, &[ALL]).await?,
        };
        let above = of_level(1, &rows);
        let total = above.clone().map(|(_, visible)| visible).sum();
        let Some((bucket, offset)) = seek(above, self.request.offset()) else {
            return Ok((total, None));
        };
        let rows = if guess == Some(bucket) {
            rows
        } else {
            if scope.len() <= SCOPE_BYTES {
                self.ways.0.insert(way, bucket);
            }
            self.buckets(connection, scope, &[parts(bucket)]).await?
        };
        let from = seek(of_level(2, &rows), offset);
        let from = from.map(|(bucket, offset)| From::Bucket { bucket, offset });
        Ok((total, from))
    }

    /// The counter rows of these spans, in the list's direction.
    async fn buckets(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
        spans: &[Span],
    ) -> Result<Vec<Row>, sqlx::Error> {
        const SPAN: &str = "SELECT CAST(level AS SIGNED), CAST(bucket AS SIGNED), visible \
            FROM post_totals WHERE scope = ? AND level = ? AND bucket >= ? AND bucket < ?";
        let text = vec![SPAN; spans.len()].join(" UNION ALL ");
        let query = spans
            .iter()
            .fold(sqlx::query_as(&text), |query, (level, buckets)| {
                let query = query.bind(scope).bind(level);
                query.bind(buckets.start).bind(buckets.end)
            });
        let mut rows: Vec<Row> = query.fetch_all(connection).await?;
        rows.sort_unstable();
        if self.order.direction == Direction::Descending {
            rows.reverse();
        }
        Ok(rows)
    }
}

fn of_level(level: i64, rows: &[Row]) -> impl Iterator<Item = (i64, i64)> + Clone {
    let of_level = rows.iter().filter(move |row| row.0 == level);
    of_level.map(|(_, bucket, visible)| (*bucket, *visible))
}
