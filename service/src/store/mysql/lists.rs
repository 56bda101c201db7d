//! Lists of posts in MySQL.

use super::{
    MySqlStore,
    adoption::Stage,
    search::{Candidates, Word},
};
use crate::{
    board::{Direction, Filter, Order, Page, PageRequest, Post, SortKey, Start},
    store::{
        ListStore, StoreError,
        list::{self, Dialect, From, Matching, Statement, Total, Way, bind_values},
        rows::{PostRow, convert_posts},
        totals::{LEVEL_1, LEVEL_2, seek},
    },
};
use async_trait::async_trait;
use sqlx::{FromRow, MySqlConnection};
use std::time::{Duration, Instant};

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

/// What a walk through titles may have taken if another one follows: together with the wait for a turn
/// they take less than two seconds.
const ONE_OF_TWO_WALKS: Duration = Duration::from_millis(750);

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
            is_counted: stage == Stage::Finished,
        };
        let Some(text) = &filter.search else {
            return attempt!(self.reading(), |connection| list.read(connection));
        };
        let collation = self.indexed_collation().await?;
        let page = match collation.and_then(|collation| Word::of(text, collation)) {
            Some(word) => self.search_index(&list, &word).await,
            None => self.compare_titles(&list).await,
        };
        page.map_err(StoreError::of_search)
    }
}

impl MySqlStore {
    /// A page of a search by the index of titles.
    async fn search_index(&self, list: &List<'_>, word: &Word) -> Result<Page<Post>, StoreError> {
        let soon = attempt!(self.reading(), |connection| list
            .look_up(connection, word, false))?;
        match soon {
            LookedUp::Page(page) => return Ok(page),
            LookedUp::Untold => return self.compare_titles(list).await,
            LookedUp::Long => {}
        }
        let _turn = self.scans.turn().await?;
        let page = attempt!(self.reading(), |connection| list
            .look_up(connection, word, true))?;
        match page {
            LookedUp::Page(page) => Ok(page),
            // To compare titles would take longer.
            LookedUp::Untold | LookedUp::Long => Err(StoreError::SlowSearch),
        }
    }

    /// A page of a search by comparing titles, which may be all there are.
    async fn compare_titles(&self, list: &List<'_>) -> Result<Page<Post>, StoreError> {
        let _turn = self.scans.turn().await?;
        let page = attempt!(self.reading(), |connection| list.scan(connection))?;
        page.ok_or(StoreError::SlowSearch)
    }
}

/// What a search by the index of titles came to.
enum LookedUp {
    Page(Page<Post>),
    /// Titles have to be compared: the index knows no categories and authors, and nobody counts on
    /// beyond a limit.
    Untold,
    /// So much of the index would have to be read that it needs a turn, or more time than there is.
    Long,
}

/// A page to be read and its total.
struct List<'a> {
    filter: &'a Filter,
    order: Order,
    request: PageRequest,
    dialect: Dialect,
    /// Counter rows are right: no old service writes past them.
    is_counted: bool,
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
        match list::way(self.filter, self.order, self.request, self.is_counted) {
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
        let total = match self.scope() {
            Some(scope) => Total::Counter(scope),
            None => Total::Counted,
        };
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

    /// The scope whose counter row tells the total, if one does.
    fn scope(&self) -> Option<&str> {
        list::counted_scope(self.filter).filter(|_| self.is_counted)
    }

    fn statement(&self, matching: Matching<'_>, from: From, total: Total<'_>) -> Statement {
        let size = self.request.size;
        list::page(self.dialect, matching, self.order, from, size, total)
    }

    fn page(&self, rows: Vec<PostRow>, total: i64) -> Page<Post> {
        let posts = convert_posts(rows);
        list::assemble(posts, self.filter, self.order, self.request, total)
    }

    async fn rows(
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
        let Some(scope) = self.scope() else {
            return self.count(connection, self.filter.into()).await;
        };
        let total: Option<i64> = sqlx::query_scalar(
            "SELECT visible FROM post_totals WHERE scope = ? AND level = 0 AND bucket = 0",
        )
        .bind(scope)
        .fetch_optional(connection)
        .await?;
        Ok(total.unwrap_or(0))
    }

    async fn count(
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

/// Pages of a search: the newest posts that match are found first, as many as are counted, and the page
/// among them.
impl List<'_> {
    async fn look_up(
        &self,
        connection: &mut MySqlConnection,
        word: &Word,
        has_turn: bool,
    ) -> Result<LookedUp, sqlx::Error> {
        let Some(mut found) = Candidates::of(connection, word, has_turn).await? else {
            return Ok(LookedUp::Long);
        };
        found.are_certain &= self.filter.category_id.is_none() && self.filter.user_id.is_none();
        let page = self.page_of(connection, &found).await?;
        Ok(page.map_or(LookedUp::Untold, LookedUp::Page))
    }

    /// None if a second walk through titles would be due after a long first one.
    async fn scan(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<Option<Page<Post>>, sqlx::Error> {
        let begun = Instant::now();
        let statement = list::numbers(self.dialect, self.filter);
        let query = sqlx::query_scalar(&statement.text);
        let numbers = bind_values!(query, statement)
            .fetch_all(&mut *connection)
            .await?;
        let found = Candidates {
            numbers,
            are_certain: true,
        };
        if let Some(page) = self.page_of(connection, &found).await? {
            return Ok(Some(page));
        }
        if begun.elapsed() > ONE_OF_TWO_WALKS {
            return Ok(None);
        }
        let start = list::plain_start(self.request);
        let rows = self.rows(connection, self.filter.into(), start).await?;
        Ok(Some(self.page(rows, count_of(&found.numbers))))
    }

    /// The page among the posts found, and how many there are; none if it is not known to be among them.
    async fn page_of(
        &self,
        connection: &mut MySqlConnection,
        found: &Candidates,
    ) -> Result<Option<Page<Post>>, sqlx::Error> {
        let told = self.on_page(found);
        if let Some(numbers) = &told {
            let rows = match self.among(numbers) {
                _ if numbers.is_empty() => vec![],
                matching => self.rows(connection, matching, From::Offset(0)).await?,
            };
            if rows.len() == numbers.len() {
                return Ok(Some(self.page(rows, count_of(&found.numbers))));
            }
            // Somebody has changed one of them since: those behind it move up.
        }
        if !found.are_all() {
            return Ok(None);
        }
        let start = list::plain_start(self.request);
        let matching = self.among(&found.numbers);
        let rows = self.rows(connection, matching, start).await?;
        let total = if found.are_certain && told.is_none() {
            count_of(&found.numbers)
        } else {
            self.count(connection, matching).await?
        };
        Ok(Some(self.page(rows, total)))
    }

    /// The numbers on the page and the next one, if what was found tells them.
    fn on_page(&self, found: &Candidates) -> Option<Vec<i64>> {
        if !found.are_certain || self.order.key != SortKey::Created {
            return None;
        }
        let mut numbers = found.numbers.clone();
        if self.order.direction == Direction::Ascending {
            numbers.reverse();
        }
        let begin = match self.request.start {
            Start::Page(_) => usize::try_from(self.request.offset()).ok()?,
            Start::After(cursor) => numbers.partition_point(|number| match self.order.direction {
                Direction::Descending => *number >= cursor.number,
                Direction::Ascending => *number <= cursor.number,
            }),
        };
        let count = usize::try_from(self.request.size).ok()? + 1;
        let is_told = self.order.direction == Direction::Descending
            && begin.saturating_add(count) <= numbers.len();
        (is_told || found.are_all()).then(|| numbers.into_iter().skip(begin).take(count).collect())
    }

    fn among<'a>(&'a self, numbers: &'a [i64]) -> Matching<'a> {
        Matching::among(self.filter, numbers)
    }
}

fn count_of(numbers: &[i64]) -> i64 {
    i64::try_from(numbers.len()).unwrap_or(i64::MAX)
}
