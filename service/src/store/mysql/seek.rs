//! The way to a page far down a list: by counter rows, in one statement where the way is known.

use super::lists::List;
use crate::{
    board::{Direction, Page, Post},
    store::{
        list::{From, Total, bind_values},
        rows::PostRow,
        totals::{LEVEL_2, PARTS, seek},
    },
};
use quick_cache::sync::Cache;
use sqlx::{FromRow, MySqlConnection};
use std::{fmt, ops::Range};

/// Ways remembered.
const CAPACITY: usize = 4_096;
/// The longest scope there is; readers may ask for others.
const SCOPE_BYTES: usize = 32;
/// Entries that a page may have moved away from where it was last, and still be read from there.
const NEAR: Range<i64> = 0..2 * LEVEL_2;

/// Where pages were found. Posts come and go: it is a guess.
pub(super) struct Ways(Cache<Way, Place>);

/// About so many entries down this list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Way {
    scope: String,
    direction: Direction,
    /// Entries before the page, in spans of [`LEVEL_2`].
    skipped: i64,
}

/// A bucket of level 2, and how many entries come before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    bucket: i64,
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

/// A row of a page that tells the total and how many entries come before its bucket.
#[derive(FromRow)]
struct GuidedRow {
    #[sqlx(flatten)]
    post: PostRow,
    total: Option<i64>,
    skipped: i64,
}

impl List<'_> {
    /// The page and the total: one statement if the page begins where it was last, two if it moved a
    /// little, else two or three. (One that does not guess was slower: it needs a window function.)
    pub(super) async fn read_guided(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
    ) -> Result<Page<Post>, sqlx::Error> {
        let way = Way {
            scope: scope.to_owned(),
            direction: self.order.direction,
            skipped: self.request.offset() / LEVEL_2,
        };
        if let Some(last) = self.ways.0.get(&way)
            && NEAR.contains(&self.rest(last))
        {
            let rows = self.read_at(connection, scope, last).await?;
            if let Some(first) = rows.first()
                && let Some(total) = first.total
            {
                let place = Place {
                    skipped: first.skipped,
                    ..last
                };
                if place.skipped == last.skipped {
                    return Ok(self.page(rows.into_iter().map(|row| row.post).collect(), total));
                }
                if NEAR.contains(&self.rest(place)) {
                    self.ways.0.insert(way, place);
                    let from = Some(self.start(place));
                    return self.read_within(connection, total, from).await;
                }
            }
        }
        let (total, place) = self.seek(connection, scope).await?;
        if let Some(place) = place
            && scope.len() <= SCOPE_BYTES
        {
            self.ways.0.insert(way, place);
        }
        let from = place.map(|place| self.start(place));
        self.read_within(connection, total, from).await
    }

    /// Entries of this place before the page.
    fn rest(&self, place: Place) -> i64 {
        self.request.offset() - place.skipped
    }

    fn start(&self, place: Place) -> From {
        From::Bucket {
            bucket: place.bucket,
            offset: self.rest(place),
        }
    }

    /// The page, if `place` is right; the rows tell.
    async fn read_at(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
        place: Place,
    ) -> Result<Vec<GuidedRow>, sqlx::Error> {
        let bucket = place.bucket;
        let total = Total::Guided { scope, bucket };
        let statement = self.statement(self.filter.into(), self.start(place), total);
        let query = sqlx::query_as(&statement.text);
        bind_values!(query, statement).fetch_all(connection).await
    }

    /// The total, and where the page begins.
    async fn seek(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
    ) -> Result<(i64, Option<Place>), sqlx::Error> {
        let offset = self.request.offset();
        let above = self.buckets(connection, scope, 1, 0..i64::MAX).await?;
        let total = above.iter().map(|(_, visible)| visible).sum();
        let Some((bucket, rest)) = seek(above, offset) else {
            return Ok((total, None));
        };
        let parts = bucket * PARTS..(bucket + 1) * PARTS;
        let parts = self.buckets(connection, scope, 2, parts).await?;
        let place = seek(parts, rest).map(|(bucket, rest)| Place {
            bucket,
            skipped: offset - rest,
        });
        Ok((total, place))
    }

    /// The counter rows of a level for these buckets, in the list's direction: bucket and visible posts.
    async fn buckets(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
        level: i64,
        buckets: Range<i64>,
    ) -> Result<Vec<(i64, i64)>, sqlx::Error> {
        let text = "SELECT CAST(bucket AS SIGNED), visible FROM post_totals \
            WHERE scope = ? AND level = ? AND bucket >= ? AND bucket < ? ORDER BY bucket";
        let query = sqlx::query_as(text).bind(scope).bind(level);
        let query = query.bind(buckets.start).bind(buckets.end);
        let mut rows = query.fetch_all(connection).await?;
        if self.order.direction == Direction::Descending {
            rows.reverse();
        }
        Ok(rows)
    }
}
