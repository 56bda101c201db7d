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
use std::fmt;

/// Buckets of level 2 in one of level 1.
const PARTS: i64 = LEVEL_1 / LEVEL_2;
/// Ways remembered, of 65,536 entries each.
const CAPACITY: usize = 1_024;

/// In which bucket of level 1 pages were found. Posts come and go: it is a guess, and a wrong one costs a
/// statement.
pub(super) struct Ways(Cache<Way, i64>);

/// About so many entries down this list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Way {
    scope: String,
    direction: Direction,
    spans: i64,
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

impl List<'_> {
    /// The total, and where the page begins. (One statement that does not guess was slower than two: it
    /// needs a window function.)
    pub(super) async fn seek(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
    ) -> Result<(i64, Option<From>), sqlx::Error> {
        let way = Way {
            scope: scope.to_owned(),
            direction: self.order.direction,
            spans: self.request.offset() / LEVEL_1,
        };
        let guess = self.ways.0.get(&way);
        let rows = self.buckets(connection, scope, guess).await?;
        let above = of_level(1, &rows);
        let total = above.clone().map(|(_, visible)| visible).sum();
        let Some((bucket, offset)) = seek(above, self.request.offset()) else {
            return Ok((total, None));
        };
        let rows = if guess == Some(bucket) {
            rows
        } else {
            self.ways.0.insert(way, bucket);
            self.buckets(connection, scope, Some(bucket)).await?
        };
        let from = seek(of_level(2, &rows), offset);
        let from = from.map(|(bucket, offset)| From::Bucket { bucket, offset });
        Ok((total, from))
    }

    /// The counter rows of level 1, and those of level 2 within one of them; in the list's direction.
    async fn buckets(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
        within: Option<i64>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let parts = within.map_or(0..0, |bucket| bucket * PARTS..(bucket + 1) * PARTS);
        let mut rows: Vec<Row> = sqlx::query_as(
            "SELECT 1, CAST(bucket AS SIGNED), visible FROM post_totals \
             WHERE scope = ? AND level = 1 \
             UNION ALL SELECT 2, CAST(bucket AS SIGNED), visible FROM post_totals \
             WHERE scope = ? AND level = 2 AND bucket >= ? AND bucket < ?",
        )
        .bind(scope)
        .bind(scope)
        .bind(parts.start)
        .bind(parts.end)
        .fetch_all(connection)
        .await?;
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
