//! Lists of posts in MySQL.

use super::{MySqlStore, adoption::Stage, seek::Ways};
use crate::{
    board::{Filter, Order, Page, PageRequest, Post},
    store::{
        ListStore, StoreError,
        list::{self, Counter, Dialect, From, Matching, Statement, Total, Way, bind_values},
        rows::{PostRow, convert_posts},
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
            ways: &self.ways,
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
    pub(super) ways: &'a Ways,
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
            Way::Guided(scope) => self.read_guided(connection, scope).await,
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
    pub(super) async fn read_within(
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

    pub(super) fn statement(
        &self,
        matching: Matching<'_>,
        from: From,
        total: Total<'_>,
    ) -> Statement {
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
}
