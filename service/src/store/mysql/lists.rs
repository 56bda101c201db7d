//! Lists of posts in MySQL.

use super::{MySqlStore, adoption::Stage};
use crate::{
    board::{Direction, Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        list::{self, Counter, Dialect, From, Matching, Statement, Total, Way, bind_values},
        rows::{PostRow, convert_posts},
        totals::{LEVEL_1, LEVEL_2, seek},
    },
};
use async_trait::async_trait;
use sqlx::{FromRow, MySqlConnection};

/// The indexes are made when the adoption is finished.
const ADOPTING: Dialect = Dialect {
    columns: post_columns!("1"),
    names_indexes: false,
};
/// For the sake of its shorter entries MySQL would walk the unique index of numbers, from the newest
/// post to wherever the range begins.
const FINISHED: Dialect = Dialect {
    columns: post_columns!("p.version"),
    names_indexes: true,
};

#[async_trait]
impl ListStore for MySqlStore {
    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        request: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let stage = self.stage().await?;
        let list = List {
            filter,
            order,
            request,
            dialect: match stage {
                Stage::Adopting => ADOPTING,
                Stage::Finished => FINISHED,
            },
            counter: self.trusted_counter(filter, stage).await?,
        };
        if let Some(text) = &filter.search {
            return self.search(&list, text).await;
        }
        attempt!(self.reading(), |connection| list.read(connection))
    }
}

impl MySqlStore {
    /// The counter row that tells the total, if there is one and it is right: no old service writes
    /// past it.
    async fn trusted_counter<'a>(
        &self,
        filter: &'a Filter,
        stage: Stage,
    ) -> Result<Option<Counter<'a>>, StoreError> {
        let counter = list::counter(filter).filter(|_| stage == Stage::Finished);
        Ok(match counter {
            Some(Counter::Author(_)) if !self.are_authors_counted().await? => None,
            counter => counter,
        })
    }
}

/// A page to be read and its total.
pub(super) struct List<'a> {
    pub(super) filter: &'a Filter,
    pub(super) order: Order,
    pub(super) request: PageRequest,
    pub(super) dialect: Dialect,
    /// The row that tells the total; without one posts are counted.
    counter: Option<Counter<'a>>,
}

/// A row of a page that tells the total.
#[derive(FromRow)]
struct CountedRow {
    #[sqlx(flatten)]
    post: PostRow,
    /// NULL: there is no counter row, thus no post.
    total: Option<i64>,
}

impl List<'_> {
    async fn read(&self, connection: &mut MySqlConnection) -> Result<Page<Post>, sqlx::Error> {
        match list::way(self.counter, self.order, self.request) {
            Way::Together => self.read_together(connection).await,
            Way::TotalFirst => {
                let total = self.total(connection).await?;
                let from = list::plain_start(self.request);
                self.read_within(connection, total, Some(from)).await
            }
            Way::Guided(scope) => {
                let (total, from) = self.seek(connection, scope).await?;
                self.read_within(connection, total, from).await
            }
        }
    }

    async fn read_together(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<Page<Post>, sqlx::Error> {
        let total = self.counter.map_or(Total::Counted, Total::Counter);
        let from = list::plain_start(self.request);
        let statement = self.statement(self.filter.into(), from, total);
        let query = sqlx::query_as::<_, CountedRow>(&statement.text);
        let rows = bind_values!(query, statement)
            .fetch_all(&mut *connection)
            .await?;
        let total = match rows.first() {
            Some(row) => row.total.unwrap_or(0),
            None => self.total(connection).await?,
        };
        Ok(self.page(rows.into_iter().map(|row| row.post).collect(), total))
    }

    /// The page that begins at a place, unless it begins behind the end.
    async fn read_within(
        &self,
        connection: &mut MySqlConnection,
        total: i64,
        from: Option<From>,
    ) -> Result<Page<Post>, sqlx::Error> {
        let is_beyond = list::is_beyond(self.filter, self.request, total);
        let rows = match from.filter(|_| !is_beyond) {
            Some(from) => self.rows(connection, self.filter.into(), from).await?,
            None => vec![],
        };
        Ok(self.page(rows, total))
    }

    fn statement(&self, matching: Matching<'_>, from: From, total: Total<'_>) -> Statement {
        let size = self.request.size;
        list::page(self.dialect, matching, self.order, from, size, total)
    }

    pub(super) fn page(&self, rows: Vec<PostRow>, total: i64) -> Page<Post> {
        let posts = convert_posts(rows);
        list::assemble(posts, self.filter, self.order, self.request, total)
    }

    pub(super) async fn rows(
        &self,
        connection: &mut MySqlConnection,
        matching: Matching<'_>,
        from: From,
    ) -> Result<Vec<PostRow>, sqlx::Error> {
        let statement = self.statement(matching, from, Total::Elsewhere);
        let query = sqlx::query_as(&statement.text).persistent(statement.is_kept());
        bind_values!(query, statement).fetch_all(connection).await
    }

    async fn total(&self, connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
        let Some(counter) = self.counter else {
            return self.count(connection, self.filter.into()).await;
        };
        let statement = list::total(counter);
        let query = sqlx::query_scalar(&statement.text);
        let total = bind_values!(query, statement);
        Ok(total.fetch_optional(connection).await?.unwrap_or(0))
    }

    pub(super) async fn count(
        &self,
        connection: &mut MySqlConnection,
        matching: Matching<'_>,
    ) -> Result<i64, sqlx::Error> {
        let statement = list::count(matching);
        let query = sqlx::query_scalar(&statement.text).persistent(statement.is_kept());
        bind_values!(query, statement).fetch_one(connection).await
    }

    /// The total, and where the page begins: two short scans of counter rows. (One statement for both
    /// was slower: it needs a window function.)
    async fn seek(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
    ) -> Result<(i64, Option<From>), sqlx::Error> {
        const PARTS: i64 = LEVEL_1 / LEVEL_2;
        let all = (1, 0, i64::from(i32::MAX));
        let buckets = self.buckets(connection, scope, all).await?;
        let total = buckets.iter().map(|(_, visible)| visible).sum();
        let Some((bucket, offset)) = seek(buckets, self.request.offset()) else {
            return Ok((total, None));
        };
        let parts = (2, bucket * PARTS, bucket * PARTS + PARTS - 1);
        let buckets = self.buckets(connection, scope, parts).await?;
        let from = seek(buckets, offset).map(|(bucket, offset)| From::Bucket { bucket, offset });
        Ok((total, from))
    }

    /// Counter rows of a level from a first bucket to a last one, in the list's direction.
    async fn buckets(
        &self,
        connection: &mut MySqlConnection,
        scope: &str,
        (level, first, last): (i64, i64, i64),
    ) -> Result<Vec<(i64, i64)>, sqlx::Error> {
        let mut rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT CAST(bucket AS SIGNED), visible FROM post_totals \
             WHERE scope = ? AND level = ? AND bucket BETWEEN ? AND ? ORDER BY bucket",
        )
        .bind(scope)
        .bind(level)
        .bind(first)
        .bind(last)
        .fetch_all(connection)
        .await?;
        if self.order.direction == Direction::Descending {
            rows.reverse();
        }
        Ok(rows)
    }
}
