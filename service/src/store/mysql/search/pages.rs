//! Pages of searches: the newest posts that match are found first, as many as are counted, and the page
//! among them.

use super::{Candidates, Word};
use crate::{
    board::{Direction, Page, Post, SortKey, Start},
    store::{
        StoreError,
        list::{self, From, Matching, bind_values},
        mysql::{MySqlStore, lists::List},
    },
};
use sqlx::MySqlConnection;
use std::time::{Duration, Instant};

/// What a walk through titles may have taken if another one follows: together with the wait for a turn
/// they take less than two seconds.
const ONE_OF_TWO_WALKS: Duration = Duration::from_millis(750);

impl MySqlStore {
    /// A page of a search.
    pub(in crate::store::mysql) async fn search(
        &self,
        list: &List<'_>,
        text: &str,
    ) -> Result<Page<Post>, StoreError> {
        let collation = self.indexed_collation().await?;
        let page = match collation.and_then(|collation| Word::of(text, collation)) {
            Some(word) => self.search_index(list, &word).await,
            None => self.compare_titles(list).await,
        };
        page.map_err(StoreError::of_search)
    }

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
